"""Evidence, claims and summary of a report: every claim must stand on something observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vlm_forensics.features.base import Measurement
from vlm_forensics.features.clues import CONTRASTS, SUPPORT, Clue, prompt_phrase
from vlm_forensics.parsing import GRID, Answer, Box, ParsedClaim
from vlm_forensics.report import Claim, Evidence, Rationale, Region
from vlm_forensics.taxonomy import OPERATION_ARTIFACT, Artifact, Label, Operation, Verdict

MOST_CLAIMS = 3
LIKELY = 0.2
"""Probability of an operation from which the operation head supports a claim."""
_TOUCHES = 0.5
"""Share of a region from which a claim's box points at it.

The mask says where; the box of the text is coarse and only chooses among the mask's regions."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was observed on one image, before anything is said about it."""

    measurements: Mapping[str, Measurement]
    clues: Sequence[Clue]
    operations: Mapping[Operation, float]
    """Probabilities of the operation head, summing to 1; empty for a model without it."""
    classes: Mapping[str, float]
    regions: Sequence[Region]
    size: tuple[int, int]
    """`(height, width)` of the stored grid."""


def evidence(findings: Findings) -> tuple[Evidence, ...]:
    """The observations as numbered evidence: model parts, marked-area contrasts, whole image."""
    place = findings.regions[0].id if findings.regions else None
    rows = [_class_evidence(findings)]
    if findings.operations:
        rows.append(_operation_evidence(findings))
    for clue in findings.clues:
        if clue.local:
            text = f"{clue.phrase.capitalize()} the marked area, compared with the rest."
            rows.append(Evidence(id="", source=f"feature:{clue.feature}", text=text,
                                 value=clue.value, unit="log2 ratio", unusual=clue.unusual,
                                 region=place))  # fmt: skip
        else:
            rows.append(Evidence(id="", source=f"feature:{clue.feature}",
                                 text=findings.measurements[clue.feature].text,
                                 value=clue.value, unusual=clue.unusual))  # fmt: skip
    return tuple(row.model_copy(update={"id": f"e{n}"}) for n, row in enumerate(rows, 1))


def _class_evidence(findings: Findings) -> Evidence:
    shares = ", ".join(f"{name} {value:.0%}" for name, value in findings.classes.items())
    return Evidence(id="", source="model:class_head", text=f"Calibrated class head: {shares}.",
                    value=1 - findings.classes.get("real", 0.0), unit="probability")  # fmt: skip


def _operation_evidence(findings: Findings) -> Evidence:
    operation, share = max(findings.operations.items(), key=lambda item: item[1])
    name = operation.replace("_", " ")
    text = f"If it is forged, the likeliest operation is {name} ({share:.0%})."
    return Evidence(id="", source="model:operation_head", text=text, value=share,
                    unit="probability")  # fmt: skip


def possible(
    operations: Mapping[Operation, float], classes: Mapping[str, float]
) -> dict[Operation, float]:
    """Shares of the operations that the likeliest forged class allows, summing to 1.

    Whole-picture operations make a picture synthetic, all others tampered.
    """
    whole = classes.get(Verdict.SYNTHETIC, 0.0) > classes.get(Verdict.TAMPERED, 0.0)
    kept = {op: share for op, share in operations.items()
            if (OPERATION_ARTIFACT[op] is Artifact.GENERATOR_TEXTURE) == whole}  # fmt: skip
    total = sum(kept.values()) or 1.0
    return {op: share / total for op, share in kept.items()}


def judged_phrase(
    classes: Mapping[str, float], operations: Mapping[Operation, float], box: Box | None
) -> str:
    """What the heads say, as the language model is told: class, operation, main place."""
    name, share = max(classes.items(), key=lambda item: item[1])
    said = f"{name} {share:.0%}"
    if name == Verdict.REAL or not operations:
        return said
    operation = max(operations.items(), key=lambda item: item[1])[0].replace("_", " ")
    local = name == Verdict.TAMPERED and box is not None
    return f"{said}, {operation}" + (f" at {' '.join(map(str, box or ()))}" if local else "")


class Told(NamedTuple):
    """What the language model is told about a picture."""

    judged: str
    """What the heads say."""
    measured: str
    """What the features say."""
    outline: list[str]
    """How each line of the answer begins."""


def told(
    classes: Mapping[str, float], operations: Mapping[Operation, float], found: list[Clue],
    box: Box | None,
) -> Told:  # fmt: skip
    """What heads and features say, and what of it may be claimed."""
    return Told(judged_phrase(classes, operations, box), prompt_phrase(found),
                outline(classes, operations, found, box))  # fmt: skip


def outline(
    classes: Mapping[str, float], operations: Mapping[Operation, float], found: Sequence[Clue],
    box: Box | None,
) -> list[str]:  # fmt: skip
    """How the lines of the answer begin: what the evidence allows to be said, and where.

    The language model words it. Left to itself one of this size names what nothing supports.
    """
    verdict = Label(max(classes.items(), key=lambda item: item[1])[0])
    if verdict is Label.REAL or not operations:
        return [f"{verdict}"]
    named = OPERATION_ARTIFACT[max(operations.items(), key=lambda item: item[1])[0]]
    if verdict is Label.SYNTHETIC or box is None:
        return [f"{verdict}", f"{named} | all |"]
    side = sorted((c for c in found if c.local and c.unusual), key=lambda c: -abs(c.value))
    artifacts = dict.fromkeys([named, *(CONTRASTS[c.feature][1] for c in side)])
    place = " ".join(map(str, box))
    return [f"{verdict} [SEG]", *(f"{a} | {place} |" for a in list(artifacts)[:MOST_CLAIMS])]


def claims(
    answer: Answer, findings: Findings, observed: Sequence[Evidence]
) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    """The claims of the answer that evidence supports, and why the others were dropped."""
    kept: list[Claim] = []
    dropped: list[str] = []
    for said in answer.claims:
        region = _region(said, findings)
        if said.box is not None and region is None:
            dropped.append(f"{said.artifact}: its place is not in the mask")
            continue
        ids, corroborated = _support(said.artifact, findings, observed)
        if not ids:
            dropped.append(f"{said.artifact}: no observation supports it")
        elif any(claim.artifact is said.artifact for claim in kept):
            dropped.append(f"{said.artifact}: said twice")
        else:
            kept.append(Claim(artifact=said.artifact, text=said.text, evidence=ids,
                              region=region.id if region else None,
                              corroborated=corroborated))  # fmt: skip
    return tuple(kept), tuple(dropped)


def _region(said: ParsedClaim, findings: Findings) -> Region | None:
    if said.box is None:
        return None
    height, width = findings.size
    x0, y0, x1, y1 = said.box
    box = (
        x0 * width // GRID,
        y0 * height // GRID,
        (x1 + 1) * width // GRID,
        (y1 + 1) * height // GRID,
    )
    scored = [(_covered(region.box, box), region) for region in findings.regions]
    best = max(scored, key=lambda item: item[0], default=(0.0, None))
    return best[1] if best[0] >= _TOUCHES else None


def _covered(region: tuple[int, int, int, int], box: tuple[int, int, int, int]) -> float:
    """Share of the region's box that the other half-open box covers."""
    width = min(region[2], box[2]) - max(region[0], box[0])
    height = min(region[3], box[3]) - max(region[1], box[1])
    area = (region[2] - region[0]) * (region[3] - region[1])
    return max(0, width) * max(0, height) / area


def _support(
    artifact: Artifact, findings: Findings, observed: Sequence[Evidence]
) -> tuple[tuple[str, ...], bool]:
    """Ids of what supports the artifact, and whether a measurement is among it."""
    sources = {f"feature:{name}" for name in SUPPORT[artifact]}
    measured = [e for e in observed if e.source in sources and _speaks(e)]
    share = sum(p for op, p in findings.operations.items() if OPERATION_ARTIFACT[op] is artifact)
    model = [e for e in observed if e.source == "model:operation_head"] if share >= LIKELY else []
    return tuple(e.id for e in (*model, *measured)), bool(measured)


def _speaks(item: Evidence) -> bool:
    return item.unusual or (item.source == "feature:copy_move" and bool(item.value))


def rationale(
    verdict: Verdict, said: Sequence[Claim], dropped: Sequence[str], text: str | None,
    observed: Sequence[Evidence],
) -> Rationale:  # fmt: skip
    """The explanation of a verdict."""
    return Rationale(summary=_summary(verdict, said, observed), claims=tuple(said), text=text,
                     dropped=tuple(dropped))  # fmt: skip


def _summary(verdict: Verdict, said: Sequence[Claim], observed: Sequence[Evidence]) -> str:
    unusual = sorted({e.source.removeprefix("feature:").replace("_", " ") for e in observed
                      if e.unusual and e.source.startswith("feature:")})  # fmt: skip
    measured = f"Outside the range of real photographs: {', '.join(unusual)}." if unusual else (
        "No measurement lies outside the range of real photographs.")  # fmt: skip
    if verdict is Verdict.REAL:
        return f"No evidence of forgery was found. {measured}"
    names = ", ".join(dict.fromkeys(claim.artifact.replace("_", " ") for claim in said))
    lead = {
        Verdict.SYNTHETIC: "The picture as a whole looks generated",
        Verdict.TAMPERED: "Part of the picture looks altered",
    }.get(verdict, "The evidence does not settle it")
    return f"{lead}{f': {names}' if names else ''}. {measured}"
