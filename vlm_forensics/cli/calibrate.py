"""`vlmf calibrate`: training-free scores on real photographs of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_forensics.cli import console

if TYPE_CHECKING:
    from vlm_forensics.training_free.reals import Reals

EPILOG = """\b
At least 20 photographs that are surely real are needed, 100 and more are better;
take them from where the pictures to be judged come from. What cannot be decoded
is left out and counted. An interrupted run goes on when the command is repeated.

\b
The scores are weak: docs/training_free.md shows what they are worth. A picture
that differs from these photographs is called unusual, never forged.

\b
Examples:
  vlmf calibrate --reals photos
  vlmf calibrate --reals photos --out newsroom.json --offline
"""


def calibrate(
    reals: Annotated[
        Path, typer.Option(metavar="DIR", help="Real photographs, subfolders included.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The file to write; a calibration is replaced.")
    ] = Path("vlmf-reals.json"),
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    """Measure training-free scores on your own real photographs, to compare pictures with."""
    from vlm_forensics.fitting.reals import calibrate as measure

    _print(out, measure(reals, out, offline=offline))


def _print(out: Path, found: Reals) -> None:
    from vlm_forensics.training_free.reals import ALLOWED, BY_NAME

    for reason, n in found.skipped.items():
        console.note(f"left out: {n} {reason}")
    for name in BY_NAME.keys() - found.scores.keys():
        console.note(f"not measured: {name}")
    count = len(found.sha256)
    console.write(f"{out}: {len(found.scores)} scores on {count} photographs")
    console.write(f"Flagged beyond these values, at most {ALLOWED:.0%} of such photographs:")
    for name, one in found.scores.items():
        side = ">" if BY_NAME[name].expected == "higher" else "<"
        low, high = one.interval
        console.write(f"  {name:15} {side} {one.threshold:<10.4g} {one.flagged} of {count} "
                      f"({low:.1%}–{high:.1%})")  # fmt: skip
