"""Runs the product over dataset pictures, in parallel, and keeps every result for a later run.

Each picture is encoded to JPEG and goes through `EvidenceImage.from_bytes` and `Detector.examine`
as a user's file does.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_forensics import assembly, masks, weights
from vlm_forensics.datasets.base import Sample
from vlm_forensics.datasets.equalise import QUALITY, centre_square, take
from vlm_forensics.datasets.pixels import read_mask, read_pixels
from vlm_forensics.detector import Detector, Examination
from vlm_forensics.errors import ModelError, VlmfError
from vlm_forensics.evaluation.baselines import file_facts, map_f1
from vlm_forensics.evaluation.masks import pixel_f1
from vlm_forensics.evaluation.metrics import auc
from vlm_forensics.image import EvidenceImage
from vlm_forensics.model.adapter import pool

View = Literal["square", "whole"]
"""Equalised centre square, or the whole picture at its own size saved as the same JPEG."""
Row = dict[str, Any]


def as_jpeg(rgb: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """The pixels as the 4:2:0 JPEG file that `equalise.recompress` reads back."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return buffer.getvalue()


def equalised_jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """The centre square at the common size, as the common JPEG."""
    return as_jpeg(take(rgb, centre_square(*rgb.shape[:2])))


class Judge:
    """One detector, and a look at what its adapter reads and its low-level stream says."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._tapped: Row = {}

    @classmethod
    def load(cls, model: str | Path) -> Judge:
        """The judge of this model, without its language model."""
        judge = cls(Detector.from_pretrained(model, rationale=False))
        judge.detector._engine.model.adapter.register_forward_hook(judge._tap)
        return judge

    def _tap(self, _module: Any, inputs: Any, output: Any) -> None:
        packed = pool(inputs[0][-1].float())[0].cpu().numpy().astype(np.float16).tobytes()
        self._tapped = {"low_level": output.low_level_logits[0].tolist(),
                        "states": base64.b64encode(packed).decode()}  # fmt: skip

    def judge(self, sample: Sample, view: View) -> Row:
        """What the detector says about this sample, with everything the tables need."""
        original = read_pixels(sample.path)
        self._tapped = {}
        if view == "square":
            data = equalised_jpeg(original)
            found = self.detector.examine(EvidenceImage.from_bytes(data, sample.path.name))
            facts = {"before": file_facts(sample.path.read_bytes()), "after": file_facts(data)}
            return _said(found) | self._tapped | {"facts": facts}
        found = self.detector.examine(EvidenceImage.from_bytes(as_jpeg(original), sample.path.name))
        return _said(found) | _localised(found, sample)


def _said(found: Examination) -> Row:
    report = found.report
    if not report.classes:
        raise ModelError("model_failed", "the model could not examine this image", hint="")
    return {"verdict": report.verdict, "probability": report.probability, "classes": report.classes}


def _localised(found: Examination, sample: Sample) -> Row:
    report, heatmap = found.report, found.heatmap
    truth = read_mask(sample, *found.image.rgb.shape[:2])
    shown = masks.decode(report.mask) if report.mask else np.zeros_like(truth)
    row: Row = {"shown": bool(shown.any())}
    if not truth.any():
        return row
    cut = report.model.thresholds["mask"]
    heat = np.zeros(truth.shape, np.float32) if heatmap is None else heatmap
    row |= {"area": float(truth.mean()), "f1": pixel_f1(truth, shown),
            "f1_regardless": pixel_f1(truth, heat >= cut),
            "f1_ones": pixel_f1(truth, np.ones_like(truth)),
            "pixel_auc": auc(truth.ravel(), heat.ravel()),
            "maps": map_f1(found.image, truth)}  # fmt: skip
    return row


def unpack_states(row: Row) -> NDArray[np.float32]:
    """The pooled states of the encoder that a square view's row carries."""
    return np.frombuffer(base64.b64decode(row["states"]), np.float16).astype(np.float32)


def model_digest(model: str | Path) -> str:
    """Short digest over every file of the model."""
    digests = weights.digests(assembly.model_folder(model))
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:16]


def judge_all(
    samples: Sequence[Sample], view: View, model: str | Path, cache: Path, workers: int
) -> list[Row]:
    """One row per sample, in order; rows in the `cache` (JSON Lines) are not computed again.

    A row's key is made of the source file's bytes, view, label and the model's digest. A picture
    that does not decode gives a row with `refused`.
    """
    digest = model_digest(model)
    keys = [_key(sample, view, digest) for sample in samples]
    known = _read(cache)
    todo = {key: sample for key, sample in zip(keys, samples, strict=True) if key not in known}
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.open("a", encoding="utf-8") as file:
        for key, row in zip(todo, _rows(list(todo.values()), view, model, workers), strict=True):
            known[key] = row
            file.write(json.dumps({"key": key, **row}) + "\n")
            file.flush()
    return [known[key] for key in keys]


def _key(sample: Sample, view: View, digest: str) -> str:
    content = hashlib.sha256(sample.path.read_bytes()).hexdigest()
    return f"{content}:{view}:{sample.label}:{digest}"


def _read(cache: Path) -> dict[str, Row]:
    known = {}
    for line in cache.read_text("utf-8").splitlines() if cache.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:  # the line that an interrupted run was writing
            continue
        known[row.pop("key")] = row
    return known


def _rows(samples: list[Sample], view: View, model: str | Path, workers: int) -> Iterator[Row]:
    if not samples:
        return
    # Torch does not survive a fork, hence spawn.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (model,)) as pool:
        found = pool.map(_judge, samples, [view] * len(samples), chunksize=4)
        yield from _tracked(found, len(samples), f"judging ({view})")


def _tracked(rows: Iterable[Row], total: int, text: str) -> Iterable[Row]:
    from rich.console import Console
    from rich.progress import track

    return track(rows, text, total=total, console=Console(stderr=True))


_state: dict[str, Judge] = {}
"""The judge of a worker process."""


def _start(model: str | Path) -> None:
    import torch

    torch.set_num_threads(1)
    _state["judge"] = Judge.load(model)


def _judge(sample: Sample, view: View) -> Row:
    try:
        return _state["judge"].judge(sample, view)
    except (OSError, ValueError, SyntaxError, VlmfError) as error:
        return {"refused": type(error).__name__}
