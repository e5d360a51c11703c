"""`vlmf eval`: how good a model is on a dataset, beside what it has to beat."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_forensics.cli import console
from vlm_forensics.cli.vlm import Vlm, tell_spent, with_options

if TYPE_CHECKING:
    from vlm_forensics.evaluation.evaluate import Request
    from vlm_forensics.evaluation.protocols import Protocol
    from vlm_forensics.evaluation.questions import Way
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
--mode vqa asks the vision-language model of --vlm or --url; what it does not
answer is wrong. Its answers are kept as well. An endpoint that cannot be asked
any more, or --max-cost, ends the run without figures (exit code 4); repeat the
command to go on.

\b
Examples:
  vlmf eval --data FakeClue --protocol fakeclue -o runs/fakeclue
  vlmf eval --data DIR --split val --limit 20
  vlmf eval --data DIR --robustness --workers 4 -o runs/robust
  vlmf eval --data DIR --rationale --limit 10 --json > eval.json
  vlmf eval --data DIR --mode vqa --url http://localhost:8000/v1 \\
      --vlm-model Qwen/Qwen2.5-VL-7B-Instruct --calibration vlmf-answers.json
  vlmf eval --data faces --mode vqa --vlm DIR --protocol truthlens
"""


class Mode(StrEnum):
    """What is evaluated."""

    MODEL = "model"
    VQA = "vqa"


class Split(StrEnum):
    """Splits that can be evaluated."""

    VAL = "val"
    TEST = "test"
    ALL = "all"


@with_options
def evaluate(  # noqa: PLR0913 - one argument per option
    data: Annotated[
        list[Path], typer.Option("--data", metavar="DIR", help="Dataset folder; may be repeated.")
    ],
    model: Annotated[
        str, typer.Option(envvar="VLMF_MODEL", help="Name or folder of the model.")
    ] = "vlmf-mini",
    mode: Annotated[
        Mode, typer.Option(help="A tuned model, or questions to a vision-language model.")
    ] = Mode.MODEL,
    *,
    vlm: Vlm,
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
    vlm.check(offline=False)
    from vlm_forensics.evaluation import protocols, writing
    from vlm_forensics.evaluation.evaluate import Request
    from vlm_forensics.evaluation.questions import QuestionJudge
    from vlm_forensics.weights import cache_folder

    published = protocols.load(protocol) if protocol else None
    _check_mode(mode, vlm, published, workers)
    way = _way(vlm, published) if mode is Mode.VQA else None

    request = Request(
        data=tuple(data), cache=cache_folder() / "evaluation" / "judged.jsonl", model=model,
        dataset=dataset, protocol=protocol,
        questions=None if way is None else QuestionJudge.load(way),
        split=(split or Split(published.split if published else "test")).value,
        equalised=not as_is, rationale=rationale, robustness=robust, limit=limit,
        left_out=tuple(leave_out or ()), encoder=encoder, workers=workers, fresh=fresh,
    )  # fmt: skip
    found = _measured(request, way)
    console.write((found.to_json() if as_json else writing.to_markdown(found)).rstrip("\n"))
    if output:
        _write(found, output)
    _tell(found)


def _measured(request: Request, way: Way | None) -> Evaluation:
    from vlm_forensics.evaluation.evaluate import evaluate as measure

    try:
        return measure(request)
    finally:
        if way is not None:
            tell_spent(way.asks.budget)


def _check_mode(mode: Mode, vlm: Vlm, protocol: Protocol | None, workers: int) -> None:
    asking = mode is Mode.VQA
    asks = protocol is not None and protocol.way == "truthlens"
    problems = (
        (asking != vlm.given, "--mode vqa goes together with --vlm or --url"),
        (asks and not asking, "--protocol truthlens is for --mode vqa"),
        (asks and (vlm.probes or vlm.calibration),
         "--protocol truthlens has questions and a judge of its own"),
        (asking and workers > 1, "--workers is for --mode model; --jobs asks several questions"),
    )  # fmt: skip
    for wrong, message in problems:
        if wrong:
            raise typer.BadParameter(message)


def _way(vlm: Vlm, protocol: Protocol | None) -> Way:
    from vlm_forensics.evaluation.questions import Way
    from vlm_forensics.vqa import truthlens
    from vlm_forensics.vqa.calibrated import AnswerFile
    from vlm_forensics.vqa.examiner import VqaExaminer

    if protocol is not None and protocol.way == "truthlens":
        engine, judge, budget = vlm.engines(truthlens.MAX_TOKENS)
        return Way.of_truthlens(truthlens.TruthLens(engine, judge or engine, budget))
    calibration = None if vlm.calibration is None else AnswerFile.load(vlm.calibration)
    engine, judge, budget = vlm.engines()
    asks = VqaExaminer(engine, sets=vlm.sets, judge=judge, calibration=calibration, budget=budget)
    return Way.of_examiner(
        asks, engine.id, None if judge is None else judge.id, vlm.sets, calibration
    )


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
