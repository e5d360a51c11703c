"""The command `vlmf`: one command a file; nothing heavy is imported before a command runs."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vlm_forensics.cli import calibrate as calibrate_command
from vlm_forensics.cli import console, data, demo, env, inspect, models, probe
from vlm_forensics.cli import eval as eval_command
from vlm_forensics.cli import explain as explain_command
from vlm_forensics.cli import train as train_command
from vlm_forensics.cli import verify as verify_command
from vlm_forensics.errors import VlmfError

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


class _DefaultGroup(TyperGroup):
    """`vlmf photo.jpg` means `vlmf explain photo.jpg`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {"--version", "--help", "-h"}
        if args and args[0] not in self.commands and args[0] not in own:
            args = ["explain", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="vlmf",
    cls=_DefaultGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _examples(*lines: str) -> str:
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


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


app.command(epilog=explain_command.EPILOG)(explain_command.explain)
app.command(epilog=verify_command.EPILOG)(verify_command.verify)
app.command(epilog=inspect.EPILOG)(inspect.inspect)
app.add_typer(
    models.app,
    name="models",
    epilog=_examples("vlmf models list", "vlmf models fetch", "vlmf models info vlmf-mini --check"),
)
app.add_typer(
    data.app,
    name="data",
    epilog=_examples("vlmf data list", "vlmf data info fakeclue", "vlmf data check DIR"),
)
app.command("eval", epilog=eval_command.EPILOG)(eval_command.evaluate)
app.add_typer(
    probe.app,
    name="probe",
    epilog=_examples("vlmf probe fit --real photos --fake generated --out my-probe"),
)
app.add_typer(train_command.app, name="train", epilog=train_command.EPILOG)
app.command(epilog=calibrate_command.EPILOG)(calibrate_command.calibrate)
app.command(epilog=_examples("vlmf env", "vlmf env --json"))(env.env)
app.command(epilog=demo.EPILOG)(demo.demo)


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
