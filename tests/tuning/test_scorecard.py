"""Figures of answers: what does not parse is wrong, and the detector stands beside the text."""

from __future__ import annotations

import json
import math

import pytest

from vlm_forensics.rewards import names
from vlm_forensics.rewards.base import Completion
from vlm_forensics.taxonomy import Label
from vlm_forensics.tuning import scorecard
from vlm_forensics.tuning.scorecard import Spoken


def said(text: str, label: Label, detector: Label, **parts: float) -> Spoken:
    return Spoken(text, 3, label, detector, dict.fromkeys(names()) | parts,
                  float(detector is label))  # fmt: skip


ANSWERS = [
    said("<answer>real</answer>", Label.REAL, Label.TAMPERED, verdict=1.0, format=1.0),
    said("<answer>tampered\npasted_object | all | It.</answer>", Label.REAL, Label.REAL,
         verdict=0.0, format=1.0),
    said("it is tampered, I think", Label.TAMPERED, Label.TAMPERED, verdict=0.0, format=0.0),
]  # fmt: skip


def test_an_answer_that_does_not_parse_is_wrong() -> None:
    found = scorecard.card(ANSWERS, {"verdict": 1.0, "format": 0.5})
    value = {name: figure.value for name, figure in found.figures.items()}
    assert value["parse rate"] == pytest.approx(2 / 3)
    assert value["verdict: balanced accuracy over the classes"] == pytest.approx(0.25)
    assert value["detector alone: balanced accuracy"] == pytest.approx(0.75)
    assert value["reals called forged by the text"] == 0.5
    assert value["detector alone: reals called forged"] == 0.5
    assert value["reals with a claim"] == 0.5
    assert math.isnan(value["mask"])
    assert value["detector alone: grounding"] == pytest.approx(2 / 3)
    assert value["detector alone: grounding of forged"] == 1.0
    assert found.reward == pytest.approx((1 + 0.5 / 1.5 + 0) / 3)


def test_a_card_survives_json() -> None:
    found = scorecard.card(ANSWERS, {"verdict": 1.0})
    again = scorecard.from_json(json.loads(json.dumps(scorecard.as_json(found))))
    assert str(again) == str(found)


@pytest.mark.parametrize(
    ("judged", "label", "expected"),
    [("real 90%", Label.REAL, 0.1), ("real 90%", Label.TAMPERED, 0.9),
     ("tampered 74%, copy move at 1 2 3 4", Label.TAMPERED, 0.26)],
)  # fmt: skip
def test_difficulty_is_the_distance_of_the_detector(
    judged: str, label: Label, expected: float
) -> None:
    assert scorecard.difficulty(judged, label) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("judged", "expected"),
    [("real 90%", "<answer>real</answer>"),
     ("tampered 74%, copy move at 1 2 3 4",
      "<answer>tampered [SEG]\nduplicated_region | 1 2 3 4 | The detector says so.</answer>"),
     ("synthetic 51%, full generation",
      "<answer>synthetic\ngenerator_texture | all | The detector says so.</answer>"),
     ("tampered 40%, splice",
      "<answer>tampered\npasted_object | all | The detector says so.</answer>")],
)  # fmt: skip
def test_the_baseline_repeats_the_detector(judged: str, expected: str) -> None:
    said = scorecard.repeated(judged)
    assert said == expected
    assert Completion(said).answer is not None
