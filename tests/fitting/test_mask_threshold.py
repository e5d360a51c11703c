"""The mask threshold is chosen on what reports show, not on more and not on less."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.datasets.equalise import SIDE
from vlm_forensics.fitting.calibrate import mask_threshold
from vlm_forensics.fitting.corpus import Corpus

CALLED, SUSPECTED, CLEARED = (0.1, 0.1, 0.8), (0.45, 0.2, 0.35), (0.8, 0.05, 0.15)
GENERATED = (0.1, 0.6, 0.3)
LOW = 0.5


class Case(NamedTuple):
    """One tampered picture: what is thought of it, and the heat from which its mask is right."""

    shares: tuple[float, float, float]
    right_from: float


def threshold(*cases: Case) -> float:
    count = len(cases)
    masks = np.zeros((count, SIDE, SIDE), bool)
    masks[:, :64, :64] = True
    names = np.array(["x"] * count)
    found = Corpus(
        np.zeros((count, 1, 1, 3), np.uint8), masks, np.full(count, 2), np.zeros(count, int),
        np.ones(count, bool), names, names, np.full(count, 90),
    )  # fmt: skip
    heat = [heatmap(case.right_from) for case in cases]
    return mask_threshold(found, heat, np.asarray([case.shares for case in cases]), LOW)


def heatmap(right_from: float) -> NDArray[np.float32]:
    """Hot on the true area, and around it as hot as leaves it out only from there on."""
    heat = np.full((SIDE, SIDE), right_from - 0.03, np.float32)
    heat[:64, :64] = right_from + 0.02
    return heat


def test_what_is_called_tampered_counts() -> None:
    assert threshold(Case(CALLED, 0.6)) == 0.6


def test_what_is_inconclusive_and_shown_a_mask_counts_as_much() -> None:
    assert threshold(Case(CALLED, 0.6), Case(SUSPECTED, 0.3), Case(SUSPECTED, 0.3)) == 0.3


def test_what_is_shown_no_mask_has_no_say() -> None:
    silent = [Case(CLEARED, 0.3), Case(CLEARED, 0.3), Case(GENERATED, 0.2), Case(GENERATED, 0.2)]
    assert threshold(Case(CALLED, 0.6), *silent) == 0.6
