"""DD-VQA: the published questions by method, and crops in one folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, put

TRAIN = "DQ_FF++/train_set/Deepfakes/Deepfakes.json"


def _asked(*answers: str) -> dict[str, Any]:
    first = {"question": "Does the image looks real/fake?", "answer": [answers[0], "Another view."]}
    rest = [{"question": "Does the person's skin look real/fake?", "answer": [a]}
            for a in answers[1:]]  # fmt: skip
    return {str(n): question for n, question in enumerate([first, *rest])}


SWAPPED = {"0_114_102": _asked("The image looks fake.", "The skin is overly smooth.")}


def make(root: Path) -> list[Expected]:
    put(root / TRAIN, json.dumps(SWAPPED))
    put(root / "DQ_FF++/test_set/Original/Original.json",
        json.dumps({"5_056": _asked("The image looks real.")}))  # fmt: skip
    put(root / "images/0_114_102.png", image_bytes(0))
    put(root / "images/5_056.jpg", image_bytes(1, "JPEG"))
    text = "The image looks fake.\nThe skin is overly smooth."
    return [
        Expected(Label.TAMPERED, "train", generator="Deepfakes", explanation=text),
        Expected(Label.REAL, "test", explanation="The image looks real."),
    ]


def broken_image(root: Path) -> SkipCode:
    put(root / "images/5_056.jpg", b"no image")
    return SkipCode.BROKEN_IMAGE


def missing_image(root: Path) -> SkipCode:
    (root / "images/0_114_102.png").unlink()
    return SkipCode.MISSING_IMAGE


def wrong_json(root: Path) -> SkipCode:
    put(root / TRAIN, '{"0_114_102": ')
    return SkipCode.BROKEN_FILE


def unknown_method(root: Path) -> SkipCode:
    put(root / TRAIN, json.dumps({"4_114_102": SWAPPED["0_114_102"]}))
    return SkipCode.UNKNOWN_LABEL


def question_without_answer(root: Path) -> SkipCode:
    put(root / TRAIN, json.dumps({"0_114_102": {"0": {"question": "?"}}}))
    return SkipCode.BROKEN_ROW


DAMAGES = (broken_image, missing_image, wrong_json, unknown_method, question_without_answer)
