"""`vlmf verify`: does a report belong to this image, and does a new run say the same?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from vlm_forensics.cli import console
from vlm_forensics.errors import InputError

if TYPE_CHECKING:
    from vlm_forensics.image import EvidenceImage
    from vlm_forensics.report import Mask, Report, Vqa

EPILOG = """\b
Exit codes: 0 every check holds; 3 (code bad_report) the file is not a report
of this schema, or a check does not hold; 3 the image was refused; 4 the model
that the report names is not here (then --no-rerun checks the rest).

\b
Examples:
  vlmf verify report.json photo.jpg
  vlmf verify report.json photo.jpg --no-rerun
"""

PROBABILITY_TOLERANCE = 0.01
MASK_IOU = 0.98
_MAX_REPORT_BYTES = 64 * 2**20


class Check(NamedTuple):
    """One comparison between the report and what was found now."""

    name: str
    holds: bool
    expected: str
    found: str


def verify(
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="Report, JSON.")],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The image it is about.")],
    no_rerun: Annotated[
        bool, typer.Option("--no-rerun", help="Check the file only, without the model.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="Name or folder of the model; the one the report names if left out."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    """Check a report against its image: schema, file facts, model files, and a new run.

    Verdict and model files must be equal, the probability may differ by 0.01, and the masks must
    overlap with an intersection over union of at least 0.98. Of a report of --mode vqa the verdict
    is derived again from the recorded answers; nobody is asked anew.
    """
    from vlm_forensics.image import EvidenceImage

    written = _read(report)
    evidence = EvidenceImage.open(image)
    checks = [Check("schema", True, written.schema_version, written.schema_version)]
    checks += compare_file(written, evidence)
    if written.vqa is not None:
        checks += compare_answers(written, written.vqa)
    elif not no_rerun:
        checks += compare_run(written, _again(written, evidence, model, offline))
    _print(checks)
    failed = [check.name for check in checks if not check.holds]
    if failed:
        raise InputError(
            "bad_report",
            f"{len(failed)} of {len(checks)} checks do not hold: {', '.join(failed)}",
            hint="the image, the report or the model is not the one of the original run",
        )


def compare_file(report: Report, image: EvidenceImage) -> list[Check]:
    """Is this the file that the report is about?"""
    old, new = report.image, image.facts()
    names = ("sha256", "bytes", "format", "width", "height", "orientation", "canonicalisation")
    return [_equal(name, getattr(old, name), getattr(new, name)) for name in names]


def compare_run(old: Report, new: Report) -> list[Check]:
    """Does a new run on the same image say the same?"""
    files = sorted(old.model.digests.keys() | new.model.digests.keys())
    digests = [
        _equal(f"digest of {name}", old.model.digests.get(name), new.model.digests.get(name))
        for name in files
    ]
    return [*digests, _equal("verdict", old.verdict, new.verdict),
            _near(old.probability, new.probability), _mask(old.mask, new.mask)]  # fmt: skip


def compare_answers(report: Report, vqa: Vqa) -> list[Check]:
    """Do probability, verdict and states of all probes follow from the recorded answers?"""
    from vlm_forensics.taxonomy import Verdict
    from vlm_forensics.vqa import judging
    from vlm_forensics.vqa.aggregation import state_of
    from vlm_forensics.vqa.questioning import Questioned

    states = [state_of(probe.answers) for probe in vqa.probes]
    again = Questioned(calibration=vqa.calibration, records=list(vqa.probes))
    failed = vqa.stopped in {"engine_failed", "cost_limit"}
    decided = judging.decide([again.first, *vqa.judgements[1:]]).verdict
    classes = {} if failed else again.classes
    wrong = [p.id for p, state in zip(vqa.probes, states, strict=True) if p.state != state]
    return [
        _equal("states of probes", "none differs", ", ".join(wrong) or "none differs"),
        _equal(f"verdict of the {again.first.by}", vqa.judgements[0].verdict, again.first.verdict),
        _near(report.probability, 1 - classes[str(Verdict.REAL)] if classes else None),
        _equal("verdict", report.verdict, Verdict.INCONCLUSIVE if failed else decided),
    ]


def _read(path: Path) -> Report:
    from pydantic import ValidationError

    from vlm_forensics.report import Report

    try:
        with path.open("rb") as file:
            text = file.read(_MAX_REPORT_BYTES + 1)
    except OSError as error:
        code = "not_found" if isinstance(error, FileNotFoundError) else "unreadable"
        raise InputError(code, f"{path.name} cannot be read", hint="check the path") from None
    hint = "give the JSON that vlmf explain --json wrote, one report a file"
    if len(text) > _MAX_REPORT_BYTES:
        raise InputError("bad_report", f"{path.name} is too large for a report", hint=hint)
    try:
        return Report.from_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the text"
        message = f"{path.name} is not a report of this schema: {where}: {first['msg']}"
        raise InputError("bad_report", message, hint=hint) from None


def _again(report: Report, image: EvidenceImage, model: str | None, offline: bool) -> Report:
    if report.mode.ran == "measurements":
        from vlm_forensics.vqa.examiner import VqaExaminer

        return VqaExaminer(None).examine(image).report
    from vlm_forensics.detector import Detector

    # A run that was not asked for a rationale is repeated without one.
    detector = Detector.from_pretrained(
        model or report.model.id, rationale=report.parse_status != "not_asked", offline=offline
    )
    return detector.examine(image).report


def _equal(name: str, old: object, new: object) -> Check:
    return Check(name, old == new, _shown(old), _shown(new))


def _near(a: float | None, b: float | None) -> Check:
    holds = a == b if a is None or b is None else abs(a - b) <= PROBABILITY_TOLERANCE + 1e-9
    return Check("probability", holds, _shown(a), _shown(b))


def _mask(old: Mask | None, new: Mask | None) -> Check:
    from vlm_forensics import masks

    shown = [f"{m.area_fraction:.1%} of the image" if m else "none" for m in (old, new)]
    if old is None or new is None or old.size != new.size:
        return Check("mask", old is new, *shown)
    a, b = masks.decode(old), masks.decode(new)
    union = int((a | b).sum())
    iou = int((a & b).sum()) / union if union else 1.0
    return Check("mask", iou >= MASK_IOU, shown[0], f"{shown[1]}, IoU {iou:.3f}")


def _shown(value: object) -> str:
    from vlm_forensics.image import printable

    if value is None:
        return "none"
    text = f"{value:.4f}" if isinstance(value, float) else printable(str(value))
    return f"{text[:16]}…" if len(text) == 64 else text


def _print(checks: list[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("", "check", "in the report", "found now"):
        table.add_column(heading)
    for check in checks:
        word, style = ("holds", "green") if check.holds else ("FAILS", "bold red")
        table.add_row(Text(word, style), *map(Text, check[:1] + check[2:]))
    console.stdout().print(table)
