"""The forged dataset: what a row promises, same bytes, interruption, bad input."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from forge_pictures import picture
from PIL import Image

from vlm_forensics import cli
from vlm_forensics.cli import console
from vlm_forensics.errors import InputError, PrerequisiteError, WeightsError
from vlm_forensics.forge import base, networks
from vlm_forensics.forge.dataset import photos, writer
from vlm_forensics.forge.dataset.sample import Settings
from vlm_forensics.parsing import Answer, parse
from vlm_forensics.taxonomy import OPERATION_ARTIFACT, Operation

CHEAP = (Operation.SPLICE, Operation.LOCAL_BLUR, Operation.COPY_MOVE)
SETTINGS = Settings(5, CHEAP, 0.25, 20_000, all_clues=False, licence="CC0-1.0")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for n in range(3):
        Image.fromarray(picture(n, 150, 180)).save(folder / f"{n}.png")
    (folder / "more").mkdir()
    Image.fromarray(picture(9, 300, 340)).save(folder / "more" / "large.jpg")
    return folder


@pytest.fixture(scope="module")
def dataset(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "forged"
    writer.write(source, out, SETTINGS, 8)
    return out


def rows(out: Path) -> list[dict[str, Any]]:
    text = (out / "train" / "metadata.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in files}  # fmt: skip


def test_a_row_says_what_is_true_of_its_files(dataset: Path) -> None:
    found = rows(dataset)
    assert Counter(row["operation"] for row in found) == {
        "none": 2, "splice": 2, "local_blur": 2, "copy_move": 2,
    }  # fmt: skip
    for row in found:
        data = (dataset / "train" / row["file_name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        with Image.open(dataset / "train" / row["mask_file_name"]) as image:
            mask = np.asarray(image)
        with Image.open(dataset / "train" / row["file_name"]) as image:
            assert image.size == (row["width"], row["height"]) == mask.shape[::-1]
        assert set(np.unique(mask)) <= {0, 255}
        altered = row["operation"] != "none"
        assert row["label"] == ("tampered" if altered else "real")
        assert bool(mask.any()) == altered == bool(row["boxes"])
        assert any(clue["local"] for clue in row["clues"]) == altered
        assert ("area" in json.loads(row["params"])) == altered
        assert bool(row["donor"]) == (row["operation"] == "splice")
        assert row["photo"] != row["donor"]
        assert (row["license"], row["origin"], row["seed"]) == ("CC0-1.0", "camera", 5)


def test_annotations_follow_the_grammar_and_name_the_operation(dataset: Path) -> None:
    for row in rows(dataset):
        answer = parse(row["annotation"])
        assert isinstance(answer, Answer)
        assert (answer.status, answer.verdict) == ("ok", row["label"])
        if row["operation"] == "none":
            assert not answer.claims
        else:
            assert answer.claims[0].artifact is OPERATION_ARTIFACT[Operation(row["operation"])]
            assert answer.claims[0].box is not None


def test_the_card_counts_and_has_a_head_that_the_hub_reads(dataset: Path) -> None:
    card = (dataset / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["license_details"] == "CC0-1.0"
    assert head["size_categories"] == ["n<1K"]
    assert "| tampered | splice | camera | 2 |" in card
    assert "8 samples" in card
    assert str(dataset.parent) not in card


def test_datasets_loads_the_folder_without_touching_bytes(dataset: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("datasets")
    loaded = library.load_dataset("imagefolder", data_dir=str(dataset), split="train",
                                  cache_dir=str(tmp_path))  # fmt: skip
    assert len(loaded) == 8
    raw = loaded.cast_column("image", library.Image(decode=False))
    for row in raw:
        data = row["image"]["bytes"] or Path(row["image"]["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
    assert loaded[0]["mask"].size == loaded[0]["image"].size
    assert {"annotation", "clues", "params", "operation"} <= set(loaded.column_names)


def test_two_processes_make_the_bytes_of_one(source: Path, dataset: Path, tmp_path: Path) -> None:
    summary = writer.write(source, tmp_path / "forged", SETTINGS, 8, jobs=2)
    assert (summary.made, summary.kept, summary.given_up) == (8, 0, ())
    assert content(tmp_path / "forged") == content(dataset)


class StopError(Exception):
    """An interruption."""


def test_an_interrupted_run_goes_on(source: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "forged"

    def stop(done: int, total: int) -> None:  # noqa: ARG001
        if done == 5:
            raise StopError

    with pytest.raises(StopError):
        writer.write(source, out, SETTINGS, 8, on_progress=stop)
    assert not (out / "README.md").exists()
    with (out / ".progress.jsonl").open("a") as file:
        file.write('{"index": 5, "row": {"fi')  # killed in the middle of a line
    first = next((out / "train" / "images").rglob("0000000.*"))
    untouched = next((out / "train" / "images").rglob("0000001.*"))
    first.unlink()
    before = untouched.stat().st_mtime_ns
    summary = writer.write(source, out, SETTINGS, 8)
    assert (summary.made, summary.kept) == (4, 4)
    assert untouched.stat().st_mtime_ns == before
    assert content(out) == content(dataset)
    assert writer.write(source, out, SETTINGS, 8).made == 0
    assert content(out) == content(dataset)


def test_a_larger_number_adds_and_a_smaller_is_refused(
    source: Path, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "forged"
    writer.write(source, out, SETTINGS, 3)
    with pytest.raises(InputError, match="holds 3 samples"):
        writer.write(source, out, SETTINGS, 2)
    assert writer.write(source, out, SETTINGS, 8).kept == 3
    assert content(out) == content(dataset)


def test_post_processing_and_photos_do_not_depend_on_the_class(
    source: Path, dataset: Path, tmp_path: Path
) -> None:
    other = dataclasses.replace(SETTINGS, operations=(Operation.LOCAL_NOISE,), real=0.75)
    writer.write(source, tmp_path / "forged", other, 8)
    pairs = list(zip(rows(dataset), rows(tmp_path / "forged"), strict=True))
    for one, two in pairs:
        assert one["post_processing"] == two["post_processing"]
        assert one["photo"] == two["photo"]
        assert (one["width"], one["height"]) == (two["width"], two["height"])
    assert any(one["label"] != two["label"] for one, two in pairs)


@pytest.mark.parametrize("real", [0.0, 0.25, 0.5, 0.9])
def test_operations_take_turns_whatever_the_number(real: float) -> None:
    settings = dataclasses.replace(SETTINGS, real=real)
    counts = Counter(settings.operation(n) for n in range(1200))
    assert abs(counts.pop(None, 0) - 1200 * real) <= 1
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.usefixtures("tiny_networks")
def test_a_laundered_photograph_stays_real(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "check", lambda network: None)  # noqa: ARG005
    ops = (Operation.LAUNDERING, Operation.WHOLE_AUTOENCODER, Operation.INPAINTING_EXCHANGE)
    settings = dataclasses.replace(SETTINGS, operations=ops, real=0.0)
    writer.write(source, tmp_path / "forged", settings, 3)
    found = rows(tmp_path / "forged")
    kinds = [(row["label"], row["origin"]) for row in found]
    assert kinds == [("real", "laundered"), ("synthetic", "resynthesised"), ("tampered", "camera")]
    assert found[0]["annotation"] == "<answer>real</answer>"
    assert " | all | " in found[1]["annotation"]
    assert "same pixels" in (tmp_path / "forged" / "README.md").read_text(encoding="utf-8")


def test_broken_photographs_are_skipped_and_counted(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    good = (source / "0.png").read_bytes()
    for n in range(2):
        (folder / f"{n}.png").write_bytes((source / f"{n}.png").read_bytes())
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_text("<html>")
    (folder / "notes.txt").write_text("x")
    Image.new("RGB", (64, 64)).save(folder / "tiny.png")
    summary = writer.write(folder, tmp_path / "forged", SETTINGS, 8)
    assert summary.made == 8
    assert summary.skipped == {"truncated": 1, "empty_file": 1, "unsupported_format": 1,
                               "too_small": 1}  # fmt: skip
    assert summary.others == 1
    assert "1 truncated" in (tmp_path / "forged" / "README.md").read_text(encoding="utf-8")
    again = writer.write(folder, tmp_path / "forged", SETTINGS, 8)
    assert again.skipped == summary.skipped


def test_photographs_too_flat_to_forge_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "ATTEMPTS", 2)
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(2):
        Image.new("RGB", (140, 140), (90, 90, 90)).save(folder / f"{n}.png")
    settings = dataclasses.replace(SETTINGS, operations=(Operation.LOCAL_BLUR,))
    summary = writer.write(folder, tmp_path / "forged", settings, 4)
    assert (summary.made, summary.given_up) == (1, (0, 1, 2))
    assert summary.skipped == {"nothing_altered by local_blur": 2}
    assert writer.write(folder, tmp_path / "forged", settings, 4).given_up == (0, 1, 2)
    with pytest.raises(InputError, match="no photograph served"):
        writer.write(folder, tmp_path / "none", settings, 2)


@pytest.mark.parametrize("files", [{}, {"a.txt": b"x"}, {"a.jpg": b""}])
def test_a_folder_without_photographs_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as refused:
        photos.find(tmp_path)
    assert refused.value.code == "no_photos"
    with pytest.raises(InputError) as refused:
        photos.find(tmp_path / "nowhere")
    assert refused.value.code == "not_found"


def test_folders_that_hold_something_else_are_refused(
    source: Path, dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        writer.write(source, tmp_path, SETTINGS, 2)
    with pytest.raises(InputError, match="inside the folder of photographs"):
        writer.write(source, source / "forged", SETTINGS, 2)
    with pytest.raises(InputError, match=r"other settings \(seed\)"):
        writer.write(source, dataset, dataclasses.replace(SETTINGS, seed=6), 8)


def test_missing_networks_are_a_typed_error_before_anything_is_made(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(networks.WEIGHTS_VARIABLE, raising=False)
    monkeypatch.delenv(networks.VAE_VARIABLE, raising=False)
    for operation in (Operation.LAUNDERING, Operation.LOCAL_SUPER_RESOLUTION):
        with pytest.raises(WeightsError) as missing:
            writer.write(source, tmp_path / "forged",
                         dataclasses.replace(SETTINGS, operations=(operation,)), 2)  # fmt: skip
        assert networks.WEIGHTS_VARIABLE in missing.value.hint
    assert not (tmp_path / "forged").exists()


@pytest.mark.parametrize("error", [InputError("no_photos", "none", hint="give some"),
                                   PrerequisiteError("diffusers", "forge")])  # fmt: skip
def test_errors_come_back_whole_from_another_process(error: InputError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert (str(back), back.code, back.hint) == (error.message, error.code, error.hint)


@pytest.fixture
def vlmf(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.delenv(networks.WEIGHTS_VARIABLE, raising=False)
    monkeypatch.delenv(networks.VAE_VARIABLE, raising=False)
    console.set_verbosity(0, quiet=False)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vlmf", "data", "forge", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capfd.readouterr()
        return int(left.value.code or 0), out, err

    return run


def test_command_leaves_networks_out_aloud(vlmf: Any, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "forged"
    code, text, notes = vlmf("--photos", source, "--out", out, "--n", 2, "--jobs", 1, "--json")
    assert code == 0
    assert json.loads(text)["made"] == 2
    for name in ("local_super_resolution", "whole_autoencoder", "inpainting_exchange"):
        assert name in notes
    assert networks.WEIGHTS_VARIABLE in notes
    assert "laundering" not in (out / "forge.json").read_text()


def test_command_refuses_unknown_operations_and_missing_networks(
    vlmf: Any, source: Path, tmp_path: Path
) -> None:
    code, _, notes = vlmf("--photos", source, "--out", tmp_path / "x", "--ops", "splise")
    assert (code, "did you mean splice" in notes) == (2, True)
    code, _, notes = vlmf("--photos", source, "--out", tmp_path / "x", "--ops", "laundering")
    assert (code, "error[weights_missing]" in notes) == (4, True)
    code, _, notes = vlmf("--photos", tmp_path / "no", "--out", tmp_path / "x", "--ops", "splice")
    assert (code, "error[not_found]" in notes) == (3, True)
