"""What weakens a verdict, and the record of a run."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vlm_forensics.errors import InputError
from vlm_forensics.features import measure_all
from vlm_forensics.image import EvidenceImage
from vlm_forensics.limits import limits
from vlm_forensics.steps import Steps


def picture(width: int, height: int, *, grey: bool = False, quality: int = 0) -> EvidenceImage:
    """A smooth scene with grain, as PNG, or as JPEG of this quality."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    base = 128 + 60 * np.sin(x / 17) * np.cos(y / 23)
    grain = draw.normal(0, 6, (height, width, 3))
    rgb = np.clip(base[..., None] + grain, 0, 255).astype(np.uint8)
    image = Image.fromarray(rgb[..., 0] if grey else rgb)
    buffer = io.BytesIO()
    if quality:
        image.save(buffer, "JPEG", quality=quality)
    else:
        image.save(buffer, "PNG")
    return EvidenceImage.from_bytes(buffer.getvalue())


@pytest.mark.parametrize(
    ("image", "codes"),
    [
        (picture(300, 280), set()),
        (picture(300, 280, quality=95), set()),
        (picture(300, 120), {"tiny", "elongated"}),
        (picture(120, 200), {"tiny"}),
        (picture(300, 280, quality=30), {"heavy_compression"}),
        (picture(300, 280, grey=True), {"grayscale"}),
        (picture(1040, 1030), {"reduced"}),
    ],
)
def test_limits_follow_from_the_file(image: EvidenceImage, codes: set[str]) -> None:
    measured = measure_all(image, ["jpeg_quantisation"])
    found = limits(image, measured)
    assert {notice.code for notice in found} == codes
    assert all(notice.message.endswith(".") for notice in found)


def test_steps_are_timed_in_order() -> None:
    steps = Steps()
    with steps("one") as failed:
        pass
    assert not failed
    steps.skip("two", "not asked")
    assert [(s.name, s.status, s.message) for s in steps.done] == [
        ("one", "ok", ""), ("two", "skipped", "not asked"),
    ]  # fmt: skip
    assert all(step.seconds >= 0 for step in steps.done)


def test_a_failing_step_is_recorded_and_the_run_goes_on() -> None:
    steps = Steps()
    with steps("one") as failed:
        raise ZeroDivisionError("a path of the machine")
    assert failed  # type: ignore[unreachable]
    assert [(s.status, s.message) for s in steps.done] == [("failed", "ZeroDivisionError")]


@pytest.mark.parametrize("error", [InputError("empty_file", "it is empty"), KeyboardInterrupt()])
def test_typed_errors_and_interrupts_pass_through(error: BaseException) -> None:
    with pytest.raises(type(error)), Steps()("one"):
        raise error
