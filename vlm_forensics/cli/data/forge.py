"""`vlmf data forge`: an annotated dataset of forgeries out of a folder of photographs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlm_forensics.cli import console
from vlm_forensics.errors import VlmfError

if TYPE_CHECKING:
    from vlm_forensics.forge.dataset.writer import Summary
    from vlm_forensics.taxonomy import Operation

EPILOG = """\b
Operations, all by default but laundering (its pixels are those of
whole_autoencoder under the label real) and those whose network is missing:
  splice copy_move inpainting blending local_resampling local_noise local_blur
  local_compression; with a network: local_super_resolution
  whole_super_resolution local_autoencoder whole_autoencoder
  inpainting_exchange laundering

\b
The same photographs and options give the same bytes with any --jobs. A run
that was interrupted goes on when the command is repeated; a larger --n adds.

\b
Examples:
  vlmf data forge --photos photos --out forged --n 1000
  vlmf data forge --photos photos --out forged --n 200 --ops splice,copy_move
  VLMF_FORGE_WEIGHTS=networks vlmf data forge --photos photos --out forged
"""


def forge(  # noqa: PLR0913, PLR0917 - one argument per option
    source: Annotated[
        Path, typer.Option("--photos", metavar="DIR", help="Photographs, subfolders included.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The dataset's folder.")],
    count: Annotated[int, typer.Option("--n", min=1, help="Samples in all.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Decides everything that is drawn.")] = 0,
    ops: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Only these operations, in turn, separated by commas."),
    ] = None,
    real: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of photographs left unaltered.")
    ] = 0.25,
    megapixels: Annotated[
        float, typer.Option(min=0.1, max=50, help="Larger photographs are cut and shrunk to this.")
    ] = 1.0,
    vae: Annotated[
        str | None,
        typer.Option(metavar="ID", help="A diffusers autoencoder (hub id or folder) for taef2."),
    ] = None,
    all_clues: Annotated[
        bool, typer.Option("--all-clues", help="Measure copy-move too; takes twice as long.")
    ] = False,
    licence: Annotated[
        str, typer.Option("--license", help="Licence of the photographs, for rows and card.")
    ] = "unknown",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes; by default one a core.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Forge an annotated dataset, with masks known by construction, out of real photographs.

    Writes images, masks, train/metadata.jsonl and a card; `datasets` loads the folder as it is.
    """
    asked = _names(ops)
    from vlm_forensics.forge import networks
    from vlm_forensics.forge.dataset import writer
    from vlm_forensics.forge.dataset.sample import Settings

    if vae:
        os.environ[networks.VAE_VARIABLE] = vae  # read here and by every process
    settings = Settings(seed, asked or _available(), real, round(megapixels * 1e6), all_clues,
                        licence)  # fmt: skip
    with _progress() as advance:
        done = writer.write(source, out, settings, count, jobs=jobs or _cores(),
                            on_progress=advance)  # fmt: skip
    if as_json:
        console.write(json.dumps({"out": str(out)} | _plain(done)))
    else:
        _print(out, done)


def _names(asked: str | None) -> tuple[Operation, ...]:
    """The operations asked for; empty for the default.

    Raises:
        typer.BadParameter: one is unknown.
    """
    from vlm_forensics.registry import suggestion
    from vlm_forensics.taxonomy import Operation

    if asked is None:
        return ()
    known = [str(op) for op in Operation if op is not Operation.FULL_GENERATION]
    words = list(dict.fromkeys(word.strip() for word in asked.split(",") if word.strip()))
    for word in words:
        if word not in known:
            raise typer.BadParameter(
                f"no operation is called {word!r}; {suggestion(word, known)}", param_hint="--ops"
            )
    if not words:
        raise typer.BadParameter(f"name some of {', '.join(known)}", param_hint="--ops")
    return tuple(Operation(word) for word in words)


def _available() -> tuple[Operation, ...]:
    """All operations but laundering and those whose network cannot run, which are named."""
    from vlm_forensics.forge import all_operations, networks
    from vlm_forensics.taxonomy import Operation

    members = [member for member in all_operations() if member.operation != Operation.LAUNDERING]
    missing = set()
    for network in sorted({member.network for member in members if member.network}):
        try:
            networks.check(network)
        except VlmfError as error:
            missing.add(network)
            names = ", ".join(m.operation for m in members if m.network == network)
            console.note(f"left out: {names} ({error.message})")
            console.note(f"hint: {error.hint}")
    return tuple(member.operation for member in members if member.network not in missing)


def _cores() -> int:
    """Cores this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Progress on standard error, only where a person watches."""
    if not sys.stderr.isatty():
        yield lambda done, total: None  # noqa: ARG005
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console.stderr(), transient=True) as bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _plain(done: Summary) -> dict[str, Any]:
    return {
        "made": done.made, "kept": done.kept, "given_up": list(done.given_up),
        "operations": dict(sorted(done.operations.items())),
        "photographs_skipped": dict(sorted(done.skipped.items())), "other_files": done.others,
    }  # fmt: skip


def _print(out: Path, done: Summary) -> None:
    console.write(f"{out}: {done.made} samples made, {done.kept} kept from before")
    for operation, n in sorted(done.operations.items()):
        console.write(f"  {operation}  {n}")
    if done.given_up:
        console.note(f"{len(done.given_up)} samples given up: no photograph served for them")
    for reason, n in sorted(done.skipped.items()):
        console.note(f"photographs skipped: {n} {reason}")
    if done.others:
        console.note(f"{done.others} other files in the folder of photographs were not read")
