"""`vlmf explain`: images in, reports out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_forensics.cli import console
from vlm_forensics.cli.vlm import Vlm, tell_spent, with_options
from vlm_forensics.errors import InputError, VlmfError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from vlm_forensics.detector import Detector, Examination
    from vlm_forensics.image import EvidenceImage
    from vlm_forensics.vqa.choosing import Chosen
    from vlm_forensics.vqa.examiner import VqaExaminer

EPILOG = """\b
--mode auto takes the tuned model (--model); where the built-in one is not here
and cannot be fetched, it asks the vision-language model that --vlm or --url
names; without one it measures only, and the verdict is inconclusive. The
report says which ran and why. --mode vqa sends the picture, small and without
metadata, to the endpoint that --url names.

\b
Several images: one that fails is named on standard error (with --json also as
an object {"error": ...} on its line), the others go on, and the exit code is 3
(4 if a model failed). A single image leaves with its error's own code.

\b
Examples:
  vlmf explain photo.jpg
  vlmf explain *.jpg --json > reports.jsonl
  vlmf explain photo.jpg --html report.html --mask mask.png
  cat photo.jpg | vlmf explain - --no-rationale --json
  vlmf explain photo.jpg --mode vqa --url http://localhost:8000/v1 \\
      --vlm-model Qwen/Qwen2.5-VL-7B-Instruct
  vlmf explain photo.jpg --mode vqa --vlm DIR --calibration vlmf-answers.json
  vlmf explain *.jpg --mode vqa --url https://api.example.com/v1 --vlm-model NAME \\
      --key-env KEY --price-in 2.5 --price-out 10 --max-cost 1
  vlmf explain photo.jpg --mode vqa --reals vlmf-reals.json
  vlmf explain photo.jpg --mode vqa --vlm folder-of-a-model --probes faces,scene
  vlmf explain upload.png --quiet --exit-code || echo "look at this one"
"""

FORGED_EXIT = 10
_DEFAULT_MODEL = "vlmf-mini"


class Mode(StrEnum):
    """Which way images are examined."""

    AUTO = "auto"
    MODEL = "model"
    VQA = "vqa"


OutputOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        file_okay=False,
        help="Write JSON, HTML, overlay and mask of each image here, "
        "named <stem>-<first 8 of sha256>.",
    ),
]
VerboseOption = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="More on standard error; -vv also tracebacks.",
    ),
]
RealsOption = Annotated[
    Path | None,
    typer.Option("--reals", metavar="FILE", dir_okay=False,
                 help="Without a tuned model, compare with the photographs of vlmf calibrate."),
]  # fmt: skip
ModeOption = Annotated[
    Mode, typer.Option(help="A tuned model, questions to a vision-language model, or auto.")
]


@dataclass
class _Request:
    """What the user asked for."""

    mode: Mode
    model: str
    vlm: Vlm
    rationale: bool
    offline: bool
    as_json: bool
    single: bool
    output: Path | None
    mask: Path | None
    html: Path | None
    reals: Path | None
    early: Future[Detector | None] | None = None
    asks: VqaExaminer | None = None
    """Once there is one."""

    def load_early(self) -> None:
        """Begins to load in the background; an error waits until the detector is asked for."""
        from concurrent.futures import ThreadPoolExecutor

        if self.early is None:
            pool = ThreadPoolExecutor(1, thread_name_prefix="vlmf-early")
            self.early = pool.submit(self._load_what_is_here)
            pool.shutdown(wait=False)

    @cached_property
    def examiner(self) -> Chosen:
        """A tuned model is loaded in the background while the first image is decoded.

        What does not even look like an image is refused before and costs no loading time.
        """
        from vlm_forensics.vqa.choosing import Wish, choose

        chosen = choose(Wish(
            self.mode.value, named=self.model != _DEFAULT_MODEL, model=self._tuned,
            vqa=self._asking, engine=self.vlm.given,
        ))  # fmt: skip
        if self.mode is Mode.AUTO and chosen.mode.ran != "model":
            console.note(f"{chosen.mode.ran}: {chosen.mode.why}")
        elif self.mode is Mode.AUTO and self.vlm.given:
            console.note("the tuned model answers; --mode vqa asks the vision-language model")
        return chosen

    def _asking(self) -> VqaExaminer:
        self.asks = self.vlm.examiner(offline=self.offline, reals=self.reals)
        return self.asks

    def _tuned(self) -> Detector:
        return (self.early and self.early.result()) or self._load()

    def _load_what_is_here(self) -> Detector | None:
        """Nothing is fetched for a file that may turn out not to be an image."""
        from vlm_forensics import assembly

        wanted = self.mode is not Mode.VQA and assembly.at_hand(self.model)
        return self._load() if wanted else None

    def _load(self) -> Detector:
        from vlm_forensics.detector import Detector

        return Detector.from_pretrained(self.model, rationale=self.rationale, offline=self.offline)


@dataclass
class _Tally:
    """What happened over all images."""

    forged: bool = False
    codes: list[int] = field(default_factory=list)


@with_options
def explain(  # noqa: PLR0913, PLR0917  # one parameter is one option
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE", help="Image files, or - for standard input.")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object; JSON Lines for several images.")
    ] = False,
    output: OutputOption = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Write the mask as PNG, 0 and 255, in the file's stored pixel grid.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write a self-contained HTML report."),
    ] = None,
    no_rationale: Annotated[
        bool,
        typer.Option("--no-rationale", help="Skip the language model: verdict and mask only."),
    ] = False,
    model: Annotated[
        str, typer.Option(envvar="VLMF_MODEL", help="Name or folder of the model.")
    ] = _DEFAULT_MODEL,
    mode: ModeOption = Mode.AUTO,
    *,
    vlm: Vlm,
    reals: RealsOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    exit_code: Annotated[
        bool,
        typer.Option("--exit-code", help="Leave with 10 if a verdict is tampered or synthetic."),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only errors on standard error.")
    ] = False,
    verbose: VerboseOption = 0,
) -> None:
    """Say for each image: real, synthetic, tampered or inconclusive, where, and on what evidence.

    Without --json a readable summary goes to standard output, and where something is marked a
    small overlay picture is written (to the current folder, or to --output).
    """
    console.set_verbosity(verbose, quiet)
    _check_usage(images, mask, html)
    vlm.check(offline=offline)
    _check_mode(mode, vlm, reals, no_rationale)
    request = _Request(
        mode, model, vlm, not no_rationale, offline, as_json, len(images) == 1, output, mask, html,
        reals,
    )  # fmt: skip
    tally = _Tally()
    with _progress(len(images), quiet) as advance:
        for name in images:
            _one(name, request, tally)
            advance()
    if request.asks is not None:
        tell_spent(request.asks.budget)
    if tally.codes:
        raise typer.Exit(max(tally.codes))
    if exit_code and tally.forged:
        raise typer.Exit(FORGED_EXIT)


def _check_usage(images: list[str], mask: Path | None, html: Path | None) -> None:
    if len(images) > 1 and (mask or html):
        raise typer.BadParameter("--mask and --html take one image; use --output DIR for several")
    if images.count("-") > 1:
        raise typer.BadParameter("standard input (-) can be read only once")


def _check_mode(mode: Mode, vlm: Vlm, reals: Path | None, no_rationale: bool) -> None:
    if mode is Mode.MODEL and vlm.given:
        raise typer.BadParameter("--mode model asks no vision-language model; leave it out")
    if mode is Mode.MODEL and reals is not None:
        raise typer.BadParameter("--reals is for images that no tuned model examines")
    if mode is Mode.VQA and no_rationale:
        raise typer.BadParameter("--no-rationale is for the tuned model; --mode vqa only asks")


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """Progress on standard error, for several images and only where a person watches."""
    if total == 1 or quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console.stderr(), transient=True,
                  redirect_stdout=sys.stdout.isatty()) as bar:  # fmt: skip
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def _one(name: str, request: _Request, tally: _Tally) -> None:
    """Examine one image and deliver what was asked; a typed error is recorded, not raised."""
    from vlm_forensics.image import printable
    from vlm_forensics.taxonomy import Verdict

    shown = printable(Path(name).name) or "image"
    try:
        image = _open(name, request)
    except InputError as error:  # any other error concerns every image: let it through
        _record(error, shown, request, tally)
        return
    examiner = request.examiner
    try:
        examination = examiner.examine(image)
        _deliver(examination, request)
    except VlmfError as error:
        if error.code == "output_unwritable":
            raise
        _record(error, shown, request, tally)
        return
    tally.forged |= examination.report.verdict in (Verdict.TAMPERED, Verdict.SYNTHETIC)


def _open(name: str, request: _Request) -> EvidenceImage:
    from vlm_forensics.image import DEFAULT_LIMITS, EvidenceImage

    if name != "-":
        return EvidenceImage.open(name, while_decoding=request.load_early)
    data = sys.stdin.buffer.read(DEFAULT_LIMITS.max_bytes + 1)
    return EvidenceImage.from_bytes(data, "-", while_decoding=request.load_early)


def _record(error: VlmfError, name: str, request: _Request, tally: _Tally) -> None:
    console.fail(error, name)
    tally.codes.append(error.exit_code)
    if request.as_json:
        facts = {"code": error.code, "message": error.message, "hint": error.hint, "name": name}
        console.write(json.dumps({"error": facts}, ensure_ascii=False))


def _deliver(examination: Examination, request: _Request) -> None:
    from vlm_forensics.exporting import files

    report = examination.report
    if request.as_json:
        console.write(report.to_json(indent=2 if request.single else None))
    else:
        _print_summary(examination, request)
    if request.output:
        for path in files.export(examination, request.output):
            console.note(f"wrote {path}")
    if request.mask:
        _write(request.mask, files.mask_png(report))
    if request.html:
        from vlm_forensics.exporting import html

        _write(request.html, html.page(examination).encode())


def _print_summary(examination: Examination, request: _Request) -> None:
    from vlm_forensics.exporting import files, terminal

    console.stdout().print(terminal.summary(examination.report))
    if not request.single:
        console.write("")
    if examination.report.mask is None or request.output:
        return
    facts = examination.report.image
    # Two of several images may share a name; the sha256 keeps their overlays apart.
    name = files.stem(facts) if request.single else files.key(facts)
    _write(Path(f"{name}.overlay.png"), files.overlay_png(examination))


def _write(path: Path, data: bytes) -> None:
    from vlm_forensics.exporting import files

    files.write(path, data)
    console.note(f"wrote {path}")
