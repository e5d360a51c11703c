"""`vlmf eval`: how good a model is on a dataset, beside what it has to beat."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_forensics.cli import console

if TYPE_CHECKING:
    from vlm_forensics.evaluation.results import Evaluation

SKIPPED_EXIT = 3

EPILOG = """\b
Pictures of every class are equalised first: centre square, 256 pixels, JPEG 90.
Thresholds come from the model's calibration record and are never changed here.
Results of single pictures are kept, so an interrupted run goes on when the
command is repeated. Exit code 3: something of the data was skipped; the output
is complete otherwise and says what and why. docs/evaluation.md says what every
figure means.

\b
Examples:
  vlmf eval --data FakeClue --protocol fakeclue -o runs/fakeclue
  vlmf eval --data DIR --split val --limit 20
  vlmf eval --data DIR --robustness --workers 4 -o runs/robust
  vlmf eval --data DIR --rationale --limit 10 --json > eval.json
"""


class Split(StrEnum):
    """Splits that can be evaluated."""

    VAL = "val"
    TEST = "test"
    ALL = "all"


def evaluate(  # noqa: PLR0913, PLR0917 - one argument per option
    data: Annotated[
        list[Path], typer.Option("--data", metavar="DIR", help="Dataset folder; may be repeated.")
    ],
    model: Annotated[
        str, typer.Option(envvar="VLMF_MODEL", help="Name or folder of the model.")
    ] = "vlmf-mini",
    split: Annotated[
        Split | None, typer.Option(help="Default: that of the protocol, else test.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="Published protocol; prints its anchor figures.")
    ] = "",
    dataset: Annotated[
        str, typer.Option(metavar="NAME", help="Reader of the folders; default: by their layout.")
    ] = "",
    rationale: Annotated[
        bool, typer.Option("--rationale", help="Ask the language model too, and score its text.")
    ] = False,
    encoder: Annotated[
        str, typer.Option(metavar="NAME", help="Text encoder of the cosine similarity.")
    ] = "",
    robust: Annotated[
        bool, typer.Option("--robustness", help="Judge every picture in 17 degraded forms too.")
    ] = False,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Judge the dataset's own files, not equalised.")
    ] = False,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Not in the image level; may be repeated."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Pictures of each source, label and split.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Judge again what earlier runs have judged.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", file_okay=False,
                     help="Write eval.json, eval.md and eval.html here."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of Markdown.")
    ] = False,
) -> None:  # fmt: skip
    """Measure a model on labelled pictures, beside simple baselines, with 95 % intervals."""
    from vlm_forensics.evaluation import evaluate as evaluation
    from vlm_forensics.evaluation import protocols, writing
    from vlm_forensics.weights import cache_folder

    request = evaluation.Request(
        data=tuple(data), cache=cache_folder() / "evaluation" / "judged.jsonl", model=model,
        dataset=dataset, protocol=protocol,
        split=(split or Split(protocols.load(protocol).split if protocol else "test")).value,
        equalised=not as_is, rationale=rationale, robustness=robust, limit=limit,
        left_out=tuple(leave_out or ()), encoder=encoder, workers=workers, fresh=fresh,
    )  # fmt: skip
    found = evaluation.evaluate(request)
    console.write((found.to_json() if as_json else writing.to_markdown(found)).rstrip("\n"))
    if output:
        _write(found, output)
    _tell(found)


def _write(found: Evaluation, folder: Path) -> None:
    from vlm_forensics.evaluation import plots, writing
    from vlm_forensics.exporting import files

    contents = {"eval.json": found.to_json(), "eval.md": writing.to_markdown(found),
                "eval.html": plots.page(found)}  # fmt: skip
    for name, text in contents.items():
        files.write(folder / name, text.encode())
        console.note(f"wrote {folder / name}")


def _tell(found: Evaluation) -> None:
    """Warnings and the count of what was skipped; leaves with `SKIPPED_EXIT` if anything was."""
    for warning in found.warnings:
        console.note(f"warning: {warning}")
    if found.skipped:
        console.note(f"skipped: {len(found.skipped)}; the output says what and why")
        raise typer.Exit(SKIPPED_EXIT)
