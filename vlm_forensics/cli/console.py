"""Where words go: data to standard output, everything else to standard error."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from vlm_forensics.errors import VlmfError

_PLAIN_WIDTH = 100
"""Columns of text that goes to a file or a pipe."""


class _State:
    """How talkative this process is; set once by the command's options."""

    verbosity = 0


def set_verbosity(verbose: int, quiet: bool) -> None:
    """Choose what reaches standard error.

    Args:
        verbose: 0 warnings, 1 information, 2 or more everything and tracebacks.
        quiet: Errors only; wins over `verbose`.
    """
    _State.verbosity = -1 if quiet else verbose
    level = logging.ERROR if quiet else (logging.WARNING, logging.INFO)[min(verbose, 1)]
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if _State.verbosity >= 2 else level,
        format="%(levelname)s %(name)s: %(message)s",
        force=True,
    )


def stdout() -> Console:
    """The console for data; honours NO_COLOR and never reads markup in what it prints."""
    return _console(stderr=False)


def stderr() -> Console:
    """The console for progress and notes."""
    return _console(stderr=True)


def write(text: str) -> None:
    """One line of data to standard output, unwrapped."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """One line about the run to standard error, unless --quiet."""
    if _State.verbosity >= 0:
        _line(text)


def fail(error: VlmfError, name: str = "") -> None:
    """A typed error as one line and its hint on the next.

    Args:
        error: What happened.
        name: The input it happened to; left out when the message already starts with it.
    """
    prefix = f"{name}: " if name and not error.message.startswith(name) else ""
    _line(f"error[{error.code}] {prefix}{error.message}")
    if error.hint:
        _line(f"hint: {error.hint}")


def fail_unexpected(error: BaseException) -> None:
    """A defect of ours as one line; with -vv the traceback above it."""
    if _State.verbosity >= 2:
        sys.stderr.write("".join(traceback.format_exception(error)))
    _line(f"error[unexpected] {type(error).__name__}: {error}")
    if _State.verbosity < 2:
        _line("hint: run it again with -vv for the traceback and report it")


def _line(text: str) -> None:
    from vlm_forensics.image import printable

    sys.stderr.write(printable(text, 2000) + "\n")


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        width=None if stream.isatty() else _PLAIN_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )
