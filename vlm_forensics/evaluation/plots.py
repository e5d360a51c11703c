"""A result as one HTML page with plots: inline SVG, no request, no script.

The style is allowed by its hash, as in `exporting.html`, and everything else is forbidden.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from vlm_forensics.evaluation.results import Bin, Curve, Evaluation, Table, Value
from vlm_forensics.evaluation.writing import cell_text, described

WIDTH, HEIGHT = 420, 340
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 44
COLOURS = 6
"""Line classes `c0` to `c5` of the style sheet."""


def page(found: Evaluation) -> str:
    """The whole page as text; write it as UTF-8."""
    style = files("vlm_forensics.evaluation").joinpath("plots.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    figures = [figure for figure in (
        _roc(found.roc), _reliability(found.reliability),
        _bars(found.table("generators")), _robustness(found.table("robustness")),
    ) if figure]  # fmt: skip
    return "\n".join([
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Evaluation of {escape(found.setting.model)}</title>",
        f"<style>{style}</style>\n</head>\n<body>\n<h1>Evaluation</h1>",
        f"<p>{escape(described(found.setting))}</p>",
        *(f'<p class="warning">{escape(warning)}</p>' for warning in found.warnings),
        '<div class="plots">', *figures, "</div>",
        *(_table(table) for table in found.tables),
        f"<p>Skipped: {len(found.skipped)}; all are named in the JSON.</p>",
        "</body>\n</html>\n",
    ])  # fmt: skip


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _frame(title: str, caption: str, across: str, up: str, drawn: Sequence[str]) -> str:
    """A figure with both axes from 0 to 1."""
    ticks = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        ticks += [
            f'<line class="grid" x1="{_x(share):.1f}" x2="{_x(share):.1f}" y1="{_y(0):.1f}" '
            f'y2="{_y(1):.1f}"/>',
            f'<line class="grid" x1="{_x(0):.1f}" x2="{_x(1):.1f}" y1="{_y(share):.1f}" '
            f'y2="{_y(share):.1f}"/>',
            f'<text x="{_x(share):.1f}" y="{_y(0) + 16:.1f}" text-anchor="middle">{share:g}</text>',
            f'<text x="{LEFT - 6}" y="{_y(share) + 4:.1f}" text-anchor="end">{share:g}</text>',
        ]
    return (
        f'<figure><h2>{escape(title)}</h2><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(ticks)}{"".join(drawn)}'
        f'<text x="{_x(0.5):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(across)}</text>'
        f'<text transform="rotate(-90)" x="{-_y(0.5):.1f}" y="14" text-anchor="middle">'
        f"{escape(up)}</text></svg><figcaption>{caption}</figcaption></figure>"
    )


def _diagonal() -> str:
    return (f'<line class="chance" x1="{_x(0):.1f}" y1="{_y(0):.1f}" x2="{_x(1):.1f}" '
            f'y2="{_y(1):.1f}"/>')  # fmt: skip


def _line(x: Sequence[float], y: Sequence[float], colour: int) -> str:
    points = " ".join(f"{_x(a):.1f},{_y(b):.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline class="c{colour % COLOURS}" points="{points}"/>'


def _key(names: Sequence[str]) -> str:
    return " ".join(f'<span class="k{n % COLOURS}">{escape(name)}</span>'
                    for n, name in enumerate(names))  # fmt: skip


def _roc(curves: Sequence[Curve]) -> str:
    if not curves:
        return ""
    drawn = [_line(curve.x, curve.y, n) for n, curve in enumerate(curves)]
    return _frame("ROC, real against forged", _key([curve.name for curve in curves]),
                  "false positive rate", "true positive rate", [_diagonal(), *drawn])  # fmt: skip


def _reliability(bins: Sequence[Bin]) -> str:
    if not bins:
        return ""
    largest = max(one.count for one in bins)
    dots = [
        f'<circle class="dot" cx="{_x(one.confidence):.1f}" cy="{_y(one.frequency):.1f}" '
        f'r="{3 + 7 * (one.count / largest) ** 0.5:.1f}"><title>{one.count} pictures</title>'
        "</circle>" for one in bins
    ]  # fmt: skip
    line = _line([one.confidence for one in bins], [one.frequency for one in bins], 0)
    drawn = [_diagonal(), line, *dots]
    return _frame("Reliability", "Area of a dot: number of pictures.",
                  "mean probability of forgery", "share forged", drawn)  # fmt: skip


def _bars(table: Table | None) -> str:
    """One bar with its interval per generator."""
    if table is None:
        return ""
    rows = [(str(row[0]), row[2]) for row in table.rows]
    values = [(name, value) for name, value in rows if isinstance(value, Value)]
    height = 22 * len(values) + BOTTOM
    drawn = []
    for n, (name, value) in enumerate(values):
        y = 22 * n + 6
        drawn.append(f'<text x="{LEFT + 88}" y="{y + 11}" text-anchor="end">'
                     f"{escape(_short(name))}</text>")  # fmt: skip
        if value.value is None or value.low is None or value.high is None:
            continue
        drawn += [
            f'<rect class="bar" x="{_bar(0):.1f}" y="{y}" height="14" '
            f'width="{_bar(value.value) - _bar(0):.1f}"><title>{escape(str(value))}</title></rect>',
            f'<line class="whisker" x1="{_bar(value.low):.1f}" x2="{_bar(value.high):.1f}" '
            f'y1="{y + 7}" y2="{y + 7}"/>',
        ]
    bottom = 22 * len(values)
    scale = "".join(
        f'<line class="grid" x1="{_bar(share):.1f}" x2="{_bar(share):.1f}" y1="0" y2="{bottom}"/>'
        f'<text x="{_bar(share):.1f}" y="{bottom + 16}" text-anchor="middle">{share:g}</text>'
        for share in (0, 0.5, 1)
    )
    return (
        f'<figure><h2>AUC by generator</h2><svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="AUC by generator">{scale}{"".join(drawn)}</svg>'
        f"<figcaption>{escape(table.note)}</figcaption></figure>"
    )


def _bar(share: float) -> float:
    start = LEFT + 96
    return start + share * (WIDTH - start - RIGHT)


def _short(name: str) -> str:
    return name if len(name) <= 22 else name[:21] + "…"


def _robustness(table: Table | None) -> str:
    """AUC and flip rate over the conditions, in the order of the grid."""
    if table is None:
        return ""
    count = max(1, len(table.rows) - 1)
    x = [n / count for n in range(len(table.rows))]
    drawn = [
        _line(x, [_number(row[column]) for row in table.rows], n) for n, column in enumerate((3, 2))
    ]
    names = "; ".join(f"{n} {row[0]}" for n, row in enumerate(table.rows))
    caption = f"{_key(('AUC real/forged', 'verdict flips'))}<br>{escape(names)}"
    return _frame("Robustness", caption, f"condition, 0 to {count}", "share", drawn)


def _number(cell: object) -> float:
    return cell.value if isinstance(cell, Value) and cell.value is not None else 0.0


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell_text(cell))}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return (
        f"<section><h2>{escape(table.title)}</h2><p>{escape(table.note)}</p>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div></section>"
    )
