"""Rewards whose value is known."""

from __future__ import annotations

import numpy as np
import pytest

from vlm_forensics import rewards
from vlm_forensics.parsing import ParsedClaim, compose
from vlm_forensics.rewards import Completion, Facts
from vlm_forensics.rewards.scoring import score, trl_function
from vlm_forensics.taxonomy import Artifact, Label

LEFT = (0, 0, 49, 99)


def mask(columns: slice = slice(0, 50)) -> np.ndarray:
    area = np.zeros((100, 100), bool)
    area[:, columns] = True
    return area


def claim(artifact: Artifact, box: tuple[int, int, int, int] | None = LEFT) -> ParsedClaim:
    return ParsedClaim(artifact, box, "Seen here.")


def value(name: str, text: str, **columns: object) -> float | None:
    return rewards.get(name)(Completion(text), Facts.of(columns))


COPIED = compose(Label.TAMPERED, (claim(Artifact.DUPLICATED_REGION),))
REAL = compose(Label.REAL, ())


def test_format_tells_strict_repaired_and_junk_apart() -> None:
    assert value("format", COPIED) == 1
    assert value("format", COPIED.removesuffix("</answer>")) == 0.5
    assert value("format", "It is real.") == 0


def test_an_unparsed_verdict_is_wrong_even_if_it_names_the_label() -> None:
    assert value("verdict", REAL, label="real") == 1
    assert value("verdict", REAL, label="tampered") == 0
    assert value("verdict", "real", label="real") == 0
    assert value("verdict", REAL) is None


def test_box_is_the_iou_with_the_altered_areas_bounding_boxes() -> None:
    known = {"label": "tampered", "mask": mask()}
    assert value("box", COPIED, **known) == 1
    half = compose(Label.TAMPERED, (claim(Artifact.DUPLICATED_REGION, (0, 0, 24, 99)),))
    assert value("box", half, **known) == pytest.approx(0.5)
    assert value("box", compose(Label.TAMPERED, ()), **known) == 0
    assert value("box", COPIED, label="real", mask=mask()) is None


def test_box_does_not_want_the_hole_of_a_ring_left_out() -> None:
    ring = mask()
    ring[20:80, 10:40] = False
    assert value("box", COPIED, label="tampered", mask=ring) == 1


def test_mask_is_scored_end_to_end() -> None:
    known = {"label": "tampered", "mask": mask()}
    assert value("mask", COPIED, **known, predicted_mask=mask(slice(0, 100))) == 0.5
    assert value("mask", COPIED, **known, predicted_mask=mask()[::2, ::2]) == 1
    assert value("mask", COPIED, **known) is None
    assert value("mask", REAL, **known) == 0, "a missed tampering earns nothing"


def test_a_mask_on_a_real_picture_costs() -> None:
    assert value("mask", REAL, label="real") == 1
    assert value("mask", COPIED, label="real", predicted_mask=mask()) == 0
    assert value("mask", COPIED, label="real", predicted_mask=np.zeros((100, 100), bool)) == 0
    for accused in ("tampered", "synthetic"):
        assert value("mask", f"<answer>{accused}</answer>", label="real") == 0, "unmarked, yet said"
    assert value("mask", "junk", label="real") == 0
    assert value("mask", REAL, label="synthetic") is None


def test_an_invented_artifact_costs_as_much_as_a_grounded_one_earns() -> None:
    known = {"label": "tampered", "operation": "copy_move", "mask": mask(),
             "unusual": ["noise_level"]}  # fmt: skip
    right, measured = Artifact.DUPLICATED_REGION, Artifact.NOISE_MISMATCH
    invented = Artifact.INPAINTED_FILL

    def said(*artifacts: Artifact) -> float | None:
        text = compose(Label.TAMPERED, tuple(claim(artifact) for artifact in artifacts))
        return value("grounding", text, **known)

    assert said(right) == said(right, measured) == 1
    assert said(right, invented) == said(invented) == said() == 0
    assert said(right, measured, invented) == pytest.approx(1 / 3)
    assert said(Artifact.RESAMPLING_TRACE) == 0, "it was not measured"


def test_grounding_cannot_be_had_by_rewording_or_by_boxes_of_everything() -> None:
    known = {"label": "tampered", "operation": "copy_move", "mask": mask()}
    same = (claim(Artifact.DUPLICATED_REGION), ParsedClaim(Artifact.DUPLICATED_REGION, LEFT, "So."))
    assert value("grounding", compose(Label.TAMPERED, same), **known) == 0
    for box in (None, (0, 0, 99, 99)):
        everywhere = compose(Label.TAMPERED, (claim(Artifact.DUPLICATED_REGION, box),))
        assert value("grounding", everywhere, **known) == 0


def test_a_claim_beside_the_altered_area_is_not_grounded() -> None:
    known = {"label": "tampered", "operation": "copy_move", "mask": mask()}
    beside = compose(Label.TAMPERED, (claim(Artifact.DUPLICATED_REGION, (60, 0, 99, 99)),))
    assert value("grounding", beside, **known) == 0


def test_any_claim_on_a_real_picture_is_a_hallucination() -> None:
    assert value("grounding", REAL, label="real") == 1
    assert value("grounding", COPIED, label="real", unusual=["copy_move"]) == 0
    assert value("grounding", "junk", label="real") == 0


def test_consistency_counts_agreeing_pairs() -> None:
    assert value("consistency", COPIED, head="tampered", predicted_mask=mask()) == 1
    assert value("consistency", COPIED, head="real", predicted_mask=mask()) == pytest.approx(1 / 3)
    assert value("consistency", REAL, head="real") == 1
    assert value("consistency", REAL) is None


def test_brevity_falls_between_its_limits() -> None:
    lengths = {256: 1.0, 384: 0.5, 512: 0.0, 9000: 0.0}
    ids = [[0] * length for length in lengths]
    assert trl_function("brevity")([""] * 4, completion_ids=ids) == list(lengths.values())
    assert value("brevity", "word " * 384) == 0.5


def test_thinking_is_short_when_easy_and_present_when_hard() -> None:
    long = f"<think>{' '.join(f'w{n}' for n in range(32))}</think>{REAL}"
    assert value("thinking", REAL, difficulty=0.1) == 1
    assert value("thinking", long, difficulty=0.1) == 0.5
    assert value("thinking", REAL, difficulty=0.9) == 0
    assert value("thinking", long, difficulty=0.9) == 1
    assert value("thinking", f"<think>{'so ' * 32}</think>{REAL}", difficulty=0.9) == 1 / 16
    assert value("thinking", long) is None


def test_what_does_not_apply_is_left_out_of_the_mean() -> None:
    found = score(REAL, {"label": "real"}, {"verdict": 1.0, "format": 0.5, "thinking": 9.0})
    assert found.total == 1
    assert found.parts == {"verdict": 1.0, "format": 1.0, "thinking": None}
    assert score(REAL, {}, {"thinking": 1.0}).total is None


def test_masks_are_read_in_every_form_a_dataset_has_them() -> None:
    forms = (mask(), mask().astype(np.uint8) * 255, mask().astype(np.float32), mask().tolist())
    for form in forms:
        assert value("box", COPIED, label="tampered", mask=form) == 1
