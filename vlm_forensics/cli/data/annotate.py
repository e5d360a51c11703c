"""`vlmf data annotate`: explanations of a dataset's samples by a teacher behind an endpoint."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlm_forensics.cli import console
from vlm_forensics.cli.vlm import request_fields

if TYPE_CHECKING:
    from vlm_forensics.annotating.running import Estimate, Summary
    from vlm_forensics.datasets.base import Sample
    from vlm_forensics.spending import Prices

EPILOG = """\b
Each image goes to the endpoint as it is, metadata included, with its class;
each sample takes two calls, and a third where an answer breaks the grammar.
Writes annotations.jsonl and the folder replies. A run that was interrupted
goes on when the command is repeated; failed samples are then asked again.

\b
The exit code is 3 if any sample failed, and 4 if the endpoint ended the run
(key, model or address wrong, unreachable, no more requests allowed). A run
that --max-cost stopped has neither: what is left is printed.

\b
Examples:
  vlmf data annotate forged --out notes --url http://localhost:8000/v1 \\
      --model Qwen/Qwen2.5-VL-7B-Instruct                   vLLM
  vlmf data annotate forged --out notes --url http://localhost:8080/v1 \\
      --model default                                       llama.cpp
  vlmf data annotate forged --out notes --url http://localhost:11434/v1 \\
      --model qwen2.5vl --jobs 1 --timeout 600              Ollama
  vlmf data annotate forged --out notes --url https://api.example.com/v1 \\
      --model large-vl --key-env EXAMPLE_KEY --price-in 0.4 --price-out 1.6 \\
      --max-cost 5 --dry-run
"""

_FAILED_EXIT = 3


def annotate(  # noqa: PLR0913, PLR0917 - one argument per option
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A dataset, as `vlmf data build` reads it.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the annotations.")],
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="The endpoint, up to and including /v1.")
    ],
    model: Annotated[str, typer.Option(metavar="NAME", help="As the endpoint names it.")],
    key_env: Annotated[
        str | None,
        typer.Option(metavar="VAR", help="The environment variable that holds the key."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its layout; found by itself if left out.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only samples of this split.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first samples.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Sent with every question.")] = 0,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0: the likeliest words.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(min=16, help="Longest answer.")] = 1024,
    extra: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="Fields of the request to add; null removes one."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Requests at a time.")] = 4,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Requests a minute at most.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for an answer.")] = 120.0,
    retries: Annotated[
        int, typer.Option(min=0, max=20, help="Tries after 429, 5xx, a lost connection.")
    ] = 5,
    price_in: Annotated[
        float | None, typer.Option(min=0, help="Price of a million tokens sent.")
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(min=0, help="Price of a million tokens answered.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="This run stops when it has spent this.")
    ] = None,
    drop_unsupported: Annotated[
        bool, typer.Option("--drop-unsupported", help="Keep only claims a measurement supports.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be asked; send nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Ask a teacher model for explanations, check them against measurements, write them down."""
    fields = request_fields(extra)
    prices = _prices(price_in, price_out, max_cost)
    from vlm_forensics.annotating import Account, ReplyCache, Settings, Teacher, running
    from vlm_forensics.endpoint import Access, ChatEndpoint, read_key

    key = read_key(key_env) if key_env and not dry_run else ""
    access = Access(key, timeout, retries, connections=jobs, per_minute=rate)
    teacher = Teacher(ChatEndpoint(url, model, access, fields), ReplyCache(out / "replies"),
                      Account(prices, max_cost), seed, temperature, max_tokens)  # fmt: skip
    settings = Settings(drop_unsupported, jobs)
    samples = _samples(folder, dataset, split, limit)
    if dry_run:
        _print_estimate(running.estimate(samples, out, teacher, settings), as_json)
        return
    with _progress(len(samples)) as tell:
        done = running.annotate(samples, out, teacher, settings, tell)
    if as_json:
        console.write(json.dumps({"out": str(out)} | done.as_json(), indent=2))
    else:
        _print(out, done)
    _leave(done)


def _prices(sent: float | None, answered: float | None, limit: float | None) -> Prices | None:
    if (sent is None) != (answered is None):
        raise typer.BadParameter("one price is no use without the other",
                                 param_hint="--price-in, --price-out")  # fmt: skip
    if sent is None or answered is None:
        if limit is not None:
            raise typer.BadParameter("it needs --price-in and --price-out",
                                     param_hint="--max-cost")  # fmt: skip
        return None
    from vlm_forensics.spending import Prices

    return Prices(sent, answered)


def _samples(
    folder: Path, dataset: str | None, split: str | None, limit: int | None
) -> list[Sample]:
    """The samples asked for; what the dataset lacks is counted on standard error.

    Raises:
        InputError: there is none.
    """
    from vlm_forensics.datasets import open_dataset
    from vlm_forensics.errors import InputError

    listing = open_dataset(folder, dataset)
    if listing.skipped:
        counts = ", ".join(f"{n} {code}" for code, n in listing.skipped_counts().items())
        console.note(f"the dataset lacks {len(listing.skipped)} of its samples: {counts}")
    chosen = [sample for sample in listing.samples if split in {None, sample.split}]
    if not chosen:
        known = ", ".join(listing.counts())
        raise InputError("empty_dataset", f"no sample has the split {split!r}",
                         hint=f"there are {known}")  # fmt: skip
    return chosen[:limit]


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int, int], None]]:
    """Progress on standard error, only where a person watches."""
    if not sys.stderr.isatty():
        yield lambda done, total: None  # noqa: ARG005
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console.stderr(), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print_estimate(found: Estimate, as_json: bool) -> None:
    if as_json:
        console.write(json.dumps(asdict(found), indent=2))
        return
    console.write(f"{found.samples} samples to ask about, {found.standing} annotated already")
    cost = "" if found.cost is None else f", cost about {found.cost:.4g}"
    console.write(f"{found.calls} calls, about {found.input_tokens} tokens sent and "
                  f"{found.output_tokens} answered{cost}")  # fmt: skip
    console.write(f"({found.basis})")


def _print(out: Path, done: Summary) -> None:
    earlier = f", {done.resumed} of them by an earlier run" if done.resumed else ""
    good = done.outcomes.get("annotated", 0)
    console.write(f"{out}: {good} samples annotated{earlier}, {done.failed} failed")
    for outcome, n in done.outcomes.items():
        if outcome != "annotated":
            console.write(f"  {outcome}  {n}")
    claims = ", ".join(f"{n} {kind}" for kind, n in done.support.items())
    console.write(f"claims: {claims}; {done.without_claims} forgeries keep none")
    console.write(f"{done.calls} answers asked for, {done.cached} from the cache; "
                  f"{done.input_tokens} tokens sent, {done.output_tokens} answered")  # fmt: skip
    if done.spent is not None:
        total = "unknown" if done.total_cost is None else f"{done.total_cost:.4g}"
        console.write(f"cost of this run {done.spent:.4g}, of all annotations {total}")
    if done.uncounted:
        console.note(f"{done.uncounted} answers came without a count of their tokens; "
                     "their cost is not known")  # fmt: skip


def _leave(done: Summary) -> None:
    """Say why the run stopped, and leave with the documented exit code."""
    from vlm_forensics.errors import SpentError

    if done.stopped:
        console.fail(done.stopped)
        console.note(f"{done.left} samples are left for the next run")
        if not isinstance(done.stopped, SpentError):
            raise typer.Exit(done.stopped.exit_code)
    if done.failed:
        raise typer.Exit(_FAILED_EXIT)
