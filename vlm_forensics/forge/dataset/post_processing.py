"""What happens to a picture after it was made: saved, resized, screenshot, shared.

The chain is drawn without looking at the picture's class, so that compression, size and format of
a finished file say nothing about its label.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from vlm_forensics.forge.base import Mask, Rgb

CHAIN_ODDS = {"untouched": 0.1, "jpeg": 0.3, "webp": 0.1, "resized": 0.2, "screenshot": 0.1,
              "shared": 0.2}  # fmt: skip
"""How often each kind of chain is drawn."""
MIN_SIDE = 128
"""No step makes the short side smaller than this; a smaller picture is not resized."""
_SHARED_SIDES = (720, 960, 1080, 1280, 1600, 2048)
"""Long sides that networks and messengers allow."""
_SCREEN_SIDES = (720, 828, 1080, 1170, 1284, 1440)
"""Widths of screens, pixels."""
_KERNELS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC,
            "lanczos": cv2.INTER_LANCZOS4}  # fmt: skip
_CHROMA = ("4:4:4", "4:2:0")
_SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


@dataclass(frozen=True, slots=True)
class Resize:
    """New size by a factor, or by the longest (`fit="long"`) or other (`"width"`) side allowed."""

    kernel: str
    factor: float = 0.0
    side: int = 0
    fit: str = ""

    def scale(self, width: int, height: int) -> float:
        """The factor for a picture of this size, 1 where it is left alone."""
        if self.factor:
            wanted = self.factor
        elif self.fit == "width":
            wanted = self.side / width
        else:
            wanted = min(1.0, self.side / max(width, height))
        short = min(width, height)
        return 1.0 if wanted < 1 and short * wanted < MIN_SIDE else wanted


@dataclass(frozen=True, slots=True)
class Encode:
    """One save; quality is 1 to 100, chroma is for JPEG."""

    format: str
    quality: int = 0
    chroma: str = ""


Step = Resize | Encode


@dataclass(frozen=True, slots=True)
class Chain:
    """Steps in order; the last one saves the file."""

    kind: str
    steps: tuple[Step, ...]

    @property
    def suffix(self) -> str:
        """Suffix of the finished file, without the dot."""
        last = self.steps[-1]
        assert isinstance(last, Encode)
        return _SUFFIXES[last.format]

    def facts(self) -> dict[str, Any]:
        """Plain data for the sample's record; what a step does not use is left out."""
        steps = [{"step": type(step).__name__.lower(),
                  **{key: value for key, value in asdict(step).items() if value}}
                 for step in self.steps]  # fmt: skip
        return {"kind": self.kind, "steps": steps}


def draw(rng: np.random.Generator) -> Chain:
    """A chain; it knows nothing of the picture it will be applied to."""
    kind = str(rng.choice(list(CHAIN_ODDS), p=list(CHAIN_ODDS.values())))
    return Chain(kind, _STEPS[kind](rng))


def apply(chain: Chain, rgb: Rgb, mask: Mask) -> tuple[bytes, Mask]:
    """The finished file and the mask on its grid.

    Args:
        chain: of `draw`.
        rgb: `[H, W, 3]`.
        mask: `[H, W]`; moves with every resize, stays full or empty where it is.

    Returns:
        The bytes of the last save, and `[h, w]`.
    """
    data = b""
    for step in chain.steps:
        if isinstance(step, Resize):
            rgb, mask = _resized(step, rgb, mask)
        else:
            data = _encoded(step, rgb)
            if step is not chain.steps[-1]:
                rgb = _decoded(data)
    return data, mask


def _resized(step: Resize, rgb: Rgb, mask: Mask) -> tuple[Rgb, Mask]:
    height, width = mask.shape
    scale = step.scale(width, height)
    if scale == 1:
        return rgb, mask
    size = round(width * scale), round(height * scale)
    kernel = _KERNELS[step.kernel]
    if scale > 1 and step.kernel == "area":
        kernel = cv2.INTER_LINEAR  # area averaging repeats pixels upwards
    soft = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(rgb, size, interpolation=kernel), np.uint8), soft >= 0.5


def _encoded(step: Encode, rgb: Rgb) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(rgb)
    match step.format:
        case "JPEG":
            image.save(buffer, "JPEG", quality=step.quality, subsampling=step.chroma)
        case "WEBP":
            image.save(buffer, "WEBP", quality=step.quality)
        case _:
            image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _decoded(data: bytes) -> Rgb:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _jpeg(rng: np.random.Generator, low: int, high: int) -> Encode:
    return Encode("JPEG", int(rng.integers(low, high)), str(rng.choice(_CHROMA, p=[0.3, 0.7])))


def _untouched(rng: np.random.Generator) -> tuple[Step, ...]:  # noqa: ARG001
    return (Encode("PNG"),)


def _saved(rng: np.random.Generator) -> tuple[Step, ...]:
    last = _jpeg(rng, 50, 99)
    return (_jpeg(rng, 50, 99), last) if rng.random() < 0.25 else (last,)


def _web(rng: np.random.Generator) -> tuple[Step, ...]:
    return (Encode("WEBP", int(rng.integers(50, 96))),)


def _scaled(rng: np.random.Generator) -> tuple[Step, ...]:
    step = Resize(str(rng.choice(list(_KERNELS))), round(float(rng.uniform(0.4, 1.2)), 3))
    return step, Encode("PNG") if rng.random() < 0.2 else _jpeg(rng, 60, 99)


def _screen(rng: np.random.Generator) -> tuple[Step, ...]:
    """Shown at a screen's width, captured without loss, often sent on as JPEG."""
    step = Resize("linear", side=int(rng.choice(_SCREEN_SIDES)), fit="width")
    return step, Encode("PNG") if rng.random() < 0.6 else _jpeg(rng, 75, 96)


def _shared(rng: np.random.Generator) -> tuple[Step, ...]:
    """One to three hops, each of which limits the size and saves again."""
    steps: list[Step] = []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))):
        kernel = str(rng.choice(["area", "cubic", "lanczos"]))
        steps.append(Resize(kernel, side=int(rng.choice(_SHARED_SIDES)), fit="long"))
        steps.append(Encode("JPEG", int(rng.integers(65, 90)), "4:2:0"))
    if rng.random() < 0.15:
        steps[-1] = Encode("WEBP", int(rng.integers(60, 85)))
    return tuple(steps)


_STEPS = {"untouched": _untouched, "jpeg": _saved, "webp": _web, "resized": _scaled,
          "screenshot": _screen, "shared": _shared}  # fmt: skip
