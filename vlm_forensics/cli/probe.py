"""`vlmf probe`: the simple detector, fitted on two folders of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_forensics.cli import console

if TYPE_CHECKING:
    from vlm_forensics.fitting.probe_fit import Fitted

EPILOG = """\b
At least 60 readable pictures of each class are needed. Folders directly below
the two given are taken as sources; where there are several, whole sources are
held out. What cannot be read is left out and counted. An interrupted run goes
on when the command is repeated.

\b
The probe gives a verdict and a probability only: it marks no place, writes no
rationale and does not judge tampering.

\b
Examples:
  vlmf probe fit --real photos --fake generated --out my-probe
  vlmf probe fit --real photos --fake generated --encoder facebook/dinov2-base
  vlmf explain photo.jpg --model my-probe
"""

app = typer.Typer(
    name="probe",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Fit the simple detector: a linear probe, real against synthetic.",
    epilog="\b\nExamples:\n  vlmf probe fit --real photos --fake generated --out my-probe",
)


@app.callback()
def probe() -> None:
    """Fit the simple detector: a linear probe, real against synthetic."""


@app.command(epilog=EPILOG)
def fit(  # noqa: PLR0913, PLR0917 - one argument per option
    real: Annotated[Path, typer.Option(metavar="DIR", help="Real pictures, subfolders included.")],
    fake: Annotated[
        Path, typer.Option(metavar="DIR", help="Synthetic pictures, subfolders included.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")] = Path(
        "vlmf-probe"
    ),
    encoder: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Any transformers vision model: built-in, hub id or folder."
        ),
    ] = "vit-s14-focus",
    layer: Annotated[
        int | None,
        typer.Option(min=1, help="Hidden state to read; 8 of the built-in one, else the last."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a probe in --out.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Fit and calibrate a linear probe on a frozen encoder, and try it on held-out pictures."""
    from vlm_forensics.fitting import probe_fit

    done = probe_fit.fit(
        real, fake, out, encoder=encoder, layer=layer, force=force, offline=offline
    )
    if as_json:
        console.write(_json(out, done))
    else:
        _print(out, done)
    if done.figures["auc"].low <= 0.5:
        console.note("the probe does not tell the classes of the held-out pictures apart")


def _json(out: Path, done: Fitted) -> str:
    figures = {name: list(figure) for name, figure in done.figures.items()}
    shortcuts = {name: list(figure) for name, figure in done.shortcuts.items()}
    return json.dumps({
        "out": str(out), "encoder": done.config.encoder, "revision": done.config.revision,
        "layer": done.config.layer, "c": done.c, "pictures": done.counts,
        "sources_held_out": done.by_source, "skipped": done.skipped, "held_out": figures,
        "file_facts_auc": shortcuts,
    })  # fmt: skip


def _print(out: Path, done: Fitted) -> None:
    for reason, n in sorted(done.skipped.items()):
        console.note(f"left out: {n} {reason}")
    console.write(f"{out}: a linear probe on hidden state {done.config.layer}, C {done.c:g}")
    for part, held_in in done.counts.items():
        console.write(f"  {part}  real {held_in['real']}  synthetic {held_in['synthetic']}")
    held = "whole sources held out" if done.by_source else "divided by file hash, not by source"
    console.write(f"  {held}")
    console.write("On the held-out pictures, with 95 % intervals:")
    for name, figure in done.figures.items():
        console.write(f"  {name}  {figure}")
    console.write("AUC of format, size and compression alone (0.5: no shortcut):")
    for when, figure in done.shortcuts.items():
        console.write(f"  {when} equalising  {figure}")
    console.write("It gives a verdict and a probability only: no mask, no rationale, and tampering "
                  "is not judged.")  # fmt: skip
