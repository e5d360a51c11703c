"""A detector that needs no weights. Its reports say `stub=True`: they mean nothing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm_forensics import masks
from vlm_forensics.errors import WeightsError
from vlm_forensics.image import EvidenceImage
from vlm_forensics.report import (
    Claim,
    Consistency,
    Evidence,
    ModelRecord,
    Notice,
    Provenance,
    Rationale,
    Report,
    Step,
)
from vlm_forensics.taxonomy import Artifact, Strength, Verdict


@dataclass(frozen=True)
class Examination:
    image: EvidenceImage
    report: Report
    heatmap: NDArray[np.float32] | None


def heatmap_of(image: EvidenceImage) -> NDArray[np.float32]:
    """A blob in the upper left, so that every turn of the picture can be told apart."""
    y, x = np.mgrid[0 : image.height, 0 : image.width].astype(np.float32)
    v, u = y / image.height, x / image.width
    return np.exp(-(((u - 0.35) / 0.14) ** 2 + ((v - 0.3) / 0.2) ** 2)).astype(np.float32)


def examination(image: EvidenceImage, verdict: Verdict = Verdict.TAMPERED) -> Examination:
    """A full report on this image with one region, two claims and three measurements."""
    heat = heatmap_of(image)
    marked = verdict is Verdict.TAMPERED
    found = masks.regions(heat, 0.5, rgb=image.rgb) if marked else []
    inconclusive = verdict is Verdict.INCONCLUSIVE
    tampered = {Verdict.TAMPERED: 0.78, Verdict.INCONCLUSIVE: 0.3}.get(verdict, 0.04)
    synthetic = 0.9 if verdict is Verdict.SYNTHETIC else 0.08
    report = Report(
        image=image.facts(),
        verdict=verdict,
        reasons=(Notice(code="abstain_band", message="It lies between the thresholds."),)
        * inconclusive,
        score=0.81,
        probability=synthetic + tampered,
        strength=None if inconclusive else Strength.STRONG,
        classes={
            "real": 1 - synthetic - tampered,
            "synthetic": synthetic,
            "tampered": tampered,
        },
        rationale=_rationale() if marked else Rationale(summary="Nothing stands out."),
        evidence=_evidence("r1" if marked else None),
        regions=tuple(found),
        mask=masks.encode(heat >= 0.5, 0.5) if marked else None,
        consistency=Consistency(head=verdict, text=None, mask="local", agree=True)
        if marked
        else None,
        provenance=Provenance(state="present", camera="Example Cam 5", software="Editor 2.1"),
        limits=(Notice(code="heavy_compression", message="JPEG quality is about 60."),),
        model=ModelRecord(
            id="stub",
            digests={"stub.safetensors": "ab" * 32},
            prompt="explain.v1",
            calibration="none",
            thresholds={"mask": 0.5},
            seed=0,
            dtype="float32",
            device="cpu",
            versions={"python": "3"},
            stub=True,
        ),
        steps=(Step(name="model", status="ok", seconds=0.25),),
        parse_status="ok",
        created="2026-01-02T03:04:05Z",
    )
    return Examination(image, report, heat if marked else None)


def _rationale() -> Rationale:
    return Rationale(
        summary="One area repeats another and its noise is lower than around it.",
        claims=(
            Claim(
                artifact=Artifact.DUPLICATED_REGION,
                text="The area matches another place of the image, shifted by 212 pixels.",
                region="r1",
                evidence=("e1", "e2"),
                corroborated=True,
            ),
            Claim(
                artifact=Artifact.COMPRESSION_MISMATCH,
                text="The file was compressed twice with different quality.",
                evidence=("e3",),
                corroborated=False,
            ),
        ),
        text="<answer>tampered [SEG]</answer>",
        dropped=("pasted_object: no evidence in the region",),
    )


def _evidence(region: str | None) -> tuple[Evidence, ...]:
    return (
        Evidence(id="e1", source="feature:copy_move", text="412 points match another place.",
                 value=412, unit="matches", unusual=True, region=region),
        Evidence(id="e2", source="feature:noise", text="Noise is 1.3 inside, 2.9 outside.",
                 value=1.3, unit="gray levels", unusual=True, region=region),
        Evidence(id="e3", source="feature:jpeg_ghost", text="A ghost appears at quality 71.",
                 value=71, unit="quality"),
        Evidence(id="e4", source="feature:npr", text="NPR energy is 0.031.", value=0.031),
    )  # fmt: skip


class Detector:
    """Follows the signature of the real detector; answers by `verdict`."""

    verdict = Verdict.TAMPERED
    broken = False

    def __init__(self, rationale: bool) -> None:
        self.rationale = rationale

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "vlmf-mini",  # noqa: ARG003
        *,
        rationale: bool = True,
        offline: bool = False,  # noqa: ARG003
    ) -> "Detector":
        if cls.broken:
            raise WeightsError("weights_missing", "the weights are not here", hint="fetch them")
        return cls(rationale)

    def examine(self, image: EvidenceImage) -> Examination:
        made = examination(image, self.verdict)
        if self.rationale:
            return made
        bare = made.report.model_copy(update={"parse_status": "not_asked"})
        return Examination(image, bare, made.heatmap)

    def __call__(self, image: EvidenceImage | str | Path | bytes) -> Report:
        if isinstance(image, bytes):
            image = EvidenceImage.from_bytes(image)
        elif not isinstance(image, EvidenceImage):
            image = EvidenceImage.open(image)
        return self.examine(image).report

    def batch(self, images: Iterable[EvidenceImage | str | Path | bytes]) -> Iterator[Report]:
        return map(self, images)
