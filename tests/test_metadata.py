"""Provenance claims: what is read, what is only looked for, and that junk never raises."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from vlm_forensics import metadata
from vlm_forensics.image import EvidenceImage

PICTURE = Image.fromarray(np.random.default_rng(5).integers(0, 256, (40, 40, 3), np.uint8))


def saved(format_name: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, format_name, **options)
    return buffer.getvalue()


def exif(**tags: object) -> Image.Exif:
    numbers = {"make": 0x010F, "model": 0x0110, "software": 0x0131, "modified": 0x0132}
    found = Image.Exif()
    for name, value in tags.items():
        found[numbers[name]] = value
    return found


def text(**chunks: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, value in chunks.items():
        info.add_text(key, value)
    return info


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_camera_fields(format_name: str) -> None:
    tags = exif(make="Canon", model="Canon EOS R5", software="Adobe Photoshop 25.1")
    tags.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    if format_name == "TIFF":  # Pillow writes no nested directory into a TIFF
        tags[0x0132] = "2024:05:06 07:08:09"
    found = metadata.read(EvidenceImage.from_bytes(saved(format_name, exif=tags)))
    assert found.state == "present"
    assert found.camera == "Canon EOS R5"
    assert found.software == "Adobe Photoshop 25.1"
    assert found.captured == "2024:05:06 07:08:09"
    assert found.generator_hints == ()
    assert found.c2pa == "absent"


def test_maker_and_model_are_joined() -> None:
    found = metadata.read(saved("JPEG", exif=exif(make="NIKON CORPORATION", model="Z 6")))
    assert found.camera == "NIKON CORPORATION Z 6"


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "BMP"])
def test_absence(format_name: str) -> None:
    found = metadata.read(saved(format_name))
    assert found == metadata.read(b"not an image")
    assert (found.state, found.camera, found.software) == ("absent", "", "")


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ({"parameters": "a cat\nSteps: 20, Sampler: Euler a"}, "generation parameters: a cat"),
        ({"prompt": '{"3": {"class_type": "KSampler"}}'}, "generation prompt"),
        ({"workflow": '{"nodes": []}'}, "ComfyUI workflow"),
        ({"Software": "NovelAI"}, "names NovelAI"),
        ({"Comment": "Steps: 30, CFG: 7, Sampler: DPM++"}, "generation parameters"),
    ],
)
def test_png_text_of_generators(chunks: dict[str, str], expected: str) -> None:
    found = metadata.read(saved(pnginfo=text(**chunks)))
    assert any(expected in hint for hint in found.generator_hints)


def test_xmp_source_type_and_tool() -> None:
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmp:CreatorTool="Adobe Firefly" '
        b'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/'
        b'trainedAlgorithmicMedia"/></x:xmpmeta>'
    )
    found = metadata.read(saved("JPEG", xmp=xmp))
    assert found.software == "Adobe Firefly"
    assert "IPTC digital source type trainedAlgorithmicMedia" in found.generator_hints
    assert "xmp names Adobe Firefly" in found.generator_hints


def test_ordinary_software_is_no_generator() -> None:
    for name in ("Adobe Photoshop Lightroom 7", "GIMP 2.10", "iPhone 15 17.1", "HDR+ 1.0"):
        found = metadata.read(saved("JPEG", exif=exif(software=name)))
        assert found.generator_hints == ()


def test_c2pa_is_looked_for_and_not_verified() -> None:
    box = b"\0\0\0\x40jumb\0\0\0\x30jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0"
    data = saved("JPEG")
    segment = b"\xff\xeb" + (len(box) + 2).to_bytes(2, "big") + box
    found = metadata.read(data[:2] + segment + data[2:])
    assert (found.state, found.c2pa) == ("present", "present_unverified")
    assert metadata.read(saved(pnginfo=text(Comment="c2pa jumbf"))).c2pa == "absent"


def test_hostile_text_is_made_harmless() -> None:
    nasty = "\x1b[2J\u202eevil\x07\r\n" + "A" * 5000
    found = metadata.read(saved(pnginfo=text(parameters=nasty, Software=nasty)))
    for value in (found.software, *found.generator_hints):
        assert len(value) <= 200
        assert value.isprintable()
        assert "evil" in value


def test_junk_never_raises() -> None:
    rng = np.random.default_rng(0)
    data = bytearray(saved("JPEG", exif=exif(make="Canon", software="x" * 300)))
    for _ in range(12):
        damaged = bytearray(data)
        for at in rng.integers(20, 400, 20):
            damaged[at] = rng.integers(0, 256)
        metadata.read(bytes(damaged))
    for junk in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", bytes(4096)):
        assert metadata.read(junk).state == "absent"
