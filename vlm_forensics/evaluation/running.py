"""Judges many pictures, in parallel if asked, and keeps every result for a later run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

import vlm_forensics
from vlm_forensics import assembly, prompts, weights
from vlm_forensics.datasets.base import Blob, Sample
from vlm_forensics.evaluation.baselines import BASELINES
from vlm_forensics.evaluation.judge import Judge
from vlm_forensics.evaluation.judged import Case, Judged, Look
from vlm_forensics.evaluation.questions import QuestionJudge
from vlm_forensics.training_free.meter import autoencoder

ROWS = 1
"""Version of what is kept of a picture; older rows are not read."""


class Task(NamedTuple):
    """One picture to be judged in one form."""

    sample: Sample
    look: Look


def model_digest(model: str | Path) -> str:
    """Short digest over every file of the model."""
    digests = weights.digests(assembly.model_folder(model))
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:16]


def _judge_digest(model: str | Path | QuestionJudge) -> str:
    """What tells the results of this judge, baselines included, from those of others."""
    if not isinstance(model, QuestionJudge):
        return model_digest(model)
    return f"{model.way.digest} {'' if model.beside is None else model_digest(assembly.MINI)}"


def judge_all(
    tasks: Sequence[Task], model: str | Path | QuestionJudge, cache: Path, *, workers: int = 1,
    fresh: bool = False,
) -> list[Case]:  # fmt: skip
    """One case per task, in order; results in the `cache` (JSON Lines) are not computed again.

    A result's key is made of the bytes of image, masks and original, the annotated boxes, the
    look, the model's digest, the prompt and the version of this package. An endpoint's failure may
    pass: it counts now and is tried again by the next run.

    Args:
        tasks: what to judge.
        model: name or folder, or who asks a model.
        cache: made when it does not exist; results are appended as they come.
        workers: processes; 1 judges in this one, as questions always do.
        fresh: compute everything again.
    """
    digest = _judge_digest(model)
    keys = _keys(tasks, digest)
    known = {} if fresh else _read(cache)
    todo = {key: task for key, task in zip(keys, tasks, strict=True) if key not in known}
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.open("a", encoding="utf-8") as file:
        results = _results(list(todo.values()), model, workers)
        for key, judged in zip(todo, results, strict=True):
            known[key] = judged
            if judged.failed.startswith("endpoint_"):
                continue
            file.write(json.dumps({"key": key, "judged": judged.model_dump(mode="json")}) + "\n")
            file.flush()
    return [Case(task.sample, known[key]) for key, task in zip(keys, tasks, strict=True)]


def _keys(tasks: Sequence[Task], digest: str) -> list[str]:
    names = [baseline.name for baseline in BASELINES]
    run = [ROWS, vlm_forensics.__version__, digest, prompts.load(prompts.EXPLAIN).sha256, names,
           autoencoder()]  # fmt: skip
    contents: dict[int, str] = {}
    found = []
    for sample, look in tasks:
        if id(sample) not in contents:
            contents[id(sample)] = _content(sample)
        text = json.dumps([*run, contents[id(sample)], look])
        found.append(hashlib.sha256(text.encode()).hexdigest()[:32])
    return found


def _content(sample: Sample) -> str:
    blobs = [sample.path, *sample.masks, *([sample.original] if sample.original else [])]
    return json.dumps([*map(_digest, blobs), [repr(box) for box in sample.boxes]])


def _digest(blob: Blob) -> str:
    try:
        return hashlib.sha256(blob.read_bytes()).hexdigest()
    except OSError as error:  # judging it will say the same
        return f"unreadable: {type(error).__name__}"


def _read(path: Path) -> dict[str, Judged]:
    known = {}
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
            known[row["key"]] = Judged.model_validate_json(json.dumps(row["judged"]))
        except (ValueError, KeyError, TypeError, ValidationError):
            continue  # the line that an interrupted run was writing, or one of another version
    return known


def _results(
    tasks: list[Task], model: str | Path | QuestionJudge, workers: int
) -> Iterator[Judged]:
    if not tasks:
        return
    if isinstance(model, QuestionJudge):
        yield from _tracked((model.judge(*task) for task in tasks), len(tasks))
        return
    names = [str(model)] * len(tasks)
    if workers == 1:
        yield from _tracked(map(_judge, names, tasks), len(tasks))
        return
    # Torch does not survive a fork, hence spawn.
    with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
        yield from _tracked(pool.map(_judge, names, tasks), len(tasks))


def _tracked(results: Iterable[Judged], total: int) -> Iterable[Judged]:
    from rich.console import Console
    from rich.progress import track

    return track(results, "judging", total=total, console=Console(stderr=True))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@cache
def _loaded(model: str, rationale: bool) -> Judge:
    return Judge.load(model, rationale=rationale)


def _judge(model: str, task: Task) -> Judged:
    return _loaded(model, task.look.rationale).judge(*task)
