"""A result as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from vlm_forensics.evaluation.metrics import markdown
from vlm_forensics.evaluation.results import Evaluation, Setting, Table

SHOWN_SKIPPED = 20
"""How many skipped things are named; all are counted, and all are in the JSON."""


def to_markdown(found: Evaluation) -> str:
    """All tables, with what was evaluated and what was not."""
    parts = [_headline(found), *(f"> {warning}" for warning in found.warnings)]
    parts += [_table(table) for table in found.tables]
    parts += list(_left_out(found))
    return "\n\n".join(parts) + "\n"


def described(setting: Setting) -> str:
    """One sentence on model, data and way."""
    with_text = "with" if setting.rationale else "without"
    last = f"asked questions, {setting.how}" if setting.how else f"{with_text} the language model"
    limit = f", the first {setting.limit} of each source and label" if setting.limit else ""
    return (
        f"Model {setting.model} ({setting.digest}), vlm_forensics {setting.package}; data "
        f"{', '.join(setting.data)}; split {setting.split}{limit}; pictures {setting.view}; "
        f"{last}."
    )


def _headline(found: Evaluation) -> str:
    counts = ", ".join(f"{count} {label}" for label, count in found.counts.items())
    return (
        f"# Evaluation\n\n{described(found.setting)}\n\nPictures of the image level: {counts}. "
        "Values in brackets are 95 % bootstrap intervals over pictures."
    )


def _table(table: Table) -> str:
    head = f"## {table.title}"
    body = markdown(table.columns, [[_cell(cell) for cell in row] for row in table.rows])
    return "\n\n".join(part for part in (head, table.note, body) if part)


def cell_text(cell: object) -> str:
    """A cell as a reader sees it."""
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def _cell(cell: object) -> str:
    return cell_text(cell).replace("|", "\\|").replace("\n", " ")


def _left_out(found: Evaluation) -> Iterator[str]:
    for source in found.setting.left_out:
        yield f"Left out of the image level by request: {source}."
    if found.failed:
        counts = ", ".join(f"{code} {count}" for code, count in found.failed.items())
        yield f"No answer of the system, counted as wrong: {counts}."
    if not found.skipped:
        yield "Nothing was skipped."
        return
    reasons = Counter(item.code for item in found.skipped)
    rows = [(_cell(code), count) for code, count in sorted(reasons.items())]
    yield f"## Skipped: {len(found.skipped)}\n\n" + markdown(("why", "n"), rows)
    shown = [(_cell(item.data), _cell(item.where), item.code, _cell(item.why))
             for item in found.skipped[:SHOWN_SKIPPED]]  # fmt: skip
    more = len(found.skipped) - len(shown)
    yield markdown(("data", "where", "code", "why"), shown) + (
        f"\n\n… and {more} more, in the JSON." if more else "")  # fmt: skip
