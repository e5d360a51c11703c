"""What single adapters, the readers below them and the command do beyond the contract."""

from __future__ import annotations

import builtins
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import image_bytes, layouts, mask_bytes, put
from PIL import Image
from typer.testing import CliRunner

from vlm_forensics import cli, datasets
from vlm_forensics.cli import data
from vlm_forensics.datasets import archives, tables
from vlm_forensics.datasets.base import Row, Sample, SkipCode, Skipped, within
from vlm_forensics.datasets.building import build
from vlm_forensics.datasets.pixels import decoding_fault, read_mask
from vlm_forensics.errors import InputError, PrerequisiteError
from vlm_forensics.taxonomy import Label

LAYOUTS = layouts()


def run(*words: object) -> Any:
    return CliRunner().invoke(data.app, [str(word) for word in words])


# Finding


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    with pytest.raises(InputError) as caught:
        datasets.get("fakeclu")
    assert caught.value.code == "unknown_dataset"
    assert caught.value.hint == "did you mean fakeclue?"


@pytest.mark.parametrize(("folder", "code"), [("empty", "unknown_layout"), ("no", "not_found")])
def test_a_folder_of_no_layout_is_a_typed_error(tmp_path: Path, folder: str, code: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        datasets.open_dataset(tmp_path / folder)
    assert caught.value.code == code
    assert str(tmp_path) not in caught.value.message


def test_two_layouts_in_one_folder_ask_for_a_name(tmp_path: Path) -> None:
    LAYOUTS["loki"].make(tmp_path)
    LAYOUTS["casia"].make(tmp_path)
    with pytest.raises(InputError, match="casia and like loki") as caught:
        datasets.open_dataset(tmp_path)
    assert caught.value.code == "ambiguous_dataset"
    assert datasets.open_dataset(tmp_path, "loki").name == "loki"


def test_a_dataset_of_which_nothing_is_left_is_an_error(tmp_path: Path) -> None:
    put(tmp_path / "index.csv", "path,label,split,source\ngone.png,real,train,a\n")
    with pytest.raises(InputError, match=r"1 skipped; first: gone\.png") as caught:
        datasets.open_dataset(tmp_path)
    assert caught.value.code == "empty_dataset"


# Plain folders and the first edition of CASIA


def test_plain_folders(tmp_path: Path) -> None:
    for name in ("train/0_real/a.png", "train/1_fake/gan/b.png", "test/tampered/c.png",
                 "test/tampered/d.png"):  # fmt: skip
        put(tmp_path / name, image_bytes(1))
    put(tmp_path / "test/masks/c.png", mask_bytes())
    listing = datasets.open_dataset(tmp_path)
    found = [(s.id, s.label, s.split, len(s.masks)) for s in listing.samples]
    assert found == [
        ("test/tampered/c.png", Label.TAMPERED, "test", 1),
        ("train/0_real/a.png", Label.REAL, "train", 0),
        ("train/1_fake/gan/b.png", Label.SYNTHETIC, "train", 0),
    ]
    (skipped,) = listing.skipped
    assert (skipped.where, skipped.code) == ("test/tampered/d.png", SkipCode.MISSING_MASK)


@pytest.mark.parametrize("tampered", ["Modified Tp/Tp/Sp", "Tp/Sp", "Sp"])
def test_the_first_edition_of_casia(tmp_path: Path, tampered: str) -> None:
    name = "Sp_D_CND_A_pla0005_pla0023_0281"
    put(tmp_path / "Au/Au_ani_0001.jpg", image_bytes(0))
    put(tmp_path / tampered / f"{name}.jpg", image_bytes(1))
    put(tmp_path / "Original Tp/Tp/Sp" / f"{name}.jpg", image_bytes(1))
    put(tmp_path / "CASIA 1.0 groundtruth/Sp" / f"{name}_gt.png", mask_bytes())
    listing = datasets.open_dataset(tmp_path)
    assert listing.name == "casia"
    assert [(s.source, s.category, len(s.masks)) for s in listing.samples] == [
        ("casia1", "ani", 0), ("casia1", "pla", 1),
    ]  # fmt: skip


def test_masks_of_casia_are_found_under_corrected_names(tmp_path: Path) -> None:
    pairs = {
        "Sp_D_NND_A_nat0054_nat0054_0189": "Sp_S_NND_A_nat0054_nat0054_0189",
        "Sp_D_NRN_A_ani0001_arc0059_0404": "Sp_D_NRN_A_arc0059_ani0001_0404",
        "Sp_D_NNN_A_ani0099_ani0100.0288": "Sp_D_NNN_A_ani0099_ani0100.0288",
        "Sp_D_NRN_A_sce0011_cha0011_0542": "Sp_D_NRN_A_ani0002_cha0012_0543",  # another's
    }
    put(tmp_path / "Au/Au_ani_0001.jpg", image_bytes(0))
    for image, mask in pairs.items():
        put(tmp_path / f"Sp/{image}.jpg", image_bytes(1))
        put(tmp_path / f"CASIA 1.0 groundtruth/{mask}_gt.png", mask_bytes())
    listing = datasets.open_dataset(tmp_path)
    masks = {s.path.name[:-4]: s.masks[0].name[:-7] for s in listing.samples if s.masks}
    assert masks == dict(list(pairs.items())[:3])
    assert [s.generator for s in listing.samples].count("copy-move") == 1
    assert [s.where for s in listing.skipped] == ["Sp/Sp_D_NRN_A_sce0011_cha0011_0542.jpg"]


def test_casia_as_it_was_published_has_no_masks(tmp_path: Path) -> None:
    put(tmp_path / "Au/Au_ani_00001.jpg", image_bytes(0))
    put(tmp_path / "Tp/Tp_D_CRN_S_N_cha00063_art00014_11818.jpg", image_bytes(1))
    listing = datasets.open_dataset(tmp_path)
    assert [s.has_mask for s in listing.samples] == [False, False]
    assert not listing.skipped


def test_loki_keeps_the_places_that_annotators_marked(tmp_path: Path) -> None:
    LAYOUTS["loki"].make(tmp_path)
    (box,) = datasets.open_dataset(tmp_path).samples[1].boxes
    assert (box.x, box.y, box.width, box.height) == (3.5, 4, 20, 12.25)
    assert box.text == "The ear\u2019s edge melts."


# Readers


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "a/../../b", "", ".", "..\\a.png"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no file inside"):
        within(tmp_path, name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_text_is_read_by_its_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    put(tmp_path / "a.json", mark + '[{"a": "ü"}]'.encode(encoding))
    assert [r.data for r in tables.json_rows(tmp_path, tmp_path / "a.json")] == [{"a": "ü"}]


def test_json_inside_an_object_and_rows_that_are_none(tmp_path: Path) -> None:
    put(tmp_path / "a.json", '{"data": [{"a": 1}, 7]}')
    row, skipped = tables.json_rows(tmp_path, tmp_path / "a.json", "data")
    assert isinstance(row, Row)
    assert (skipped.where, skipped.code) == ("a.json[1]", SkipCode.BROKEN_ROW)
    (skipped,) = tables.json_rows(tmp_path, tmp_path / "a.json", "other")
    assert skipped.code is SkipCode.BROKEN_FILE


def tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(content)
            archive.addfile(item, io.BytesIO(content))


def test_a_webdataset_shard_is_read_without_unpacking(tmp_path: Path) -> None:
    picture, mask = image_bytes(0), mask_bytes()
    files = {"x/a.png": picture, "x/a.mask.png": mask, "x/a.json": b'{"label": 1}',
             "x/b.png": picture, "x/b.json": b"{no"}  # fmt: skip
    tar(tmp_path / "0.tar", files)
    row, skipped = archives.webdataset_rows(tmp_path, tmp_path / "0.tar")
    assert isinstance(row, Row)
    assert row.data["__key__"] == "x/a"
    assert row.data["json"] == {"label": 1}
    assert row.data["png"].read_bytes() == picture
    assert row.data["mask.png"].read_bytes() == mask
    assert row.data["mask.png"].name == "a.mask.png"
    assert skipped == Skipped("0.tar[x/b]", SkipCode.BROKEN_ROW, "its json: JSONDecodeError")


@pytest.mark.parametrize("length", [700, 1400, 100])
def test_a_cut_off_tar_is_reported(tmp_path: Path, length: int) -> None:
    tar(tmp_path / "0.tar", {"a.png": image_bytes(0), "b.png": image_bytes(1)})
    put(tmp_path / "0.tar", (tmp_path / "0.tar").read_bytes()[:length])
    found = list(archives.members(tmp_path, tmp_path / "0.tar"))
    broken = [item for item in found if isinstance(item, Skipped)]
    for item in found:
        if not isinstance(item, Skipped):
            with pytest.raises(OSError, match="cut off"):
                item.read_bytes()
            broken.append(item)
    assert broken


def test_members_of_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("d/a.png", image_bytes(0))
        archive.writestr("__MACOSX/d/._a.png", b"of a Mac")
    (member,) = archives.members(tmp_path, tmp_path / "a.zip")
    assert not isinstance(member, Skipped)
    assert (member.name, member.read_bytes()) == ("a.png", image_bytes(0))
    put(tmp_path / "b.zip", b"PK no zip")
    (skipped,) = archives.members(tmp_path, tmp_path / "b.zip")
    assert isinstance(skipped, Skipped)
    assert skipped.code is SkipCode.BROKEN_FILE


def test_parquet_without_its_reader_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "core/train-00000-of-00001.parquet", b"PAR1")
    there = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return there(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(PrerequisiteError) as caught:
        datasets.open_dataset(tmp_path)
    assert caught.value.hint == "pip install 'vlm_forensics[train]'"


def test_a_mask_of_zeros_and_ones_is_one(tmp_path: Path) -> None:
    mask = put(tmp_path / "m.png", mask_bytes(white=1))
    sample = Sample(put(tmp_path / "a.png", image_bytes(0)), Label.TAMPERED, "", "s", masks=(mask,))
    assert read_mask(sample, 48, 48).sum() == 20 * 24


def test_a_mask_of_other_proportions_is_not_stretched(tmp_path: Path) -> None:
    path = put(tmp_path / "a.png", image_bytes(0))
    for shape, code in (((24, 24), None), ((24, 48), SkipCode.MASK_SIZE)):
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "m.png")
        fault = decoding_fault(
            Sample(path, Label.TAMPERED, "", "s", masks=(tmp_path / "m.png",), id="a")
        )
        assert (fault and fault.code) == code


# Building


def test_an_interrupted_build_goes_on(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    LAYOUTS["imagefolder"].make(root)
    listing = datasets.open_dataset(root)

    def interrupted(samples: tuple[Sample, ...]) -> Any:
        yield samples[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(listing, out, "test", interrupted)
    assert not (out / "index.csv").exists()
    assert build(listing, out, "test").resumed == 1
    index = (out / "index.csv").read_bytes()
    assert build(listing, out, "test").resumed == len(listing.samples)
    assert (out / "index.csv").read_bytes() == index


def test_a_build_does_not_write_into_anything_else(tmp_path: Path) -> None:
    LAYOUTS["imagefolder"].make(tmp_path / "set")
    put(tmp_path / "mine/thesis.txt", b"years")
    ran = run("build", tmp_path / "set", "--out", tmp_path / "mine")
    assert isinstance(ran.exception, InputError)
    assert (ran.exception.code, ran.exception.exit_code) == ("not_empty", 3)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_names_that_differ_in_little_do_not_meet(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    for seed, name in enumerate(("a b.png", "a_b.png", "A_B.png", "a_b.jpg")):
        put(root / "real" / name, image_bytes(seed))
    built = build(datasets.open_dataset(root), out, "test")
    again = datasets.open_dataset(out)
    assert len({s.path.read_bytes() for s in again.samples}) == len(built.listing.samples) == 4


# Commands


def test_list_shows_every_adapter() -> None:
    told = json.loads(run("list", "--json").stdout)
    assert [facts["name"] for facts in told] == list(datasets.names())
    shown = run("list").stdout.splitlines()
    assert len(shown) == len(told) + 1
    assert any("fakeclue" in line and "apache-2.0" in line and "verified" in line for line in shown)


def test_info_shows_the_card() -> None:
    ran = run("info", "loki")
    assert "layout: verified" in ran.stdout
    assert "media_data" in ran.stdout
    assert json.loads(run("info", "loki", "--json").stdout)["license"] == "apache-2.0"


def test_an_unknown_name_leaves_with_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["vlmf", "data", "info", "lokki"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 3
    told = capsys.readouterr().err
    assert "error[unknown_dataset]" in told
    assert "did you mean loki?" in told


def test_a_name_in_place_of_a_folder_is_explained(tmp_path: Path) -> None:
    ran = run("build", "fakeclue", "--out", tmp_path / "out")
    assert isinstance(ran.exception, InputError)
    assert "is the name of a dataset" in ran.exception.message
    assert not (tmp_path / "out").exists()
