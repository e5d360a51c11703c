"""`vlmf data list|info|build`: which datasets can be read, their cards, and reading one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlm_forensics.cli import console
from vlm_forensics.errors import InputError

if TYPE_CHECKING:
    from vlm_forensics.datasets.base import Sample, Skipped
    from vlm_forensics.datasets.building import Built

LIST_EPILOG = """\b
Examples:
  vlmf data list
  vlmf data list --json
"""

INFO_EPILOG = """\b
Examples:
  vlmf data info fakeclue
  vlmf data info casia --json
"""

BUILD_EPILOG = """\b
Writes index.csv, images/, masks/ and originals/ with their bytes unchanged,
skipped.csv with everything that was left out and why, and build.json. A run
that was interrupted goes on when the command is repeated.

\b
The exit code is 3 if anything was skipped; the rest is written all the same.

\b
Examples:
  vlmf data build FakeClue --out data/fakeclue
  vlmf data build downloads/set --dataset openfake --out data/openfake
  vlmf data build my_photos --out data/mine --split train --json
"""

_SHOWN = 10
"""Skipped things that are named on standard error; `skipped.csv` has all."""
_REFUSED_EXIT = 3

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_datasets(as_json: AsJson = False) -> None:
    """Show every dataset that can be read: licence, classes, masks, and if its layout was seen."""
    from vlm_forensics import datasets

    facts = [_facts(name) for name in datasets.names()]
    if as_json:
        console.write(json.dumps(facts, indent=2))
        return
    rows = [("NAME", "TITLE", "LICENCE", "CLASSES", "MASKS", "TEXT", "LAYOUT")]
    rows += [
        (f["name"], f["title"], f["license"], " ".join(f["classes"]), _yes(f["masks"]),
         _yes(f["explanations"]), f["layout"])
        for f in facts
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.write("  ".join(cells).rstrip())


def info(
    name: Annotated[str, typer.Argument(help="A name of `vlmf data list`.")],
    as_json: AsJson = False,
) -> None:
    """Show the card of a dataset: licence, size, known leaks, people, layout, how to obtain it."""
    facts = _facts(name)
    if as_json:
        console.write(json.dumps(facts, indent=2))
        return
    text = facts.pop("text")
    for key, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        console.write(f"{key}: {str(shown).strip()}")
    console.write(f"\n{text}")


def build(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder that holds the unpacked dataset.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New folder to write.")],
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its layout; found by itself if left out.")
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="For images published without a split.")
    ] = "test",
    as_json: AsJson = False,
) -> None:
    """Read a published dataset and write it as a folder with an index.csv for training."""
    from vlm_forensics import datasets
    from vlm_forensics.datasets.building import build as write

    if not folder.is_dir() and folder.name in datasets.names():
        raise InputError("not_found", f"{folder.name} is the name of a dataset, not a folder",
                         hint=f"vlmf data build DIR --dataset {folder.name} --out {out.name}; "
                              f"vlmf data info {folder.name} says where to get it")  # fmt: skip
    built = write(datasets.open_dataset(folder, dataset), out, split, _tracked)
    if as_json:
        console.write(json.dumps(built.as_json() | {"out": str(out)}, indent=2))
    else:
        _print(out, built)
    if built.listing.skipped:
        _name_skipped(built.listing.skipped)
        raise typer.Exit(_REFUSED_EXIT)


def _facts(name: str) -> dict[str, Any]:
    """Name, title and the card, as JSON holds it."""
    from vlm_forensics import datasets
    from vlm_forensics.datasets.cards import read_card

    adapter = datasets.get(name)
    card = read_card(name).model_dump(mode="json")
    return {"name": adapter.name, "title": adapter.title} | card


def _yes(value: bool) -> str:
    return "yes" if value else "-"


def _tracked(samples: tuple[Sample, ...]) -> Iterable[Sample]:
    """Progress on standard error, only where a person watches."""
    from rich.progress import track

    return track(samples, "checking and copying", console=console.stderr(), transient=True,
                 disable=not sys.stderr.isatty())  # fmt: skip


def _print(out: Path, built: Built) -> None:
    earlier = f", {built.resumed} of them by an earlier run" if built.resumed else ""
    console.write(f"{out}: {len(built.listing.samples)} samples of {built.listing.name}{earlier}")
    for split, labels in built.listing.counts().items():
        console.write(f"  {split}  " + "  ".join(f"{label} {n}" for label, n in labels.items()))


def _name_skipped(skipped: tuple[Skipped, ...]) -> None:
    from collections import Counter

    counts = Counter(item.code.value for item in skipped)
    console.note(f"skipped {len(skipped)}: " + ", ".join(f"{n} {c}" for c, n in counts.items()))
    for item in skipped[:_SHOWN]:
        console.note(f"  {item.code.value}  {item.where}: {item.why}")
    if len(skipped) > _SHOWN:
        console.note(f"  and {len(skipped) - _SHOWN} more in skipped.csv")
