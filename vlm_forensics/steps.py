"""The record of a run: what was done, how long it took, what failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from vlm_forensics.errors import VlmfError
from vlm_forensics.report import Step

log = logging.getLogger(__name__)


class Failure:
    """Truthy once the step has failed."""

    def __init__(self) -> None:
        self.happened = False

    def __bool__(self) -> bool:
        return self.happened


class Steps:
    """Times each stage; a stage that fails is recorded and the run goes on.

    Typed errors (`VlmfError`) pass through: they say what the user can do.
    """

    def __init__(self) -> None:
        self._done: list[Step] = []

    @property
    def done(self) -> tuple[Step, ...]:
        """The stages so far."""
        return tuple(self._done)

    @contextmanager
    def __call__(self, name: str) -> Iterator[Failure]:
        """Times the block as the stage `name`."""
        started, failure = time.perf_counter(), Failure()
        message = ""
        try:
            yield failure
        except VlmfError:
            raise
        except Exception as error:
            log.warning("%s failed", name, exc_info=True)
            failure.happened, message = True, type(error).__name__
        seconds = round(time.perf_counter() - started, 3)
        status: Literal["ok", "failed"] = "failed" if failure else "ok"
        self._done.append(Step(name=name, status=status, seconds=seconds, message=message))

    def fail(self, name: str, why: str, seconds: float) -> None:
        """Records a stage that a typed error ended, after which the run goes on all the same.

        Args:
            name: of the stage.
            why: code of the error.
            seconds: it took.
        """
        self._done.append(Step(name=name, status="failed", seconds=round(seconds, 3), message=why))

    def skip(self, name: str, why: str) -> None:
        """Records that the stage was left out."""
        self._done.append(Step(name=name, status="skipped", seconds=0.0, message=why))
