"""Samples made by several processes, with the bytes that a single one makes."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice

import cv2

from vlm_forensics.errors import VlmfError
from vlm_forensics.forge import get
from vlm_forensics.forge.dataset.sample import Outcome, Settings

_AHEAD = 2
"""Samples handed to each process ahead of time: few, so that Ctrl-C is answered soon."""

Task = Callable[[int], Outcome]


def outcomes(task: Task, todo: Sequence[int], jobs: int, settings: Settings) -> Iterator[Outcome]:
    """What `task` makes of each index, in the order in which processes finish.

    Args:
        task: picklable.
        todo: indices.
        jobs: processes; with one the work is done in this one.
        settings: tells whether processes need torch.

    Raises:
        VlmfError: what the task raised, or worker_died.
    """
    if jobs == 1 or len(todo) < 2:
        yield from map(task, todo)
        return
    # A forked copy of a process with threads may hang, so processes start afresh.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, fresh, _start_worker, (settings,)) as pool:
        waiting = iter(todo)
        with _deaf_to_interrupt():
            running: set[Future[Outcome]] = {
                pool.submit(task, n) for n in islice(waiting, jobs * _AHEAD)
            }
        try:
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(task, n) for n in islice(waiting, len(finished))}
                yield from (future.result() for future in finished)
        except BrokenProcessPool:
            raise VlmfError("worker_died", "a process was stopped, most likely for lack of memory",
                            hint="run it again with fewer --jobs; finished samples are kept"
                            ) from None  # fmt: skip
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _deaf_to_interrupt() -> Iterator[None]:
    """Processes started in here ignore Ctrl-C from birth: the parent lets them finish."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it is interrupted
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start_worker(settings: Settings) -> None:
    _set_threads(1, 1, settings)


@contextmanager
def single_thread(settings: Settings) -> Iterator[None]:
    """One thread in this process: sums in another order would give other bytes."""
    before = _set_threads(1, 1, settings)
    try:
        yield
    finally:
        _set_threads(*before, settings)


def _set_threads(opencv: int, networks: int, settings: Settings) -> tuple[int, int]:
    """Threads of OpenCV and, where networks are used, of torch; returns what they were."""
    before = cv2.getNumThreads(), 1
    cv2.setNumThreads(opencv)
    if any(get(operation).network for operation in settings.operations):
        import torch

        before = before[0], torch.get_num_threads()
        torch.set_num_threads(networks)
    return before
