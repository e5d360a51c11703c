"""Do the explanations name what was done? Forged pictures of known operation, and photographs.

    VLMF_FORGE_WEIGHTS=DIR python benchmarks/claims.py --data DIR [--data DIR] -o claims.json

What every figure means is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without installation

from vlm_forensics.datasets.base import Sample
from vlm_forensics.datasets.equalise import centre_square, take
from vlm_forensics.datasets.indexed import read_index
from vlm_forensics.datasets.pixels import read_pixels
from vlm_forensics.detector import Detector
from vlm_forensics.evaluation.conditions import as_jpeg
from vlm_forensics.evaluation.metrics import Figure, as_json, markdown, wilson
from vlm_forensics.forge import NothingAlteredError, forge
from vlm_forensics.image import EvidenceImage
from vlm_forensics.model.vocabulary import OPERATIONS
from vlm_forensics.parsing import Answer, parse
from vlm_forensics.report import Report
from vlm_forensics.taxonomy import OPERATION_ARTIFACT, Artifact, Label, Operation, Verdict

PARSED = {"ok", "repaired"}
FORGED = {Verdict.SYNTHETIC, Verdict.TAMPERED}


@dataclass
class Case:
    """One picture, what was done to it, and its report."""

    data: bytes = field(repr=False)
    operation: Operation | None = None
    report: Report | None = None

    @property
    def kept(self) -> set[Artifact]:
        """Artifacts of the claims in the report."""
        return {claim.artifact for claim in self.report.rationale.claims}

    @property
    def written(self) -> set[Artifact]:
        """Artifacts of the claims the language model wrote, supported or not."""
        said = parse(self.report.rationale.text or "")
        return {claim.artifact for claim in said.claims} if isinstance(said, Answer) else set()


def photographs(data: list[Path], seed: int) -> list[Sample]:
    """Real pictures of the validation split, one source after the other, shuffled within."""
    rng = np.random.default_rng(seed)
    reals = [
        s for root in data for s in read_index(root) if s.split == "val" and s.label is Label.REAL
    ]
    shuffled = [reals[i] for i in rng.permutation(len(reals))]
    turn: Counter[str] = Counter()
    order = []
    for sample in shuffled:
        order.append((turn[sample.source], sample.source))
        turn[sample.source] += 1
    return [shuffled[i] for i in sorted(range(len(shuffled)), key=order.__getitem__)]


def square(sample: Sample) -> np.ndarray:
    """The equalised square before its JPEG."""
    rgb = read_pixels(sample.path)
    return take(rgb, centre_square(*rgb.shape[:2]))


def cases(data: list[Path], images: int, seed: int) -> list[Case]:
    """`images` forgeries, operations in turn, and as many other photographs."""
    found = photographs(data, seed)
    real = [Case(as_jpeg(square(sample))) for sample in found[:images]]
    rest, forged = found[images:], []
    operations = [
        operation for operation in OPERATIONS if operation is not Operation.FULL_GENERATION
    ]
    for n, photo in enumerate(rest):
        operation = operations[len(forged) % len(operations)]
        try:
            made = forge(square(photo), square(rest[n - 1]), operation, seed + n)
        except NothingAlteredError:  # a flat photo; the next one takes its place
            continue
        forged.append(Case(as_jpeg(made.rgb), operation))
        if len(forged) == images:
            break
    return forged + real


def share(hits: list[bool]) -> Figure:
    """How many, with Wilson's interval."""
    return wilson(sum(hits), len(hits))


def by_operation(forged: list[Case]) -> list[tuple[object, ...]]:
    """One row per operation: expected artifact, forgeries that name it, and called forged."""
    rows: list[tuple[object, ...]] = []
    for operation in dict.fromkeys(case.operation for case in forged):
        own = [case for case in forged if case.operation is operation]
        right = OPERATION_ARTIFACT[operation]
        rows.append((operation, right, len(own), sum(right in case.kept for case in own),
                     sum(right in case.written for case in own),
                     sum(case.report.verdict in FORGED for case in own)))  # fmt: skip
    return rows


def overall(forged: list[Case], real: list[Case]) -> dict[str, Figure | int]:
    """Every figure over all pictures."""
    truth = [OPERATION_ARTIFACT[case.operation] for case in forged]
    everything = forged + real
    claims = [claim for case in everything for claim in case.report.rationale.claims]
    texts = [case.report.rationale.text for case in everything]
    constant, _ = Counter(truth).most_common(1)[0]
    return {
        "forged: a claim of the report names the operation":
            share([t in case.kept for t, case in zip(truth, forged, strict=True)]),
        "forged: a claim of the text names it, supported or not":
            share([t in case.written for t, case in zip(truth, forged, strict=True)]),
        f"baseline: always claim {constant}": share([t is constant for t in truth]),
        "forged: any claim in the report": share([bool(case.kept) for case in forged]),
        "reals: any claim in the report": share([bool(case.kept) for case in real]),
        "reals: called forged": share([case.report.verdict in FORGED for case in real]),
        "answers that parse": share([case.report.parse_status in PARSED for case in everything]),
        "claims in reports": len(claims),
        "claims that a measurement corroborates": share([claim.corroborated for claim in claims]),
        "pictures": len(everything),
        "distinct texts": len(set(texts)),
    }  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Makes the pictures, explains each, prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--images", type=int, default=40, help="forgeries, and as many photographs")
    parser.add_argument("--model", default="vlmf-mini")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    run = parser.parse_args(argv)
    found = cases(run.data, run.images, run.seed)
    detector = Detector.from_pretrained(run.model)
    for case in track(found, "explaining", console=Console(stderr=True)):
        case.report = detector(EvidenceImage.from_bytes(case.data))
    forged = [case for case in found if case.operation]
    table, rows = (
        overall(forged, [case for case in found if not case.operation]),
        by_operation(forged),
    )
    header = ("operation", "artifact", "n", "in a claim", "in the text", "called forged")
    print(markdown(("figure", "value (95 % interval)"), table.items()))
    print("\n" + markdown(header, rows))
    if run.output:
        written = {
            "model": run.model,
            "figures": table,
            "operations": [dict(zip(header, row, strict=True)) for row in rows],
        }
        run.output.write_text(as_json(written), encoding="utf-8")


if __name__ == "__main__":
    main()
