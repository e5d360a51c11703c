"""`vlmf data check`: what is wrong with a dataset before anything is learnt or measured on it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_forensics.cli import console

if TYPE_CHECKING:
    from vlm_forensics.checking.results import Check, Counts
    from vlm_forensics.datasets.base import Sample

EPILOG = """\b
Looks at every picture and mask, at near-duplicates (perceptual hash), at the
balance of the classes, and at shortcuts: a classifier that sees format, size
and JPEG tables alone, on the files as they are and after equalise.

\b
The exit code is 3 if the check fails: something was skipped, near-duplicates
sit in several splits or under several labels, a mask contradicts its label, or
the AUC of file facts alone is above --max-shortcut. It is 4 if the shortcut
probe could not run for want of a package. Notes do not fail.

\b
What is known of single pictures is kept under digests of their bytes, so an
interrupted run goes on when the command is repeated.

\b
Examples:
  vlmf data check FakeClue
  vlmf data check my_photos --equalised          for sets that are equalised
  vlmf data check CASIA --cache casia.jsonl --json > check.json
"""

_FAILED_EXIT, _PACKAGE_EXIT = 3, 4
_LABELS = ("real", "synthetic", "tampered")


def check(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A dataset, as `vlmf data build` reads it.")
    ],
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its layout; found by itself if left out.")
    ] = None,
    max_shortcut: Annotated[
        float, typer.Option(min=0.5, max=1, help="Greatest AUC of file facts alone.")
    ] = 0.6,
    equalised: Annotated[
        bool, typer.Option("--equalised", help="Shortcuts fail only if equalise leaves them.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False,
                     help="Where facts of pictures are kept; default: in the cache folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Check a dataset: faults, near-duplicates, masks, balance, shortcuts."""
    from vlm_forensics import datasets
    from vlm_forensics.checking.check import check as run
    from vlm_forensics.weights import cache_folder

    found = run(
        datasets.open_dataset(folder, dataset),
        cache or cache_folder() / "checking" / "pictures.jsonl",
        max_shortcut=max_shortcut, equalised_only=equalised, progress=_tracked,
    )  # fmt: skip
    if as_json:
        console.write(found.model_dump_json(indent=1))
    else:
        _print(found)
    _leave(found)


def _tracked(samples: Sequence[Sample]) -> Iterable[Sample]:
    """Progress on standard error, only where a person watches."""
    from rich.progress import track

    return track(samples, "looking at pictures", console=console.stderr(), transient=True,
                 disable=not sys.stderr.isatty())  # fmt: skip


def _print(found: Check) -> None:
    from vlm_forensics.evaluation.metrics import markdown

    console.write(f"{found.pictures} usable pictures of {found.dataset}\n")
    for name, counts in (("split", found.splits), ("source", found.sources)):
        console.write(markdown((name, *_LABELS), _balance(counts)) + "\n")
    if found.probes:
        console.write("AUC of file facts alone, forged against real, with 95 % interval\n")
        header = ("pictures", "real", "forged", "raw", "raw, with bytes per pixel", "equalised",
                  "equalised, with bytes per pixel")  # fmt: skip
        rows = [(p.scope, p.real, p.forged, p.raw, p.raw_bytes, p.equalised, p.equalised_bytes)
                for p in found.probes]  # fmt: skip
        console.write(markdown(header, rows) + "\n")
    for finding in found.findings:
        word = "FAILED" if finding.fails else "note"
        console.write(f"{word}  {finding.code}  {finding.count}  {finding.what}")
        for example in finding.examples:
            console.write(f"    {example}")
        if finding.count > len(finding.examples):
            console.write(f"    and {finding.count - len(finding.examples)} more")
    for missing in found.not_checked:
        console.write(f"NOT CHECKED  {missing.what}: {missing.why}")


def _balance(counts: Counts) -> list[tuple[str, ...]]:
    return [(name, *(str(labels.get(label, 0)) for label in _LABELS))
            for name, labels in counts.items()]  # fmt: skip


def _leave(found: Check) -> None:
    """Say loudly that it failed, and leave with the documented exit code."""
    from vlm_forensics.errors import InputError, PrerequisiteError

    missing = any(one.code == "missing_package" for one in found.not_checked)
    if missing:
        console.fail(PrerequisiteError("scikit-learn", "train"))
    if found.failed:
        codes = ", ".join(finding.code for finding in found.failed)
        console.fail(InputError("check_failed", f"the dataset fails its check: {codes}",
                                hint="vlmf data check --help says what fails"))  # fmt: skip
        raise typer.Exit(_FAILED_EXIT)
    if missing:
        raise typer.Exit(_PACKAGE_EXIT)
