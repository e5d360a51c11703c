"""`vlmf train`: fine-tune the built-in model or any supported vision-language model."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlm_forensics.cli import console
from vlm_forensics.errors import InputError, PrerequisiteError

if TYPE_CHECKING:
    from vlm_forensics.tuning.run import Finished
    from vlm_forensics.tuning.settings import Grpo, Sft

EPILOG = """\b
A run is a folder: settings, data, checkpoints, logs, curves and the model. The
same command goes on where a run stopped. Settings are a YAML file, or the name
of a shipped recipe, changed by key=value.

\b
Examples:
  vlmf train list
  vlmf train copy laptop-sft my.yaml
  vlmf train validate my.yaml training.steps=50
  vlmf train estimate my.yaml
  vlmf train estimate my.yaml method=full
  vlmf train sft --config my.yaml --out runs/sft
  vlmf train grpo --config laptop-grpo --out runs/grpo model=runs/sft/model
  vlmf explain photo.jpg --model runs/grpo/model
  vlmf train export runs/grpo --out merged --merged
"""

EXPORT_EPILOG = """\b
Examples:
  vlmf train export runs/grpo --out my-model
  vlmf train export runs/grpo --out merged --merged
  vlmf train export runs/grpo --push-to-hub me/my-model --dry-run
  vlmf train export runs/grpo --push-to-hub me/my-model --private
"""

app = typer.Typer(
    name="train",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Fine-tune the built-in model or any supported vision-language model.",
)

Config = Annotated[str, typer.Option(metavar="FILE|NAME", help="Settings, or a shipped recipe.")]
Out = Annotated[Path, typer.Option(metavar="DIR", file_okay=False, help="The run's folder.")]
Changes = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Changed settings, keys dotted.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Named = Annotated[str, typer.Argument(metavar="FILE|NAME", help="Settings, or a shipped recipe.")]


@app.callback(epilog=EPILOG)
def train() -> None:
    """Fine-tune the built-in model or any supported vision-language model."""


@app.command(epilog=EPILOG)
def sft(
    config: Config,
    out: Out,
    changes: Changes = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Supervised fine-tuning: the detector where it is untrained, then the language model."""
    _run("sft", config, out, changes, offline, as_json)


@app.command(epilog=EPILOG)
def grpo(
    config: Config,
    out: Out,
    changes: Changes = None,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Group relative policy optimisation on rewards, from a model that sft has made."""
    _run("grpo", config, out, changes, offline, as_json)


@app.command("list")
def list_recipes() -> None:
    """The shipped recipes."""
    from vlm_forensics.tuning import settings

    for name, path in settings.shipped().items():
        first = path.read_text("utf-8").splitlines()[0].removeprefix("#").strip()
        console.write(f"{name:24} {first}")


@app.command()
def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A shipped recipe.")],
    to: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False)],
) -> None:
    """Copy a shipped recipe to change it."""
    from vlm_forensics.tuning import settings

    known = settings.shipped()
    if name not in known:
        raise InputError("not_found", f"there is no recipe {name!r}", hint="vlmf train list")
    if to.exists():
        raise InputError("output_conflict", f"{to.name} is there already", hint="give another name")
    shutil.copyfile(known[name], to)
    console.note(f"wrote {to}")


@app.command()
def validate(config: Named, changes: Changes = None) -> None:
    """Check settings and print them whole, defaults included."""
    import yaml

    found = _read(config, changes)
    console.write(yaml.safe_dump(found.model_dump(mode="json"), sort_keys=False).rstrip())


@app.command()
def estimate(
    config: Named, changes: Changes = None, offline: Offline = False, as_json: AsJson = False
) -> None:
    """Say what a run will need: parameters, memory, time. No weights are read."""
    from vlm_forensics.tuning import estimate as estimating

    wanted = _read(config, changes)
    found = estimating.estimate(wanted, offline=offline)
    if as_json:
        console.write(json.dumps(found._asdict()))
        return
    console.write(
        f"parameters  {found.parameters / 1e6:,.0f} M, of which "
        f"{'LoRA' if wanted.method == 'lora' else 'full fine-tuning'} trains "
        f"{found.trained / 1e6:,.1f} M\n"
        f"sequence    {found.tokens} tokens\n"
        f"memory      about {found.memory:.1f} GiB on one device\n"
        f"disk        about {sum(found.views) * estimating.VIEW / 1e6:.1f} MB a training picture, "
        f"of which {sum(found.views)} views are kept\n"
        f"time        {_hours(found.hours(0.08))} on two CPU cores, "
        f"{_hours(found.hours(40))} on a 24 GB GPU (orders of magnitude)"
    )


@app.command(epilog=EXPORT_EPILOG)
def export(  # noqa: PLR0913, PLR0917 - options of the command line
    run: Annotated[Path, typer.Argument(metavar="RUN", exists=True, file_okay=False)],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", file_okay=False, help="Where the copy goes.")
    ] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="Base weights and LoRA in one, for other tools.")
    ] = False,
    push_to_hub: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Upload it to the Hugging Face Hub.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="A new repository is private.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and list an upload; use no network for it.")
    ] = False,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Copy a run's model: the small adapter form, or everything merged; upload it if asked."""
    if push_to_hub is None and (out is None or private or dry_run):
        missing = "--out or --push-to-hub" if out is None else "--push-to-hub"
        raise typer.BadParameter(f"give {missing}")
    if push_to_hub and offline and not dry_run:
        raise typer.BadParameter("--offline allows an upload with --dry-run only")
    from vlm_forensics.tuning import exporting

    with tempfile.TemporaryDirectory(prefix="vlmf-export-") as passing:
        made = exporting.export(run, out or Path(passing), merged=merged, offline=offline)
        if out is not None:
            console.note(f"wrote {made}; try: vlmf explain IMAGE --model {made}")
        if push_to_hub is not None:
            _upload(made, push_to_hub, private=private, dry_run=dry_run, as_json=as_json)


def _upload(folder: Path, repo: str, *, private: bool, dry_run: bool, as_json: bool) -> None:
    from vlm_forensics.tuning import publishing

    upload = publishing.plan(folder, repo)
    shown = upload.as_json() | {"dry_run": dry_run}
    if not dry_run:
        shown["commit"] = publishing.push(upload, private=private)
    if as_json:
        console.write(json.dumps(shown))
        return
    for item in upload.files:
        console.write(f"{_megabytes(item.bytes)}  {item.name}")
    console.write(f"{_megabytes(upload.bytes)}  in all, to {upload.repo}")
    for text in (*upload.problems, *upload.notes):
        console.write(f"{'problem' if text in upload.problems else 'note':>12}  {text}")
    console.write(
        f"nothing was uploaded: {_verdict(upload.problems)}" if dry_run else shown["commit"]
    )


def _verdict(problems: tuple[str, ...]) -> str:
    return "it would be refused" if problems else "leave --dry-run out to upload it"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:9.2f} MB"


def _read(config: str, changes: list[str] | None) -> Sft | Grpo:
    from vlm_forensics.tuning import settings

    return settings.read(config, changes or ())


def _run(
    stage: str, config: str, out: Path, changes: list[str] | None, offline: bool, as_json: bool
) -> None:
    found = _read(config, changes)
    if found.stage != stage:
        raise InputError("bad_config", f"these are settings of {found.stage}",
                         hint=f"vlmf train {found.stage} --config {config}")  # fmt: skip
    try:
        from vlm_forensics.tuning import run
    except ImportError as error:
        raise PrerequisiteError(error.name or "accelerate", "train") from error
    made = run.run(found, out, offline=offline)
    if as_json:
        console.write(json.dumps(_plain(made), ensure_ascii=False))
    else:
        _show(made)


def _plain(made: Finished) -> dict[str, Any]:
    from vlm_forensics.tuning import scorecard

    cards = {"before": scorecard.as_json(made.before), "after": scorecard.as_json(made.after)}
    return {"folder": str(made.folder), "steps": made.steps, "validation": cards}


def _show(made: Finished) -> None:
    console.write(f"{'on validation':46} {'before':24} after")
    for name, figure in made.after.figures.items():
        console.write(f"{name:46} {made.before.figures[name]!s:24} {figure}")
    console.write(f"\n{made.folder} is ready: vlmf explain IMAGE --model {made.folder}")


def _hours(hours: float) -> str:
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.0f} h"
