"""The invariant on bad input: an `EvidenceImage`, or one typed error that gives nothing away."""

from __future__ import annotations

import os
import re
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from malformed import PICTURE, malformed, saved

from vlm_forensics import metadata
from vlm_forensics.errors import InputError
from vlm_forensics.image import EvidenceImage

CODES = set(re.findall(r"[a-z]+(?:_[a-z]+)*", str(InputError.__doc__).split("Codes:")[1]))
FILES = dict(malformed())
CORPUS = Path(__file__).parents[3] / "shared" / "hostile"
CORPUS_SAMPLE = 100
CORPUS_SECONDS = 50.0

EXPECTED = {
    "empty.jpg": "empty_file",
    "text.jpg": "unsupported_format",
    "vector.png": "unsupported_format",
    "paper.jpg": "unsupported_format",
    "layers.jpg": "unsupported_format",
    "icon.png": "unsupported_format",
    "film.heic": "unsupported_format",
    "huge.png": "too_many_pixels",
    "lying.png": "too_many_pixels",
    "huge.jpg": "too_many_pixels",
    "huge.gif": "too_many_pixels",
    "one.png": "too_small",
    "infinite.tiff": "decode_failed",
}
NOTICED = {
    "invisible.png": "alpha_composited",
    "invisible.webp": "alpha_composited",
    "palette_bytes.png": "alpha_composited",
    "colour_key.png": "alpha_composited",
    "gray_alpha.png": "grayscale",
    "two_frames.gif": "multi_frame",
    "two_frames.webp": "multi_frame",
    "stereo.jpg": "multi_frame",
    "frames.gif": "multi_frame",
    "deep.png": "high_bit_depth",
    "signed.tiff": "high_bit_depth",
    "ink.jpg": "cmyk_converted",
    "lab.tiff": "lab_converted",
    "zip_behind.jpg": "trailing_data",
    "picture_behind.png": "trailing_data",
    "turned6.jpg": "exif_rotated",
    "junk_icc.png": "icc_ignored",
}


def check(error: InputError, path: Path) -> None:
    assert error.code in CODES
    assert error.hint
    for line in (error.message, error.hint):
        assert line.isprintable()
        assert str(path.parent) not in line
        assert not re.search(r"0x[0-9a-f]{6}", line)


def examine(path: Path) -> EvidenceImage | InputError:
    """The outcome, after checking that it is one of the two that are allowed."""
    try:
        image = EvidenceImage.open(path)
    except InputError as error:
        check(error, path)
        return error
    assert image.rgb.shape == (image.height, image.width, 3)
    assert not image.rgb.flags.writeable
    image.facts().model_dump_json()
    metadata.read(image).model_dump_json()
    return image


@pytest.mark.parametrize("name", FILES)
def test_malformed_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    started = time.monotonic()
    outcome = examine(path)
    assert time.monotonic() - started < 10
    if name in EXPECTED:
        assert isinstance(outcome, InputError)
        assert outcome.code == EXPECTED[name]
    if name in NOTICED:
        assert isinstance(outcome, EvidenceImage)
        assert NOTICED[name] in {notice.code for notice in outcome.notices}
    if name.startswith("cut") and isinstance(outcome, EvidenceImage):
        # Nothing but the container's tail may be missing.
        whole = EvidenceImage.from_bytes(saved(PICTURE, outcome.format))
        np.testing.assert_array_equal(outcome.rgb, whole.rgb)


@pytest.mark.parametrize("name", ["\x1b[31mred.png", "two\nlines.png", "-rf.png", "a" * 200])
def test_odd_names(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FILES["really_a_png.jpg"])
    outcome = examine(path)
    assert isinstance(outcome, EvidenceImage)
    assert outcome.name.isprintable()
    path.write_bytes(b"no picture")
    assert isinstance(examine(path), InputError)


def code(path: Path) -> str:
    outcome = examine(path)
    assert isinstance(outcome, InputError)
    return outcome.code


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    assert code(tmp_path) == "is_directory"
    assert code(tmp_path / "missing.png") == "not_found"
    assert code(tmp_path / ("n" * 300)) == "unreadable"
    assert code(tmp_path / "zero\0byte") == "not_found"
    (tmp_path / "file").write_bytes(b"x")
    assert code(tmp_path / "file" / "below") == "not_found"


@pytest.mark.skipif(os.name != "posix", reason="POSIX file kinds")
def test_devices_pipes_and_links(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert code(tmp_path / "pipe.png") == "not_a_file"
    assert code(Path("/dev/zero")) == "not_a_file"
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert code(tmp_path / "loop.png") == "unreadable"
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    assert code(tmp_path / "dangling.png") == "not_found"
    (tmp_path / "real.png").write_bytes(FILES["really_a_png.jpg"])
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    assert isinstance(examine(tmp_path / "link.png"), EvidenceImage)


def test_a_sparse_giant_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(10 * 2**30)
    assert code(tmp_path / "sparse.png") == "file_too_large"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "locked.png").write_bytes(b"x")
    (tmp_path / "locked.png").chmod(0)
    assert code(tmp_path / "locked.png") == "unreadable"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the collected corpus is not part of the project")
def test_collected_corpus() -> None:
    files = sorted(path for path in CORPUS.rglob("*") if path.is_file())
    sample = files[:: max(1, len(files) // CORPUS_SAMPLE)]
    started, done = time.monotonic(), 0
    for path in sample:
        examine(path)
        done += 1
        if time.monotonic() - started > CORPUS_SECONDS:
            break
    if done < len(sample):
        warnings.warn(f"only {done} of {len(sample)} corpus files in the time", stacklevel=1)
    assert done > 20
