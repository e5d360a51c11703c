"""Every training-free score: one entry each, with what it looks for and why to distrust it.

All are measured on the picture as `equalise` leaves it, or scores would differ with size and
compression of a file before anything that was done to it. What equalising erases is no score here:
error levels and JPEG ghosts (one more save at the same quality) and quantisation tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.errors import WeightsError
from vlm_forensics.features import measure_all
from vlm_forensics.features.base import Pixels
from vlm_forensics.taxonomy import Label
from vlm_forensics.training_free.disturbance import BLUR, DRAWS, NOISE

DISTURBED = f"noise {NOISE} in the tower's normalised input, {DRAWS} draws, blur {BLUR}"
"""Settings that go into cache keys and calibrations: other ones give other numbers."""


@dataclass(frozen=True, slots=True)
class Material:
    """One picture, and what an encoder that is at hand says of it."""

    pixels: Pixels
    """Equalised."""
    moved: NDArray[np.float64] | None = None
    """`[2]` of `disturbance.moved`; None without an encoder."""


@dataclass(frozen=True, slots=True)
class Score:
    """One number that may be unlike what real photographs have."""

    name: str
    """snake_case; a calibration and the measured figures go by it."""
    title: str
    looks_for: str
    """The trace, in half a sentence."""
    expected: Literal["higher", "lower"]
    """Where forged pictures are expected to lie. Only that side is ever called unusual."""
    finds: Label
    """The kind of forgery that it was made for."""
    caution: str
    paper: str
    measure: Callable[[Material], float | None]
    """None where it cannot be had: no encoder, no autoencoder, or the feature failed."""
    settings: str = ""
    """What the number depends on beside the picture."""

    def oriented(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values turned so that higher is what a forgery is expected to have."""
        return values if self.expected == "higher" else -values


def _feature(name: str, key: str) -> Callable[[Material], float | None]:
    return lambda material: measure_all(material.pixels, [name])[name].values.get(key)


def _moved(place: int) -> Callable[[Material], float | None]:
    return lambda material: None if material.moved is None else float(material.moved[place])


def _reconstruction(material: Material) -> float | None:
    from vlm_forensics.forge import networks

    try:
        again = networks.autoencode(material.pixels.rgb)
    except WeightsError as error:
        if error.code == "weights_missing":
            return None
        raise
    return float(np.abs(material.pixels.rgb.astype(np.int16) - again).mean())


_CONTENT = "It follows the picture's content before anything else: sky and foliage lie far apart."

SCORES: tuple[Score, ...] = (
    Score(
        "rigid", "RIGID",
        "how far the class token of a frozen encoder moves when noise is laid over the encoder's "
        "normalised input", "higher", Label.SYNTHETIC,
        "The paper's encoder is DINOv2-large, ours is small; others report AUC 0.59 on "
        "SynthBuster.",
        "He et al., RIGID, arXiv:2405.20112", _moved(0), DISTURBED,
    ),
    Score(
        "rigid_or_blur", "RIGID or blur",
        "the larger movement of that token under noise and under a slight blur",
        "higher", Label.SYNTHETIC,
        "A sharp photograph suffers from blur as well; others report AUC 0.52 on SynthBuster.",
        "MINDER, arXiv:2411.19117", _moved(1), DISTURBED,
    ),
    Score(
        "reconstruction", "Autoencoder reconstruction",
        "how little the picture changes on a round trip through the autoencoder of a generator, in "
        "grey levels", "lower", Label.SYNTHETIC,
        f"Only for generators with such an autoencoder, and after little compression. {_CONTENT}",
        "Ricker et al., AEROBLADE, CVPR 2024 (with LPIPS; ours is the mean absolute change)",
        _reconstruction,
    ),
    Score(
        "npr", "NPR",
        "neighbouring pixels that are too alike, as upsampling layers leave them",
        "lower", Label.SYNTHETIC, f"The paper trains a network on the map. {_CONTENT}",
        "Tan et al., CVPR 2024", _feature("npr", "mean"),
    ),
    Score(
        "dwt_hh", "Diagonal wavelet detail",
        "missing detail at the highest diagonal frequencies", "lower", Label.SYNTHETIC,
        f"Blur and shrinking do the same. {_CONTENT}",
        "Li et al., SAFE, KDD 2025", _feature("dwt_hh", "rms"),
    ),
    Score(
        "srm", "SRM residual",
        "too little that the neighbouring pixels do not predict", "lower", Label.SYNTHETIC,
        f"Denoising in cameras does the same. {_CONTENT}",
        "Fridrich & Kodovský, TIFS 2012", _feature("srm", "mean"),
    ),
    Score(
        "noise", "Noise level",
        "less noise than a sensor leaves", "lower", Label.SYNTHETIC,
        f"Denoising and shrinking remove sensor noise too. {_CONTENT}",
        "Donoho & Johnstone, 1994 (estimate)", _feature("noise_level", "sigma"),
    ),
    Score(
        "noise_outliers", "Uneven noise",
        "blocks whose noise does not fit their brightness", "higher", Label.TAMPERED,
        "Fine texture counts as noise.",
        "after Mahdian & Saic, 2009", _feature("noise_level", "outlier_share"),
    ),
    Score(
        "resampling", "Resampling period",
        "a period in the prediction residual", "higher", Label.TAMPERED,
        "Equalising resamples and compresses as well; fences and fabric are periodic.",
        "Gallagher, 2005; Kirchner, 2008", _feature("resampling", "peak"),
    ),
    Score(
        "texture", "Rich and poor texture",
        "poor texture too smooth beside rich texture", "higher", Label.SYNTHETIC,
        f"The paper trains a network on the patches. {_CONTENT}",
        "Zhong et al., PatchCraft, 2023", _feature("texture", "contrast"),
    ),
    Score(
        "copy_move", "Copied areas",
        "an area found again elsewhere in the picture", "higher", Label.TAMPERED,
        "Windows and tiles repeat honestly; only the centre square is searched.",
        "Amerini et al., TIFS 2011", _feature("copy_move", "matches"),
    ),
)  # fmt: skip


def measured(material: Material) -> dict[str, float]:
    """Every score that can be had, by name; all finite."""
    found = {score.name: score.measure(material) for score in SCORES}
    return {
        name: float(value)
        for name, value in found.items()
        if value is not None and np.isfinite(value)
    }


def as_markdown() -> str:
    """The scores as a table, for `docs/training_free.md`."""
    head = ("score", "looks for", "forgeries expected", "made for", "caution", "paper")
    rows = [(f"{score.title} (`{score.name}`)", score.looks_for, score.expected, score.finds,
             score.caution, score.paper) for score in SCORES]  # fmt: skip
    return table(head, rows) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
