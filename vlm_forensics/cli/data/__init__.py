"""`vlmf data`: make, read and check datasets; one command a file."""

from __future__ import annotations

import typer

from vlm_forensics.cli.data import annotate, check, datasets, forge

EPILOG = """\b
Examples:
  vlmf data list
  vlmf data info fakeclue
  vlmf data check DIR
"""

app = typer.Typer(
    name="data",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make, read and check datasets.",
    epilog=EPILOG,
)

app.command("list", epilog=datasets.LIST_EPILOG)(datasets.list_datasets)
app.command(epilog=datasets.INFO_EPILOG)(datasets.info)
app.command(epilog=datasets.BUILD_EPILOG)(datasets.build)
app.command(epilog=check.EPILOG)(check.check)
app.command(epilog=forge.EPILOG)(forge.forge)
app.command(epilog=annotate.EPILOG)(annotate.annotate)
