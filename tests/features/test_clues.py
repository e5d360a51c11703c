"""Clues: what is compared, what is called unusual, and the line of the prompt."""

from __future__ import annotations

import numpy as np
import pytest

from vlm_forensics.features import names
from vlm_forensics.features.base import Measurement
from vlm_forensics.features.clues import (
    CONTRASTS,
    SUPPORT,
    Clue,
    clues,
    prompt_phrase,
    reference_row,
)
from vlm_forensics.features.reference import LEVELS, Reference
from vlm_forensics.taxonomy import Artifact


@pytest.fixture
def measured() -> dict[str, Measurement]:
    """Noise four times as strong in the left half; NPR without a map; one failed feature."""
    noise = np.ones((8, 8), np.float32)
    noise[:, :4] = 4
    return {
        "noise_level": Measurement("noise_level", {"sigma": 2.5, "other": 9.0}, "Noise.", noise),
        "npr": Measurement("npr", {"mean": 7.0}, "NPR."),
        "srm": Measurement("srm", {}, "SRM could not be measured."),
    }


def left(size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[:, : size // 2] = True
    return mask


def reference(**bounds: tuple[float, float]) -> Reference:
    rows = {name.replace("__", "."): tuple(np.linspace(*pair, len(LEVELS)).tolist())
            for name, pair in bounds.items()}  # fmt: skip
    return Reference(rows, 10)


def test_local_clues_come_first_and_measure_the_ratio(measured: dict[str, Measurement]) -> None:
    found = clues(measured, left(), reference(noise_level__log2_ratio=(-1, 1), npr__mean=(0, 9)))
    assert [(c.key, c.local) for c in found] == [
        ("noise_level.log2_ratio", True), ("noise_level.sigma", False), ("npr.mean", False),
    ]  # fmt: skip
    assert found[0].value == pytest.approx(2, abs=0.05)
    assert found[0].phrase == "noise 3.9x inside"
    assert [c.unusual for c in found] == [True, False, False]


@pytest.mark.parametrize("mask", [np.zeros((64, 64), bool), np.ones((64, 64), bool)])
def test_no_inside_or_no_outside_leaves_nothing_to_compare(
    measured: dict[str, Measurement], mask: np.ndarray
) -> None:
    assert not [c for c in clues(measured, mask, Reference({}, 0)) if c.local]


def test_nothing_is_unusual_without_a_reference(measured: dict[str, Measurement]) -> None:
    assert not any(c.unusual for c in clues(measured, left(), Reference({}, 0)))


def test_a_reference_row_names_what_the_clues_look_up(measured: dict[str, Measurement]) -> None:
    row = reference_row(measured, left())
    assert row.keys() == {c.key for c in clues(measured, left(), Reference({}, 0))}
    assert row["noise_level.sigma"] == 2.5


def clue(feature: str, value: float, *, unusual: bool = False, local: bool = True) -> Clue:
    return Clue(feature, f"{feature}.x", value, f"{feature} said", unusual, local)


def test_the_prompt_names_strong_contrasts_then_what_is_unusual() -> None:
    found = [
        clue("srm", 0.5), clue("ela", -2.0), clue("dwt_hh", 0.1, unusual=True),
        clue("npr", 3.0, unusual=True, local=False), clue("texture", 3.0, local=False),
        clue("copy_move", 12.0, local=False), clue("copy_move", 0.0, local=False),
    ]  # fmt: skip
    assert prompt_phrase(found) == "ela said, srm said, npr said, copy_move said"


def test_the_prompt_is_short_and_never_empty() -> None:
    many = [clue(f"f{n}", n, unusual=True, local=local)
            for n in range(1, 9) for local in (True, False)]  # fmt: skip
    assert prompt_phrase(many).count("said") == 7
    assert prompt_phrase([]) == "nothing stands out"


def test_every_artifact_can_be_supported_by_an_existing_feature() -> None:
    assert set(SUPPORT) == set(Artifact)
    assert set(CONTRASTS) <= set(names())
    for artifact, features in SUPPORT.items():
        assert features, artifact
        assert set(features) <= set(names())
