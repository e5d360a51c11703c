"""A report as one HTML page that needs nothing else: no request, no font, no server.

Text from files and models is escaped, and a content security policy allows only the page's own
style, script (both by hash) and embedded pictures, so escaped text that slipped through could
still not run or load anything.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_forensics.exporting import overlay, wording
from vlm_forensics.report import Claim, Evidence, Report

if TYPE_CHECKING:
    from vlm_forensics.detector import Examination


def page(examination: Examination) -> str:
    """The whole page as text; write it as UTF-8."""
    report = examination.report
    style, script = (_resource(name) for name in ("report.css", "report.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    return "\n".join([
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(report.image.name)}: {report.verdict} - vlm_forensics</title>",
        f"<style>{style}</style>\n</head>\n<body>",
        _header(report),
        '<main>\n<div class="columns">\n<div>',
        _figure(examination),
        _limits(report),
        "</div>\n<div>",
        _probabilities(report),
        _why(report),
        "</div>\n</div>",
        _asked(report),
        _evidence_table(report),
        _provenance(report),
        _record(report),
        f"</main>\n<script>{script}</script>\n</body>\n</html>\n",
    ])  # fmt: skip


def _text(text: str) -> str:
    return escape(wording.clean(text))


def _lines(text: str) -> str:
    return "\n".join(_text(line) for line in text.splitlines())


def _resource(name: str) -> str:
    return files("vlm_forensics.exporting").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data_url(array: NDArray[np.uint8], kind: str) -> str:
    buffer = io.BytesIO()
    # 4:4:4 keeps thin coloured edges; the page is for looking, the file itself for measuring.
    options = {"quality": 88, "subsampling": 0} if kind == "JPEG" else {"optimize": True}
    Image.fromarray(array).save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _header(report: Report) -> str:
    facts = report.image
    stub = f'<p class="stub">{wording.STUB_WARNING}</p>' if report.model.stub else ""
    return (
        f'<header>{stub}\n<p><span class="tag {report.verdict}">{report.verdict}</span></p>\n'
        f"<h1>{_text(wording.headline(report))}</h1>\n<p>{wording.MEANING[report.verdict]}</p>\n"
        f'<p class="soft">{_text(facts.name)} · {_text(facts.format)} · '
        f"{facts.width} &times; {facts.height} pixels · {facts.bytes:,} bytes<br>"
        f'<span class="mono">sha256 {facts.sha256}</span></p>\n'
        f'<p class="soft">{_text(wording.mode_line(report))}</p>\n'
        f'<p class="caveat">{wording.CAVEAT}</p>\n</header>'
    )


def _figure(examination: Examination) -> str:
    report = examination.report
    name = _text(report.image.name)
    shown = _data_url(overlay.picture(examination), "JPEG")
    base = f'<img src="{shown}" alt="The examined image {name}">'
    marked = report.mask is not None or examination.heatmap is not None
    if not marked and not report.regions:
        return (
            f'<figure><div class="stage">{base}</div>'
            '<figcaption class="soft">No place in the image is marked.</figcaption></figure>'
        )
    layer = _data_url(overlay.layer(examination), "PNG")
    area = _text(wording.percent(report.mask.area_fraction) if report.mask else "0%")
    return (
        f'<figure><div class="stage">{base}\n'
        f'<img class="layer" src="{layer}" '
        f'alt="Overlay: heat map and outline of the mask, which covers {area} of the image">\n'
        f'{_boxes(report)}<div class="edge"></div></div>\n'
        '<div class="slider"><label for="cut">Original</label>'
        '<input type="range" id="cut" min="0" max="100" value="100" '
        'aria-label="Share of the picture that shows the overlay, in percent">'
        "<span>Overlay</span></div>\n"
        f'<figcaption class="soft">Brighter colours: stronger response. Outline: mask, {area} of '
        "the image. Boxes: regions that the claims name.</figcaption></figure>"
    )


def _boxes(report: Report) -> str:
    width, height = overlay.display_size(report.image)
    size = max(14, max(width, height) // 45)
    shapes = []
    for region in report.regions:
        x0, y0, x1, y1 = overlay.display_box(region.box, report.image)
        box = f'x="{x0}" y="{y0}" width="{max(1, x1 - x0)}" height="{max(1, y1 - y0)}"'
        baseline = y0 - size // 3 if y0 > 1.4 * size else y0 + size
        shapes.append(
            f'<g data-region="{_text(region.id)}"><title>{_text(wording.place(region))}</title>'
            f'<rect class="back" {box}/><rect class="front" {box}/>'
            f'<text x="{x0 + size // 4}" y="{baseline}" font-size="{size}">'
            f"{_text(region.id)}</text></g>"
        )
    label = ", ".join(_text(wording.place(region)) for region in report.regions) or "none"
    return (
        f'<svg viewBox="0 0 {width} {height}" font-size="{size}" role="img" '
        f'aria-label="Regions: {label}">{"".join(shapes)}</svg>'
    )


def _probabilities(report: Report) -> str:
    if report.probability is None:
        return "<section><h2>Calibrated probabilities</h2><p>The model gave none.</p></section>"
    rows = "".join(
        f'<dt>{_text(name)}</dt><dd><meter min="0" max="1" value="{p:.4f}">'
        f'{_text(wording.chance(p))}</meter></dd><dd class="number">{_text(wording.chance(p))}</dd>'
        for name, p in report.classes.items()
    )
    word = f"; strength of the verdict: {report.strength}" if report.strength else ""
    return (
        f'<section><h2>Calibrated probabilities</h2><dl class="classes">{rows}</dl>'
        f"<p>Probability of forgery: <strong>{_text(wording.chance(report.probability))}</strong>"
        f"{word}.</p></section>"
    )


def _why(report: Report) -> str:
    reasons = "".join(f"<p>{_text(reason.message)}</p>" for reason in report.reasons)
    summary = f"<p>{_text(report.rationale.summary)}</p>" if report.rationale.summary else ""
    claims = "".join(_claim(claim, report) for claim in report.rationale.claims)
    listed = f'<ol class="claims">{claims}</ol>' if claims else "<p>No claim is made.</p>"
    return f"<section><h2>Why</h2>{reasons}{summary}{listed}</section>"


def _claim(claim: Claim, report: Report) -> str:
    region = f' data-region="{_text(claim.region)}" tabindex="0"' if claim.region else ""
    chips = [
        claim.artifact.replace("_", " "),
        claim.region or "whole image",
        "backed by a measurement" if claim.corroborated else "by the model alone",
    ]
    return (
        f"<li{region}><p>{_text(claim.text)}</p>"
        + "".join(f'<span class="chip">{_text(chip)}</span>' for chip in chips)
        + _items(_evidence_line(item) for item in wording.support(claim, report))
        + "</li>"
    )


def _evidence_line(item: Evidence) -> str:
    mark = " <strong>(unusual)</strong>" if item.unusual else ""
    return (
        f'{_text(item.id)} <span class="soft">{_text(item.source)}:</span> {_text(item.text)}{mark}'
    )


def _items(lines: Iterable[str]) -> str:
    listed = "".join(f"<li>{line}</li>" for line in lines)
    return f"<ul>{listed}</ul>" if listed else ""


def _limits(report: Report) -> str:
    notes = [notice.message for notice in (*report.limits, *report.image.notices)]
    if report.consistency is not None:
        notes.extend(report.consistency.notes)
    body = _items(map(_text, notes)) or "<p>None recorded for this image.</p>"
    return f"<section><h2>What weakens this verdict</h2>{body}</section>"


def _evidence_table(report: Report) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(item.id)}</th><td>{_text(item.source)}</td>'
        f'<td>{_text(item.text)}</td><td class="number">{_value(item)}</td>'
        f"<td>{_range(item)}</td>"
        f"<td>{_text(item.region or 'whole image')}</td></tr>"
        for item in report.evidence
    )
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Id", "Source", "Observation", "Value", "Range", "Where")
    )
    return (
        "<section><h2>Evidence measured on this image</h2>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Evidence table">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _range(item: Evidence) -> str:
    if item.source.startswith("vlm:"):
        return "said, not measured"
    return "unusual" if item.unusual else "usual"


def _asked(report: Report) -> str:
    if report.vqa is None:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{_text(probe.id)}</th><td>{_text(probe.state.replace("_", " "))}</td>'
        f"<td>{_text(answer.wording.replace('_', ' '))}</td><td>{_text(answer.status)}</td>"
        f"<td>{_text(answer.text or answer.why)}</td></tr>"
        for probe in report.vqa.probes
        for answer in probe.answers
    )
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Sign", "Outcome", "Asked", "Answer", "Verbatim")
    )
    return (
        "<section><h2>What was asked and answered</h2>"
        f"<p>{_text(wording.asked_line(report.vqa))}</p>"
        "<details><summary>Every answer</summary>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div></details></section>"
    )


def _value(item: Evidence) -> str:
    return "" if item.value is None else _text(f"{item.value:.4g} {item.unit}")


def _provenance(report: Report) -> str:
    return (
        "<section><h2>Metadata, beside the verdict and no part of it</h2>"
        f"{_items(map(_text, wording.provenance_lines(report.provenance)))}</section>"
    )


def _record(report: Report) -> str:
    model = report.model
    digests = "".join(
        f'<tr><td>{_text(name)}</td><td class="mono">{_text(digest)}</td></tr>'
        for name, digest in sorted(model.digests.items())
    )
    steps = _items(
        _text(f"{step.name}: {step.status}, {step.seconds:.2f} s. {step.message}")
        for step in report.steps
    )
    facts = {**model.thresholds, **model.versions}
    settings = "; ".join(f"{name} {value}" for name, value in facts.items())
    dropped = _items(map(_text, report.rationale.dropped))
    return (
        f"<section><h2>Record of the run</h2><p>{_text(wording.model_line(model))}</p>"
        f'<p class="soft">{_text(report.created)} · schema {report.schema_version} · '
        f"answer {report.parse_status}</p>"
        f"<details><summary>Settings, digests and steps</summary><p>{_text(settings)}</p>"
        f'<div class="scroll"><table><tbody>{digests}</tbody></table></div>{steps}</details>'
        + (f"<details><summary>Claims without evidence, left out</summary>{dropped}</details>"
           if dropped else "")
        + (f"<details><summary>What the language model wrote, verbatim</summary>"
           f"<pre>{_lines(report.rationale.text)}</pre></details>" if report.rationale.text else "")
        + "</section>"
    )  # fmt: skip
