"""A report as text for a terminal: the verdict first, then what supports and what weakens it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from vlm_forensics.exporting import wording
from vlm_forensics.report import Claim, Evidence, Report
from vlm_forensics.taxonomy import Verdict

_COLOURS = {
    Verdict.REAL: "green",
    Verdict.SYNTHETIC: "magenta",
    Verdict.TAMPERED: "red",
    Verdict.INCONCLUSIVE: "yellow",
}
"""Decoration only: the word stands beside it."""


def summary(report: Report) -> RenderableType:
    """The readable form of a report, as rich prints it."""
    return Group(
        *_verdict(report),
        *_section("Why", _why(report)),
        *_section("Claims", _claims(report)),
        *_section("Asked", _asked(report)),
        *_section("Also measured", _also(report)),
        *_section("Limits", _notices(report)),
        *_section("Metadata, beside the verdict and no part of it",
                  map(Text, wording.provenance_lines(report.provenance))),
        Text(),
        Text(f"Model: {wording.model_line(report.model)}", "dim"),
        Text(wording.CAVEAT, "italic"),
    )  # fmt: skip


def _verdict(report: Report) -> Iterator[Text]:
    facts = report.image
    yield Text.assemble(
        (f" {report.verdict.upper()} ", f"bold reverse {_COLOURS[report.verdict]}"),
        (f" {wording.headline(report)}", "bold"),
    )
    if report.model.stub:
        yield Text(wording.STUB_WARNING, "bold")
    yield Text(
        f"{wording.clean(facts.name)} · {wording.clean(facts.format)} "
        f"{facts.width}x{facts.height} · sha256 {facts.sha256[:12]}…"
    )
    yield Text(wording.mode_line(report))
    yield Text(_probabilities(report))
    yield Text(wording.MEANING[report.verdict])


def _probabilities(report: Report) -> str:
    if report.probability is None:
        return "No calibrated probability: the model gave none."
    classes = ", ".join(f"{name} {wording.chance(p)}" for name, p in report.classes.items())
    forged = f"Probability of forgery {wording.chance(report.probability)}"
    word = f"; strength of the verdict: {report.strength}" if report.strength else ""
    return f"{forged} ({classes}){word}"


def _section(title: str, lines: Iterable[RenderableType]) -> Iterator[RenderableType]:
    body = list(lines)
    if body:
        yield Text()
        yield Text(title, "bold")
        yield Padding(Group(*body), (0, 0, 0, 2), expand=False)


def _why(report: Report) -> Iterator[Text]:
    for reason in report.reasons:
        yield Text(wording.clean(reason.message))
    if report.rationale.summary:
        yield Text(wording.clean(report.rationale.summary))


def _claims(report: Report) -> Iterator[RenderableType]:
    for number, claim in enumerate(report.rationale.claims, start=1):
        yield Text.assemble((f"{number}. ", "bold"), wording.clean(claim.text))
        yield Padding(Group(*_backing(claim, report)), (0, 0, 0, 3), expand=False)


def _backing(claim: Claim, report: Report) -> Iterator[Text]:
    known = "backed by a measurement" if claim.corroborated else "by the model alone"
    yield Text(f"{claim.artifact.replace('_', ' ')}, {known}", "dim")
    for region in report.regions:
        if region.id == claim.region:
            yield Text(wording.place(region), "dim")
    for item in wording.support(claim, report):
        yield _evidence(item)


def _evidence(item: Evidence) -> Text:
    mark = " [unusual]" if item.unusual else ""
    where = f" in {wording.clean(item.region)}" if item.region else ""
    return Text.assemble(
        (f"{wording.clean(item.id)} {wording.clean(item.source)}{where}: ", "cyan"),
        wording.clean(item.text),
        (mark, "bold"),
    )


def _asked(report: Report) -> Iterator[Text]:
    if report.vqa is None:
        return
    yield Text(wording.asked_line(report.vqa))
    doubtful = {f"vlm:{p.id}" for p in report.vqa.probes if p.state in {"present", "disputed"}}
    for item in wording.loose_evidence(report):
        if item.source in doubtful:
            yield _evidence(item)


def _also(report: Report) -> Iterator[Text]:
    loose = [e for e in wording.loose_evidence(report) if not e.source.startswith("vlm:")]
    for item in loose:
        if item.unusual:
            yield _evidence(item)
    usual = sum(not item.unusual for item in loose)
    if usual:
        noun = "measurement" if usual == 1 else "measurements"
        yield Text(f"{usual} further {noun} within the usual range (in the JSON and HTML report)")


def _notices(report: Report) -> Iterator[Text]:
    for notice in (*report.limits, *report.image.notices):
        yield Text(f"- {wording.clean(notice.message)}")
    if report.consistency is not None and not report.consistency.agree:
        for note in report.consistency.notes:
            yield Text(f"- {wording.clean(note)}")
    for step in report.steps:
        if step.status == "failed":
            yield Text(f"- step {wording.clean(step.name)} failed: {wording.clean(step.message)}")
