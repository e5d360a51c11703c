"""What features measure on real photographs, so that an unusual value can be called so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Quantiles kept for each value."""
SHIPPED = Path(__file__).with_name("reference.json")


@dataclass(frozen=True, slots=True)
class Reference:
    """Quantiles of measured values over real photographs."""

    quantiles: Mapping[str, tuple[float, ...]]
    """By name, such as `npr.mean` or `noise_level.log2_ratio`: one number per level of `LEVELS`."""
    images: int

    def unusual(self, name: str, value: float) -> bool:
        """Whether the value lies outside the 1st to 99th percentile.

        A name without a reference is never unusual: nothing is known about it.
        """
        known = self.quantiles.get(name)
        return known is not None and not known[0] <= value <= known[-1]

    def save(self, path: Path) -> None:
        """Writes it as JSON."""
        rounded = {name: [float(f"{value:.6g}") for value in row]
                   for name, row in sorted(self.quantiles.items())}  # fmt: skip
        content = {"levels": LEVELS, "images": self.images, "quantiles": rounded}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path = SHIPPED) -> Reference:
        """The reference in this file; without a path the shipped one.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is not a reference with the levels of this version.
        """
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("levels") != list(LEVELS):
            raise ValueError(f"{path.name} is not a reference with the quantiles {LEVELS}")
        rows = {name: tuple(map(float, row)) for name, row in content["quantiles"].items()}
        return cls(rows, int(content["images"]))


def fit_reference(rows: Sequence[Mapping[str, float]]) -> Reference:
    """Quantiles of each name over the rows that have it.

    Args:
        rows: One mapping for each real photograph.

    Raises:
        ValueError: there are no rows, or a value is not finite.
    """
    if not rows:
        raise ValueError("a reference needs at least one photograph")
    found: dict[str, tuple[float, ...]] = {}
    for name in sorted({name for row in rows for name in row}):
        values = np.array([row[name] for row in rows if name in row], float)
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has a value that is not finite")
        found[name] = tuple(float(value) for value in np.quantile(values, LEVELS))
    return Reference(found, len(rows))
