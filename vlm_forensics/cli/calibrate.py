"""`vlmf calibrate`: what scores and answers are worth, measured on pictures of one's own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_forensics.cli import console
from vlm_forensics.cli.vlm import Asked, tell_spent, with_options

if TYPE_CHECKING:
    from vlm_forensics.fitting.answers import Request
    from vlm_forensics.training_free.reals import Reals
    from vlm_forensics.vqa.calibrated import AnswerFile

EPILOG = """\b
--reals DIR measures training-free scores on real photographs. At least 20 that
are surely real are needed, 100 and more are better; take them from where the
pictures to be judged come from. The scores are weak: docs/training_free.md
shows what they are worth. A picture that differs from these photographs is
called unusual, never forged.

\b
--data DIR asks a vision-language model about labelled pictures, equalised as in
vlmf eval, and fits how its answers become a probability; at least 25 real and
25 forged ones are needed, 100 and more are better. vlmf explain --mode vqa
--calibration FILE uses the file, for this very model, address and questions
alone. Each picture is asked everything: see --limit and --max-cost.

\b
What cannot be decoded is left out and counted. An interrupted run goes on when
the command is repeated.

\b
Examples:
  vlmf calibrate --reals photos
  vlmf calibrate --reals photos --out newsroom.json --offline
  vlmf calibrate --data DIR --url http://localhost:8000/v1 \\
      --vlm-model Qwen/Qwen2.5-VL-7B-Instruct --limit 20
  vlmf calibrate --data DIR --vlm folder-of-a-model --probes faces
"""
REALS_FILE, ANSWERS_FILE = Path("vlmf-reals.json"), Path("vlmf-answers.json")


class Split(StrEnum):
    """Splits that can be fitted on; what is left for testing stays unseen."""

    TRAIN = "train"
    VAL = "val"
    ALL = "all"


@with_options
def calibrate(  # noqa: PLR0913 - one parameter is one option
    reals: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Real photographs, subfolders included."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", metavar="DIR", help="Labelled pictures instead; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write; a calibration of its kind is "
                     f"replaced.  [default: {REALS_FILE} or {ANSWERS_FILE}]"),
    ] = None,
    *,
    split: Annotated[Split, typer.Option(help="Of --data.")] = Split.VAL,
    dataset: Annotated[
        str, typer.Option(metavar="NAME", help="Reader of --data; default: by their layout.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Pictures of each source, label and split of --data.")
    ] = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Show the files of --data as they are.")
    ] = False,
    asked: Asked,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:  # fmt: skip
    """Measure scores on your own real photographs, or a model's answers on labelled pictures."""
    asked.check(offline=offline)
    if (reals is None) == (not data):
        raise typer.BadParameter("give --reals DIR, or --data DIR with a model to ask")
    if bool(data) != asked.given:
        raise typer.BadParameter("--data goes together with --vlm or --url")
    if reals is not None:
        from vlm_forensics.fitting.reals import calibrate as measure

        _print(out or REALS_FILE, measure(reals, out or REALS_FILE, offline=offline))
        return
    from vlm_forensics.fitting.answers import Request

    engine = asked.engine()
    _fit(Request(
        tuple(data or ()), engine, asked.sets, asked.budget((engine, asked.place)), dataset,
        split.value, limit, equalised=not as_is,
    ), out or ANSWERS_FILE)  # fmt: skip


def _fit(request: Request, out: Path) -> None:
    from vlm_forensics.fitting.answers import calibrate as fit

    try:
        found = fit(request, out)
    finally:
        tell_spent(request.budget)
    _print_answers(out, found)


def _print(out: Path, found: Reals) -> None:
    from vlm_forensics.training_free.reals import ALLOWED, BY_NAME

    _left_out(found.skipped)
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


def _print_answers(out: Path, found: AnswerFile) -> None:
    _left_out(found.skipped)
    counts = ", ".join(f"{count} {label}" for label, count in found.counts.items())
    console.write(f"{out}: answers of {found.engine} about {counts}")
    held = found.held_out
    area = "not defined" if held.auc is None else f"{held.auc:.3f}"
    console.write(f"Fitted: temperature {found.temperature:.3g}, bias "
                  f"{', '.join(f'{b:.3g}' for b in found.bias)}; a probe counts from a stated "
                  f"confidence of {found.sure:g}; real below {found.abstain_low:.3f}, forged from "
                  f"{found.abstain_high:.3f}")  # fmt: skip
    console.write("On pictures left out of a fit, by cross-validation:")
    for name, value in (("AUC real/forged", area),
                        ("reals called forged", f"{held.reals_called_forged:.1%}"),
                        ("forged called forged", f"{held.forged_called_forged:.1%}"),
                        ("forged called real", f"{held.forged_called_real:.1%}"),
                        ("inconclusive", f"{held.inconclusive:.1%}")):  # fmt: skip
        console.write(f"  {name:21} {value}")


def _left_out(skipped: dict[str, int]) -> None:
    for reason, count in skipped.items():
        console.note(f"left out: {count} {reason}")
