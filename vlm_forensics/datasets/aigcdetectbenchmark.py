"""AIGCDetectBenchmark (Zhong et al. 2023, arXiv 2311.12397): the test sets of 16 generators.

Layout: `test/<generator>/{0_real,1_fake}/`, for some generators
`test/<generator>/<category>/{0_real,1_fake}/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import REAL_FAKE, class_images
from vlm_forensics.taxonomy import Label

_ADDED = (
    "ADM", "Glide", "Midjourney", "stable_diffusion_v_1_4", "stable_diffusion_v_1_5", "VQDM",
    "wukong", "DALLE2",
)  # fmt: skip
"""Generators that the test set of CNNDetection, of the same form, does not have."""


class AigcDetectBenchmark(DatasetAdapter):
    """One folder a generator, with photographs of its own."""

    name = "aigcdetectbenchmark"
    title = "AIGCDetectBenchmark"

    def probe(self, root: Path) -> bool:
        """`progan` of CNNDetection and one of the models that this benchmark added to it."""
        tests = _tests(root)
        return (tests / "progan").is_dir() and any(
            (tests / name / kind).is_dir() for name in _ADDED for kind in REAL_FAKE
        )

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Generator by generator."""
        for path, label in class_images(_tests(root), REAL_FAKE):
            generator, *category = path.relative_to(_tests(root)).parts[:-2]
            yield Sample(
                path=path,
                label=label,
                split="test",
                source=f"aigcdetectbenchmark/{generator}",
                generator=generator if label is Label.SYNTHETIC else "",
                id=path.relative_to(root).as_posix(),
                category=category[0] if category and category[0] not in REAL_FAKE else "",
            )


def _tests(root: Path) -> Path:
    """The zip file holds a folder `test`; some copies go without it."""
    return root / "test" if (root / "test").is_dir() else root
