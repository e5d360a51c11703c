"""`vlmf models`: what can be used, fetch it, look at it."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlm_forensics.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

    from vlm_forensics.weights import Name

DEFAULT = "vlmf-mini"
DEFAULT_LICENCE = "Apache-2.0"

EPILOG = """\b
Examples:
  vlmf models list
  vlmf models fetch
  vlmf models info vlmf-mini --check
"""

app = typer.Typer(
    no_args_is_help=True,
    help="List, fetch and check the built-in model and its base weights.",
    epilog=EPILOG,
)


class Choice(StrEnum):
    """The built-in model and its parts; a test holds this against `weights.NAMES`."""

    MINI = DEFAULT
    SMOLLM2 = "smollm2-135m"
    VIT = "vit-s14-focus"


NameArgument = Annotated[Choice, typer.Argument(help="The model or one of its parts.")]


@app.command("list")
def list_models() -> None:
    """Show the built-in model and its parts: state, size, licence."""
    rows = [("NAME", "STATE", "SIZE", "LICENCE", "WHAT")]
    for choice in Choice:
        facts = _facts(choice, check=False)
        size = f"{facts['bytes'] / 1e6:.0f} MB" if facts["bytes"] else "-"
        rows.append((facts["name"], facts["state"], size, facts["licence"], facts["what"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


@app.command()
def fetch(
    name: NameArgument = Choice.MINI,
    force: Annotated[
        bool, typer.Option("--force", help="Fetch again and replace what is cached.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use no network; fail if nothing is here.")
    ] = False,
) -> None:
    """Fetch base weights once, check their sha256 and convert them; print their folders."""
    from vlm_forensics import weights

    if force and offline:
        raise typer.BadParameter("--force needs the network, --offline forbids it")
    for part in _parts(name):
        folder = weights.fetch(part) if force else weights.resolve(part, offline=offline)
        typer.echo(f"{part}\t{folder}")


@app.command()
def info(
    name: NameArgument,
    check: Annotated[
        bool, typer.Option("--check", help="Read every byte and compare with its sha256.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show where a model came from, where it is kept and the sha256 of its files."""
    facts = _facts(name, check=check, full=True)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            typer.echo(f"{key}:")
            for inner, text in value.items():
                typer.echo(f"  {inner}: {text}")
        else:
            typer.echo(f"{key}: {', '.join(value) if isinstance(value, list) else value}")


def _parts(choice: Choice) -> list[Name]:
    """The base weights behind a name."""
    from vlm_forensics import weights

    return [name for name in weights.NAMES if choice in (Choice.MINI, name)]


def _facts(choice: Choice, *, check: bool, full: bool = False) -> dict[str, Any]:
    """What there is to say about one name; `check` reads all bytes and raises on damage."""
    if choice is Choice.MINI:
        return _mini_facts(check=check, full=full)
    return _base_facts(_parts(choice)[0], check=check, full=full)


def _base_facts(name: Name, *, check: bool, full: bool) -> dict[str, Any]:
    """Facts of one base weight folder."""
    from vlm_forensics import weights

    base, folder = weights.BASE_WEIGHTS[name], weights.cached_folder(name)
    facts: dict[str, Any] = {
        "name": name,
        "what": base.what,
        "licence": base.licence,
        "state": _state(name, folder),
        "bytes": weights.folder_bytes(folder) if folder else base.source.bytes,
    }
    if not full:
        return facts
    facts["folder"] = str(folder) if folder else None
    facts["source"] = {
        "file": base.source.name,
        "sha256": base.source.sha256,
        "hub": base.source.hub_repo,
        "package": f"{base.source.package}=={base.source.version}",
    }
    if check:
        facts["files"] = weights.verify(name)
        facts["checked"] = True
    elif folder:
        facts["files"] = weights.digests(folder)
    return facts


def _state(name: Name, folder: Path | None) -> str:
    """One word from the cheap check."""
    from vlm_forensics import weights

    if folder is None:
        return "not fetched"
    try:
        weights.check_cheaply(name, folder)
    except WeightsError:
        return "damaged"
    return "cached"


def _mini_facts(*, check: bool, full: bool) -> dict[str, Any]:
    """Facts of the built-in model: its own trained weights and the parts it stands on."""
    from vlm_forensics import weights

    folder, parts = weights.mini_folder(), _parts(Choice.MINI)
    facts: dict[str, Any] = {
        "name": DEFAULT,
        "what": "the built-in default: adapter, heads and LoRA on the two parts below",
        "licence": DEFAULT_LICENCE,
        "state": "installed" if folder else "not installed",
        "bytes": weights.folder_bytes(folder) if folder else 0,
    }
    if not full:
        return facts
    facts["folder"] = str(folder) if folder else None
    facts["parts"] = {part: _base_facts(part, check=check, full=False)["state"] for part in parts}
    if folder:
        weights.assert_safe(folder)
        facts["files"] = weights.digests(folder)
    if check:
        for part in parts:
            weights.verify(part)
        facts["checked"] = True
    return facts
