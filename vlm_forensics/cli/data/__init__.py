"""`vlmf data`: make, read and check datasets; one command a file."""

from __future__ import annotations

import typer

from vlm_forensics.cli.data import forge

app = typer.Typer(
    name="data",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make, read and check datasets.",
)

app.command(epilog=forge.EPILOG)(forge.forge)
