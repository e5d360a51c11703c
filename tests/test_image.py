"""The file and its pixels: rules of canonicalisation, gates, and the worker's isolation."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms, ImageOps

from vlm_forensics import sandbox
from vlm_forensics.containers import FORMATS, container_end, sniff
from vlm_forensics.decoding import decode
from vlm_forensics.errors import InputError
from vlm_forensics.image import DEFAULT_LIMITS, EvidenceImage, display_transform, printable

pillow_heif.register_heif_opener()

H, W = 48, 64
_ROWS, _COLUMNS = np.mgrid[0:H, 0:W]
PICTURE = np.stack([_ROWS * 5, _COLUMNS * 4, (_ROWS + _COLUMNS) * 2], axis=2).astype(np.uint8)


def saved(image: Image.Image | np.ndarray, format_name: str = "PNG", **options: object) -> bytes:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def codes(image: EvidenceImage) -> set[str]:
    return {notice.code for notice in image.notices}


def refusal(data: bytes, **limits: int) -> InputError:
    with pytest.raises(InputError) as caught:
        EvidenceImage.from_bytes(data, "x.png", limits=replace(DEFAULT_LIMITS, **limits))
    return caught.value


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_format_is_found_by_content(format_name: str) -> None:
    data = saved(PICTURE, format_name)
    image = EvidenceImage.from_bytes(data, "wrong.extension")
    assert (image.format, image.width, image.height) == (format_name, W, H)
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    assert image.data == data
    assert np.abs(image.rgb.astype(int) - PICTURE).mean() < 12
    assert codes(image) <= {"palette_expanded"}


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "BMP"])
def test_lossless_pixels_are_exact_and_read_only(format_name: str) -> None:
    image = EvidenceImage.from_bytes(saved(PICTURE, format_name))
    np.testing.assert_array_equal(image.rgb, PICTURE)
    assert image.rgb.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        image.rgb[0, 0, 0] = 1


def test_facts_and_quantization_of_a_jpeg() -> None:
    tables = [[row + 1 for row in range(64)], [65 - row for row in range(1, 65)]]
    image = EvidenceImage.from_bytes(saved(PICTURE, "JPEG", qtables=tables), "dir/a.jpg")
    assert image.quantization == {0: tuple(tables[0]), 1: tuple(tables[1])}
    facts = image.facts()
    assert (facts.name, facts.format, facts.bytes) == ("a.jpg", "JPEG", len(image.data))
    assert facts.canonicalisation == "stored-grid-srgb/1"
    assert EvidenceImage.from_bytes(saved(PICTURE)).quantization is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_reported_and_never_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(PICTURE, exif=exif)
    image = EvidenceImage.from_bytes(data)
    np.testing.assert_array_equal(image.rgb, PICTURE)
    assert image.orientation == orientation
    assert ("exif_rotated" in codes(image)) == (orientation != 1)
    viewer = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(display_transform(image.rgb, orientation), viewer)
    mask = image.rgb[..., 0] > 100
    np.testing.assert_array_equal(display_transform(mask, orientation), viewer[..., 0] > 100)


def test_transparency_is_laid_over_white() -> None:
    alpha = np.full((H, W, 1), 255, np.uint8)
    alpha[:, : W // 4] = 0
    image = EvidenceImage.from_bytes(saved(np.concatenate([PICTURE, alpha], axis=2)))
    assert (image.rgb[:, : W // 4] == 255).all()
    np.testing.assert_array_equal(image.rgb[:, W // 4 :], PICTURE[:, W // 4 :])
    assert "25.0%" in next(n.message for n in image.notices if n.code == "alpha_composited")


def test_opaque_alpha_changes_nothing() -> None:
    opaque = np.concatenate([PICTURE, np.full((H, W, 1), 255, np.uint8)], axis=2)
    image = EvidenceImage.from_bytes(saved(opaque))
    np.testing.assert_array_equal(image.rgb, PICTURE)
    assert codes(image) == set()


def test_palette_with_a_transparent_entry() -> None:
    indexed = Image.fromarray(np.tile(np.uint8([0, 1]), (H, W // 2)), "P")
    indexed.putpalette([200, 10, 20, 30, 220, 40])
    image = EvidenceImage.from_bytes(saved(indexed, transparency=0))
    assert image.rgb[0, 0].tolist() == [255, 255, 255]
    assert image.rgb[0, 1].tolist() == [30, 220, 40]
    assert codes(image) == {"palette_expanded", "alpha_composited"}


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, H * W).reshape(H, W).astype(np.uint16)
    image = EvidenceImage.from_bytes(saved(ramp))
    np.testing.assert_array_equal(image.rgb[..., 1], np.rint(ramp / 257).astype(np.uint8))
    assert codes(image) == {"high_bit_depth", "grayscale"}


def test_float_images_are_scaled_and_nan_is_refused() -> None:
    ramp = np.linspace(0, 1, H * W).reshape(H, W).astype(np.float32)
    image = EvidenceImage.from_bytes(saved(ramp, "TIFF"))
    np.testing.assert_array_equal(image.rgb[..., 0], np.rint(ramp * 255).astype(np.uint8))
    stretched = EvidenceImage.from_bytes(saved(ramp * 900 - 400, "TIFF"))
    assert (stretched.rgb.min(), stretched.rgb.max()) == (0, 255)
    ramp[3, 3] = np.nan
    assert refusal(saved(ramp, "TIFF")).code == "decode_failed"


@pytest.mark.parametrize(
    ("mode", "format_name", "code"),
    [
        ("1", "PNG", "bilevel"),
        ("L", "PNG", "grayscale"),
        ("CMYK", "JPEG", "cmyk_converted"),
        ("LAB", "TIFF", "lab_converted"),
    ],
)
def test_other_modes_become_rgb_with_a_notice(mode: str, format_name: str, code: str) -> None:
    gray = Image.fromarray(PICTURE).convert("L").convert("RGB")
    source = gray
    if mode == "LAB":
        to_lab = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        converted = ImageCms.applyTransform(gray, to_lab)
        assert converted is not None
        source = converted
    else:
        source = gray.convert(mode)
    image = EvidenceImage.from_bytes(saved(source, format_name))
    assert code in codes(image)
    expected = np.asarray(gray.convert("1").convert("RGB") if mode == "1" else gray)
    assert np.abs(image.rgb.astype(int) - expected).mean() < 4


def swapped_profile() -> bytes:
    """An sRGB profile with the red and blue primaries exchanged, still called sRGB."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12)
    at = {bytes(profile[i : i + 4]): i for i in entries}
    red, blue = at[b"rXYZ"], at[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def test_profiles_convert_only_when_they_are_not_srgb() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = EvidenceImage.from_bytes(saved(PICTURE, icc_profile=srgb))
    np.testing.assert_array_equal(same.rgb, PICTURE)
    assert codes(same) == set()
    swapped = EvidenceImage.from_bytes(saved(PICTURE, icc_profile=swapped_profile()))
    assert codes(swapped) == {"icc_converted"}
    assert np.abs(swapped.rgb[..., ::-1].astype(int) - PICTURE).max() <= 3
    broken = EvidenceImage.from_bytes(saved(PICTURE, icc_profile=b"no profile at all"))
    np.testing.assert_array_equal(broken.rgb, PICTURE)
    assert codes(broken) == {"icc_ignored"}


@pytest.mark.parametrize("format_name", ["GIF", "WEBP", "TIFF", "PNG"])
def test_only_the_first_frame_is_examined(format_name: str) -> None:
    black, white = Image.new("RGB", (W, H)), Image.new("RGB", (W, H), "white")
    data = saved(black, format_name, save_all=True, append_images=[white, black])
    image = EvidenceImage.from_bytes(data)
    assert image.rgb.max() < 8
    message = next(n.message for n in image.notices if n.code == "multi_frame")
    assert "3 frames" in message


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
def test_appended_bytes_are_noticed(format_name: str) -> None:
    data = saved(PICTURE, format_name)
    assert container_end(data, format_name) == len(data)
    image = EvidenceImage.from_bytes(data + b"PK\x03\x04" + b"\0" * 50)
    assert "trailing_data" in codes(image)


def test_gates_come_before_pixels() -> None:
    assert refusal(b"").code == "empty_file"
    assert refusal(saved(PICTURE), max_bytes=10).code == "file_too_large"
    assert refusal(saved(PICTURE), max_pixels=H * W - 1).code == "too_many_pixels"
    small = refusal(saved(PICTURE[:31]))
    assert small.code == "too_small"
    assert "64x31" in small.message
    for junk in (b"plain text", b"%PDF-1.7", b"<svg xmlns='...'/>", b"8BPS\0\1", b"%!PS-Adobe"):
        error = refusal(junk)
        assert error.code == "unsupported_format"
        assert "JPEG" in error.hint


def test_work_beside_the_decoder_starts_for_images_only() -> None:
    started: list[bool] = []
    image = EvidenceImage.from_bytes(saved(PICTURE), while_decoding=lambda: started.append(True))
    assert (image.height, started) == (H, [True])
    with pytest.raises(InputError):
        EvidenceImage.from_bytes(b"plain text", while_decoding=lambda: started.append(True))
    assert started == [True]


def test_a_camera_raw_thumbnail_is_not_judged() -> None:
    tags = Image.Exif()
    tags[0xC612] = b"\1\4\0\0"
    assert refusal(saved(PICTURE, "TIFF", tiffinfo=tags)).code == "unsupported_format"


def test_names_are_safe_to_print() -> None:
    data = saved(PICTURE)
    assert (
        EvidenceImage.from_bytes(data, "a/b\\\x1b[31mred\n\u202egpj.exe").name == "[31mred gpj.exe"
    )
    assert EvidenceImage.from_bytes(data, "\x00").name == "image"
    assert EvidenceImage.from_bytes(data).name == "-"
    assert len(printable("x" * 10_000)) == 200
    assert printable(os.fsdecode(b"caf\xe9.png")) == "caf.png"


def test_worker_and_direct_decoding_agree() -> None:
    data = saved(PICTURE, "JPEG", quality=77)
    direct = decode(data, DEFAULT_LIMITS)
    assert EvidenceImage.from_bytes(data).rgb.tobytes() == direct.rgb


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch):
    def run(body: str) -> None:
        monkeypatch.setattr(sandbox, "_START", "import os, sys, time, signal\n" + body)

    return run


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "decode_failed"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", "decode_timeout"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "decode_memory"),
        ("time.sleep(60)", "decode_timeout"),
        ("sys.stdin.buffer.read(); print('junk that is no header')", "decode_failed"),
        ("sys.stdout.buffer.write(b'\\0\\0\\0\\2[]')", "decode_failed"),
        ("sys.stdout.buffer.write(b'\\0\\0\\0\\2{}')", "decode_failed"),
    ],
)
def test_a_dying_or_lying_worker_is_a_typed_error(worker, body: str, code: str) -> None:
    worker(body)
    limits = replace(DEFAULT_LIMITS, wall_seconds=1.0)
    with pytest.raises(InputError) as caught:
        EvidenceImage.from_bytes(saved(PICTURE), limits=limits)
    assert caught.value.code == code


@pytest.mark.skipif(sys.platform != "linux", reason="address space limits")
def test_memory_limit_holds() -> None:
    flat = saved(Image.new("RGBA", (5000, 5000)), compress_level=1)
    error = refusal(flat, memory_bytes=160 * 2**20)
    assert error.code in {"decode_memory", "decode_failed"}


def test_worker_sees_nothing_of_our_environment(
    worker, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    canary = tmp_path / "seen"
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    worker(f"open({str(canary)!r}, 'w').write(repr(dict(os.environ)))")
    refusal(saved(PICTURE))
    assert "s3cret" not in canary.read_text()


def test_importing_the_image_layer_needs_no_torch() -> None:
    probe = "import sys, vlm_forensics.image; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_sniff_never_raises_on_prefixes() -> None:
    for format_name in FORMATS:
        data = saved(PICTURE, format_name)
        assert sniff(data) == format_name
        for size in range(16):
            sniff(data[:size])
            container_end(data[:size], format_name)
