"""`vlmf data check` finds what was planted and nothing in a clean dataset."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from vlm_forensics.checking import findings, pictures, shortcuts
from vlm_forensics.checking.check import check
from vlm_forensics.checking.fingerprints import RADIUS, near_duplicates, perceptual_hash
from vlm_forensics.checking.results import Check, Probe
from vlm_forensics.cli import data
from vlm_forensics.datasets import open_dataset
from vlm_forensics.errors import InputError
from vlm_forensics.evaluation.results import Value

Pixels = NDArray[np.uint8]


def scene(seed: int, side: int = 96) -> Pixels:
    """A picture of its own: shapes of every size, the larger the stronger, as in photographs."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(0, 300 / cells, (cells, cells, 3)).astype(np.float32), (side, side),
                   interpolation=cv2.INTER_CUBIC)
        for cells in (3, 6, 12, 24, 48)
    ]  # fmt: skip
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def jpeg(rgb: Pixels, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class Folder:
    """A dataset with an `index.csv` under construction."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows = ["path,label,split,source,mask"]

    def add(
        self, name: str, content: bytes, label: str, split: str = "train", source: str = "a",
        mask: bytes | None = None,
    ) -> None:  # fmt: skip
        masked = "" if mask is None else f"masks/{name}.png"
        for place, written in ((name, content), (masked, mask)):
            if written is not None:
                (self.root / place).parent.mkdir(parents=True, exist_ok=True)
                (self.root / place).write_bytes(written)
        self.rows.append(f"{name},{label},{split},{source},{masked}")
        (self.root / "index.csv").write_text("\n".join(self.rows))

    def check(self, **settings: object) -> Check:
        cache = self.root.parent / "cache.jsonl"
        return check(open_dataset(self.root), cache, **settings)  # type: ignore[arg-type]


@pytest.fixture
def forest() -> None:
    """The probe's own classifier, which takes seconds."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The mean quantiser alone in place of the forest."""
    if "forest" not in request.fixturenames:
        monkeypatch.setattr(shortcuts, "shortcut_scores", lambda facts, _: facts[:, 5])


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "set")


@pytest.fixture
def clean(folder: Folder) -> Folder:
    """Twelve real and twelve synthetic pictures in one form."""
    for n in range(24):
        folder.add(f"{n}.jpg", jpeg(scene(n)), ("real", "synthetic")[n % 2])
    return folder


def codes(found: Check) -> dict[str, int]:
    return {finding.code: finding.count for finding in found.findings}


def failed(found: Check) -> set[str]:
    return {finding.code for finding in found.failed}


def run(folder: Folder, *options: str) -> Result:
    cache = str(folder.root.parent / "cache.jsonl")
    return CliRunner().invoke(data.app, ["check", str(folder.root), "--cache", cache, *options])


def test_a_clean_dataset_passes(clean: Folder) -> None:
    ran = run(clean)
    assert ran.exit_code == 0, ran.output
    assert "24 usable pictures of indexed" in ran.stdout
    assert "FAILED" not in ran.stdout
    assert clean.check().findings == ()


@pytest.mark.parametrize(
    "changed",
    [
        lambda rgb: rgb,
        lambda rgb: np.asarray(Image.open(io.BytesIO(jpeg(rgb, 50)))),
        lambda rgb: cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        lambda rgb: cv2.resize(rgb, None, fx=1.6, fy=1.6, interpolation=cv2.INTER_CUBIC),
    ],
    ids=["same", "reencoded", "halved", "enlarged"],
)
def test_another_form_of_a_picture_is_near_and_other_pictures_are_not(changed: object) -> None:
    pictures = [scene(n, 256) for n in range(40)]
    copy = np.ascontiguousarray(changed(pictures[7]))  # type: ignore[operator]
    found = near_duplicates([perceptual_hash(rgb) for rgb in (*pictures, copy)])
    assert found.links.tolist() == [[7, 40]]
    assert found.groups[7] == found.groups[40]
    assert len(set(found.groups.tolist())) == 40


def test_search_finds_every_pair_that_comparing_all_finds() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2, (60, 256))
    flips = rng.random((240, 256)) < 0.015
    flips[np.arange(240), 200 + np.arange(240) // 60] = True  # equal ones are not paired
    bits = np.concatenate([base, np.tile(base, (4, 1)) ^ flips])
    apart = (bits[:, None] != bits[None]).sum(axis=2)
    coarse = (bits[:, None, :64] != bits[None, :, :64]).sum(axis=2)
    expected = np.argwhere(np.triu((apart <= RADIUS) & (coarse <= 4), 1))
    found = near_duplicates([np.packbits(row).tobytes().hex() for row in bits])
    assert len(expected) > 300
    assert found.links.tolist() == expected.tolist()
    assert found.distances.tolist() == apart[tuple(expected.T)].tolist()


def test_flat_pictures_are_no_duplicates_of_each_other(clean: Folder) -> None:
    for n in range(2):
        clean.add(f"grey{n}.png", png(np.full((96, 96, 3), 90 + 60 * n, np.uint8)), "real")
    assert codes(clean.check()) == {"flat_picture": 2}
    assert near_duplicates(["", ""]).links.tolist() == near_duplicates([]).links.tolist() == []


@pytest.mark.parametrize(
    ("label", "split", "source", "code", "fails"),
    [
        ("real", "train", "a", "duplicate", False),
        ("real", "train", "b", "duplicate_across_sources", False),
        ("real", "test", "a", "duplicate_across_splits", True),
        ("synthetic", "train", "a", "duplicate_across_classes", True),
        ("tampered", "train", "a", "duplicate_across_classes", True),
    ],
)
def test_duplicates_by_what_they_cross(
    clean: Folder, label: str, split: str, source: str, code: str, fails: bool
) -> None:
    smaller = cv2.resize(scene(0), (72, 72), interpolation=cv2.INTER_AREA)
    clean.add("again.jpg", jpeg(smaller.astype(np.uint8), 70), label, split, source)
    found = {finding.code: finding for finding in clean.check().findings}
    assert found[code].count == 1
    assert found[code].fails is fails
    assert found[code].examples[0].startswith("0.jpg (train real) ~ again.jpg")
    assert {one for one in found if "duplicate" in one} == {code}


def test_a_known_mask_explains_a_tampered_picture_beside_its_original(clean: Folder) -> None:
    altered = scene(0)
    altered[40:48, 40:48] //= 2
    mask = np.zeros((96, 96), np.uint8)
    mask[40:48, 40:48] = 255
    clean.add("spliced.jpg", jpeg(altered), "tampered", mask=png(mask))
    assert codes(clean.check()) == {"tampered_beside_original": 1}


def test_one_file_under_two_labels(clean: Folder) -> None:
    clean.add("lie.jpg", jpeg(scene(0)), "synthetic")
    assert failed(clean.check()) == {"label_conflict", "duplicate_across_classes"}


def planted(folder: Folder, sources: str = "a") -> Folder:
    """Real pictures as JPEG 95 of varying size, forged ones as smaller JPEG 70."""
    for n in range(40):
        forged = bool(n % 2)
        side = (80 if forged else 120) + n % 5
        content = jpeg(scene(n, side), 70 if forged else 95)
        folder.add(f"{n}.jpg", content, "synthetic" if forged else "real",
                   source=sources[n // 2 % len(sources)])  # fmt: skip
    return folder


@pytest.mark.usefixtures("forest")
def test_a_planted_shortcut_is_exposed_and_equalise_removes_it(folder: Folder) -> None:
    found = planted(folder).check()
    (probe,) = found.probes
    assert (probe.scope, probe.real, probe.forged) == ("all", 20, 20)
    assert probe.raw.value is not None
    assert probe.raw.value > 0.9
    assert probe.equalised == Value(value=0.5, low=0.5, high=0.5)
    assert failed(found) == {"shortcut_raw"}


def test_every_source_has_its_probe(folder: Folder) -> None:
    found = planted(folder, "ab").check()
    assert [probe.scope for probe in found.probes] == ["all", "a", "b"]
    assert codes(found) == {"shortcut_raw": 3}
    accepted = folder.check(equalised_only=True)
    assert codes(accepted) == {"shortcut_raw": 3}
    assert not accepted.failed


@pytest.mark.parametrize(
    ("scope", "value", "low", "fails"),
    [("all", 0.61, 0.4, True), ("all", 0.6, 0.55, False), ("a", 0.9, 0.59, False),
     ("a", 0.7, 0.61, True)],
)  # fmt: skip
def test_the_whole_fails_by_its_auc_and_a_source_by_its_interval(
    scope: str, value: float, low: float, fails: bool
) -> None:
    half = Value(value=0.5, low=0.5, high=0.5)
    for name, code in (("raw", "shortcut_raw"), ("equalised", "shortcut_equalised")):
        values = {"raw": half, "raw_bytes": half, "equalised": half, "equalised_bytes": half}
        values[name] = Value(value=value, low=low, high=1.0)
        probe = Probe(scope=scope, real=10, forged=10, **values)
        found = [one.code for one in findings.of_probes([probe], 0.6, False)]
        assert found == ([code] if fails else [])


def test_the_command_prints_both_and_fails_loudly(folder: Folder) -> None:
    planted(folder)
    ran = run(folder)
    assert ran.exit_code == 3
    assert "| all | 20 | 20 | 1.000 (1.000–1.000) |" in ran.stdout
    assert "| 0.500 (0.500–0.500) |" in ran.stdout
    assert "FAILED  shortcut_raw  1" in ran.stdout
    assert "error[check_failed] the dataset fails its check: shortcut_raw" in ran.stderr
    assert run(folder, "--equalised").exit_code == 0
    assert run(folder, "--max-shortcut", "1").exit_code == 0
    assert run(folder, "--max-shortcut", "0.2").exit_code == 2


def test_a_probe_uses_one_picture_of_every_group() -> None:
    groups = np.asarray([0, 0, 1, 1, 1, 2, 3])
    chosen = shortcuts.independent(np.arange(7), groups)
    assert sorted(groups[chosen].tolist()) == [0, 1, 2, 3]
    pairs = np.repeat(np.arange(200), 2)  # an original, then its forgery: neither is preferred
    assert 60 < int((shortcuts.independent(np.arange(400), pairs) % 2).sum()) < 140


def test_too_few_pictures_are_not_a_pass(folder: Folder) -> None:
    for n in range(6):
        folder.add(f"{n}.jpg", jpeg(scene(n)), ("real", "synthetic")[n % 2])
    (missing,) = folder.check().not_checked
    assert (missing.code, missing.what) == ("too_few", "shortcut probe of all")
    assert "NOT CHECKED  shortcut probe of all: 3 real and 3 forged" in run(folder).stdout


@pytest.mark.usefixtures("forest")
def test_without_the_train_extra_the_probe_is_not_passed(
    clean: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    ran = run(clean)
    assert ran.exit_code == 4
    assert "NOT CHECKED  shortcut probe: the package scikit-learn" in ran.stdout
    assert "error[missing_package]" in ran.stderr
    assert "pip install 'vlm_forensics[train]'" in ran.stderr
    clean.add("lie.jpg", jpeg(scene(0)), "synthetic")
    assert run(clean).exit_code == 3  # the rest is checked all the same


def bad_masks(folder: Folder) -> None:
    nothing, everything = (np.full((96, 96), value, np.uint8) for value in (0, 255))
    masks: Sequence[tuple[str, str, Pixels | None]] = (
        ("empty", "tampered", nothing), ("full", "tampered", everything),
        ("other", "tampered", everything[:, :48]), ("half", "tampered", np.eye(48, dtype=np.uint8)),
        ("none", "tampered", None), ("real", "real", everything),
    )  # fmt: skip
    for n, (name, label, mask) in enumerate(masks):
        folder.add(f"{name}.jpg", jpeg(scene(100 + n)), label,
                   mask=None if mask is None else png(mask))  # fmt: skip


def test_masks_that_do_not_fit(clean: Folder) -> None:
    bad_masks(clean)
    found = clean.check()
    assert codes(found) == {"mask_size": 1, "empty_mask": 1, "mask_on_real": 1, "full_mask": 1,
                            "no_mask": 1, "scaled_mask": 1}  # fmt: skip
    assert failed(found) == {"mask_size", "empty_mask", "mask_on_real"}
    assert found.pictures == 29


def test_everything_broken_is_named_and_the_rest_is_checked(clean: Folder) -> None:
    clean.add("broken.jpg", jpeg(scene(50))[:900], "real")
    clean.add("text.png", b"no picture", "real")
    clean.add("0.jpg", jpeg(scene(0)), "real")
    clean.add("gone.jpg", jpeg(scene(51)), "real")
    clean.add("odd.jpg", jpeg(scene(52)), "banana")
    clean.add("unmasked.jpg", jpeg(scene(53)), "tampered", mask=png(scene(53)))
    (clean.root / "gone.jpg").unlink()
    (clean.root / "masks/unmasked.jpg.png").unlink()
    ran = run(clean, "--json")
    assert ran.exit_code == 3
    found = Check.model_validate_json(ran.stdout)
    assert found.pictures == 24
    assert codes(found) == {"missing_image": 1, "broken_image": 2, "missing_mask": 1,
                            "unknown_label": 1, "duplicate_id": 1}  # fmt: skip
    shown = {one.code: one.examples for one in found.findings}
    assert {text.split(":")[0] for text in shown["broken_image"]} == {"broken.jpg", "text.png"}
    assert str(clean.root) not in ran.output


def test_wrong_json_is_named(tmp_path: Path) -> None:
    for n in range(4):
        (tmp_path / f"{n}.jpg").write_bytes(jpeg(scene(n)))
    rows = [json.dumps({"file_name": f"{n}.jpg", "label": "real"}) for n in range(3)]
    (tmp_path / "metadata.jsonl").write_text("\n".join([*rows, '{"file_name": "3.jpg", "lab']))
    found = check(open_dataset(tmp_path), tmp_path / "cache.jsonl")
    assert codes(found) == {"broken_row": 1}
    assert found.failed


@pytest.mark.parametrize("options", [["--dataset", "casja"], []])
def test_unknown_names_and_layouts_are_typed(tmp_path: Path, options: list[str]) -> None:
    ran = CliRunner().invoke(data.app, ["check", str(tmp_path), *options])
    assert isinstance(ran.exception, InputError)
    assert ran.exception.exit_code == 3
    assert ran.exception.hint


def test_nothing_decodes(folder: Folder) -> None:
    folder.add("text.png", b"no picture", "real")
    found = folder.check()
    assert found.pictures == 0
    assert failed(found) == {"broken_image"}


def test_balance(clean: Folder) -> None:
    clean.add("t.jpg", jpeg(scene(60)), "real", "test", "b")
    found = clean.check()
    assert found.splits == {"test": {"real": 1}, "train": {"real": 12, "synthetic": 12}}
    assert found.sources == {"a": {"real": 12, "synthetic": 12}, "b": {"real": 1}}
    assert codes(found) == {"one_sided_split": 1, "one_sided_source": 1}
    assert not found.failed


def test_an_interrupted_run_goes_on(clean: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    examine = pictures.examine

    def watched(sample: object, digest: str) -> pictures.Picture:
        if len(seen) == 10:
            raise KeyboardInterrupt
        seen.append(digest)
        return examine(sample, digest)  # type: ignore[arg-type]

    cache = clean.root.parent / "cache.jsonl"
    monkeypatch.setattr(pictures, "examine", watched)
    with pytest.raises(KeyboardInterrupt):
        clean.check()
    cache.write_text(cache.read_text() + '{"key": "torn')
    monkeypatch.setattr(pictures, "examine", lambda s, d: seen.append(d) or examine(s, d))
    first = clean.check()
    assert len(seen) == len(set(seen)) == 24
    assert clean.check() == first
    assert len(seen) == 24


def test_the_cache_follows_bytes_and_not_names(clean: Folder) -> None:
    clean.check()
    shutil.copy(clean.root / "1.jpg", clean.root / "0.jpg")
    assert failed(clean.check()) == {"label_conflict", "duplicate_across_classes"}


def test_another_file_is_never_taken_for_a_cache(clean: Folder) -> None:
    photo = clean.root.parent / "cache.jsonl"
    photo.write_bytes(jpeg(scene(0)))
    with pytest.raises(InputError, match=r"cache\.jsonl was not written by this command"):
        clean.check()
    assert photo.read_bytes() == jpeg(scene(0))
