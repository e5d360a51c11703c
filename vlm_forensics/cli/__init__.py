"""The command `vlmf`: one command a file, imported when it is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from vlm_forensics.cli import console
from vlm_forensics.errors import VlmfError

COMMANDS = {
    "explain": "Say for each image: real, synthetic, tampered or inconclusive, where, and on what "
               "evidence.",
    "verify": "Check a report against its image: schema, file facts, model files, and a new run.",
    "inspect": "Measure low-level traces of compression, noise, resampling and cloning; needs no "
               "model.",
    "eval": "Measure a model on labelled pictures, beside simple baselines, with 95 % intervals.",
    "calibrate": "Measure scores on your own real photographs, or a model's answers on labelled "
                 "pictures.",
    "env": "Show versions, devices, threads, the weights cache and known breakages.",
    "demo": "Serve the page where an image is dropped and its report appears; nothing leaves here.",
    "models": "List, fetch and check the built-in model and its base weights.",
    "data": "Make, read and check datasets.",
    "probe": "Fit the simple detector: a linear probe, real against synthetic.",
    "train": "Fine-tune the built-in model or any supported vision-language model.",
}  # fmt: skip
"""The module of each command here, and the first sentence of its help: `vlmf --help` lists them
without importing one."""

EXIT_CODES = """\b
Exit codes:
  0    done, whatever the verdict
  1    failed for an unexpected reason, or an output could not be written
  2    wrong usage
  3    an input was refused, or a report does not match
  4    a model or its weights are missing or damaged
  10   with --exit-code: a verdict is tampered or synthetic
  130  interrupted

\b
Examples:
  vlmf photo.jpg                       the same as: vlmf explain photo.jpg
  vlmf explain photo.jpg --json        the report as JSON
  vlmf inspect photo.jpg               measurements, no model
  vlmf verify report.json photo.jpg    check a report against its image
"""


class _Commands(TyperGroup):
    """`COMMANDS`, each imported when it is asked for.

    `vlmf photo.jpg` means `vlmf explain photo.jpg`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=says) for name, says in COMMANDS.items()}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """The real command, where `commands` holds only its name and first sentence."""
        return _imported(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list in the help, out of `commands`."""
        TyperGroup(commands=dict(self.commands)).format_commands(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {"--version", "--help", "-h"}
        if args and args[0] not in self.commands and args[0] not in own:
            args = ["explain", *args]
        return super().parse_args(ctx, args)


def _imported(name: str) -> Any:
    """The command of this name, as Click knows it."""
    module, alone = import_module(f"vlm_forensics.cli.{name}"), typer.Typer(rich_markup_mode=None)
    if hasattr(module, "app"):
        alone.add_typer(module.app, name=name)
    else:
        # `eval` is a word of Python, so its function has another name.
        run = getattr(module, {"eval": "evaluate"}.get(name, name))
        alone.command(name, epilog=module.EPILOG)(run)
    return typer.main.get_group(alone).commands[name]


app = typer.Typer(
    name="vlmf",
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from vlm_forensics import __version__

        console.write(f"vlmf {__version__}")
        raise typer.Exit


@app.callback()
def vlmf(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Say whether an image is real, synthetic or tampered, where, and on what evidence."""
    del version  # its callback has answered


def main() -> None:
    """Run the command line and leave with the documented exit code."""
    # Idle OpenMP threads that spin slow shared machines threefold; torch reads this on import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app(prog_name="vlmf")
    except BrokenPipeError:
        _drop_stdout()
        sys.exit(1)
    except VlmfError as error:
        console.fail(error)
        sys.exit(error.exit_code)
    except Exception as error:  # the last line of defence: a user never meets a traceback
        console.fail_unexpected(error)
        sys.exit(1)


def _drop_stdout() -> None:
    """Keep the interpreter from complaining about the closed pipe when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
