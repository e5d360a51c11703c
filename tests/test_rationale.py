"""Claims stand on evidence, or they are dropped with the reason."""

from __future__ import annotations

import pytest

from vlm_forensics.features.base import Measurement
from vlm_forensics.features.clues import Clue
from vlm_forensics.parsing import Answer, Box, ParsedClaim
from vlm_forensics.rationale import LIKELY, Findings, claims, evidence, rationale
from vlm_forensics.report import Region
from vlm_forensics.taxonomy import Artifact, Label, Operation, Verdict

HERE: Box = (10, 20, 29, 39)
"""In hundredths; on a 200x100 picture the half-open box (20, 20, 60, 40)."""


def findings(
    *, likely: Operation = Operation.SPLICE, share: float = 0.9, noisy: bool = True,
    matches: float = 0.0, place: tuple[int, int, int, int] | None = (20, 20, 60, 40),
) -> Findings:  # fmt: skip
    rest = (1 - share) / (len(Operation) - 1)
    regions = [] if place is None else [
        Region(id="r1", box=place, area_fraction=0.1, score=0.9, reliability="high")
    ]  # fmt: skip
    clues = [
        Clue("noise_level", "noise_level.log2_ratio", 1.5, "noise 2.8x inside", noisy, True),
        Clue("copy_move", "copy_move.matches", matches, "copy move", False, False),
    ]
    measured = {"copy_move": Measurement("copy_move", {"matches": matches}, "Some points match.")}
    return Findings(
        measured, clues, {op: share if op is likely else rest for op in Operation},
        {"real": 0.1, "synthetic": 0.2, "tampered": 0.7}, regions, (100, 200),
    )  # fmt: skip


def answer(*said: ParsedClaim) -> Answer:
    return Answer(Label.TAMPERED, True, said, "ok")


def say(artifact: Artifact, box: Box | None = HERE) -> ParsedClaim:
    return ParsedClaim(artifact, box, "It is so.")


def test_evidence_is_numbered_and_placed() -> None:
    rows = evidence(findings())
    assert [row.id for row in rows] == ["e1", "e2", "e3", "e4"]
    assert [row.source for row in rows] == [
        "model:class_head", "model:operation_head", "feature:noise_level", "feature:copy_move",
    ]  # fmt: skip
    assert [row.region for row in rows] == [None, None, "r1", None]
    assert rows[0].value == pytest.approx(0.9)
    assert "splice (90%)" in rows[1].text
    assert rows[2].text == "Noise 2.8x inside the marked area, compared with the rest."
    assert rows[3].text == "Some points match."


def test_a_supported_claim_names_its_evidence_and_region() -> None:
    found = findings()
    (kept,), dropped = claims(answer(say(Artifact.PASTED_OBJECT)), found, evidence(found))
    assert (kept.region, kept.evidence, kept.corroborated) == ("r1", ("e2", "e3"), True)
    assert dropped == ()


def test_the_model_alone_supports_but_does_not_corroborate() -> None:
    found = findings(noisy=False)
    (kept,), _ = claims(answer(say(Artifact.PASTED_OBJECT)), found, evidence(found))
    assert (kept.evidence, kept.corroborated) == (("e2",), False)


def test_a_measurement_alone_supports() -> None:
    found = findings(likely=Operation.COPY_MOVE)
    (kept,), _ = claims(answer(say(Artifact.NOISE_MISMATCH)), found, evidence(found))
    assert (kept.evidence, kept.corroborated) == (("e3",), True)


def test_matching_points_support_a_copy_without_being_unusual() -> None:
    said = answer(say(Artifact.DUPLICATED_REGION))
    with_points, without = findings(matches=30), findings()
    (kept,), _ = claims(said, with_points, evidence(with_points))
    assert (kept.evidence, kept.corroborated) == (("e4",), True)
    assert claims(said, without, evidence(without))[0] == ()


@pytest.mark.parametrize(
    ("said", "found", "reason"),
    [
        (say(Artifact.NOISE_MISMATCH), findings(noisy=False), "no observation supports it"),
        (say(Artifact.RESAMPLING_TRACE), findings(), "no observation supports it"),
        (say(Artifact.INPAINTED_FILL), findings(noisy=False), "no observation supports it"),
        (say(Artifact.PASTED_OBJECT, (70, 70, 90, 90)), findings(), "its place is not in the mask"),
        (say(Artifact.PASTED_OBJECT), findings(place=None), "its place is not in the mask"),
    ],
)
def test_unsupported_claims_are_dropped_with_the_reason(
    said: ParsedClaim, found: Findings, reason: str
) -> None:
    kept, dropped = claims(answer(said), found, evidence(found))
    assert kept == ()
    assert dropped == (f"{said.artifact}: {reason}",)


def test_an_artifact_is_said_once() -> None:
    found = findings()
    said = answer(say(Artifact.PASTED_OBJECT), say(Artifact.PASTED_OBJECT, None))
    kept, dropped = claims(said, found, evidence(found))
    assert len(kept) == 1
    assert dropped == ("pasted_object: said twice",)


def test_operations_of_one_artifact_count_together() -> None:
    found = findings(share=0.0, noisy=False)
    half = LIKELY * 0.6
    shares = dict.fromkeys(Operation, 0.0) | {
        Operation.LOCAL_AUTOENCODER: half, Operation.LOCAL_SUPER_RESOLUTION: half,
        Operation.SPLICE: 1 - 2 * half,
    }  # fmt: skip
    found = Findings(found.measurements, found.clues, shares, found.classes, found.regions,
                     found.size)  # fmt: skip
    kept, _ = claims(answer(say(Artifact.RESYNTHESISED_TEXTURE)), found, evidence(found))
    assert [claim.evidence for claim in kept] == [("e2",)]


def test_a_box_points_at_the_region_it_overlaps_most() -> None:
    found = findings()
    second = Region(id="r2", box=(120, 50, 160, 90), area_fraction=0.1, score=0.8,
                    reliability="high")  # fmt: skip
    both = Findings(found.measurements, found.clues, found.operations, found.classes,
                    (*found.regions, second), found.size)  # fmt: skip
    there = say(Artifact.PASTED_OBJECT, (58, 50, 82, 88))
    (kept,), _ = claims(answer(there), both, evidence(both))
    assert kept.region == "r2"
    whole = say(Artifact.PASTED_OBJECT, None)
    (kept,), _ = claims(answer(whole), both, evidence(both))
    assert kept.region is None


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_summary_fits_the_verdict(verdict: Verdict) -> None:
    found = findings()
    observed = evidence(found)
    kept, _ = claims(answer(say(Artifact.PASTED_OBJECT)), found, observed)
    made = rationale(verdict, kept, ("a: b",), "said", observed)
    assert made.summary.endswith("Outside the range of real photographs: noise level.")
    assert ("pasted object" in made.summary) == (verdict is not Verdict.REAL)
    assert ("No evidence of forgery" in made.summary) == (verdict is Verdict.REAL)
    assert (made.claims, made.text, made.dropped) == (kept, "said", ("a: b",))


def test_nothing_unusual_is_said_so() -> None:
    made = rationale(Verdict.REAL, (), (), None, evidence(findings(noisy=False)))
    assert "No measurement lies outside the range of real photographs." in made.summary
