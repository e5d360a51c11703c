"""LOKI: questions in UTF-8, annotations in UTF-16, media beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, loses, put

QUESTIONS = "data_json/image/true_or_false.json"
FLAWS = "data_json/image/open_ended_vqa.json"
REAL, FAKE, UNASKED = (f"media_data/image/{name}" for name in ("d9df.jpg", "2b69.png", "fd8a.png"))


def _questions(name: str, kind: str, category: str) -> list[dict[str, Any]]:
    return [
        {"image_path": name, "question": "<image>\n…", "answer": "Yes" if kind == asked else "No",
         "metric": "open-ended", "modality": "image-text", "choices": [],
         "question_type": f"image_tf_image_{kind}_ask_{asked}_{category}", "id": f"{category}_{n}"}
        for n, asked in enumerate(("fake", "real"))
    ]  # fmt: skip


ROWS = (*_questions(REAL, "real", "doc"), *_questions(FAKE, "fake", "animals"))
PROBLEMS = {
    "regional": [{"region": [3.5, 4, 20, 12.25], "desc": "The ear\u2019s edge melts."}],
    "global": [{"desc": "The light comes from two sides."}],
}


def make(root: Path) -> list[Expected]:
    put(root / REAL, image_bytes(0, "JPEG"))
    put(root / FAKE, image_bytes(1))
    put(root / UNASKED, image_bytes(2))
    put(root / QUESTIONS, json.dumps(ROWS))
    _flaws(root, [{"image_path": name, "problems": PROBLEMS} for name in (FAKE, UNASKED)])
    text = "The light comes from two sides.\nThe ear\u2019s edge melts."
    fake = Expected(Label.SYNTHETIC, "test", explanation=text)
    return [Expected(Label.REAL, "test"), fake, fake]


def _flaws(root: Path, rows: list[dict[str, Any]]) -> None:
    put(root / FLAWS, json.dumps(rows, ensure_ascii=False).encode("utf-16"))


def broken_image(root: Path) -> SkipCode:
    put(root / REAL, b"no image")
    return SkipCode.BROKEN_IMAGE


def missing_image(root: Path) -> SkipCode:
    (root / FAKE).unlink()
    return SkipCode.MISSING_IMAGE


def wrong_json(root: Path) -> SkipCode:
    put(root / FLAWS, (root / FLAWS).read_bytes()[:101])
    return SkipCode.BROKEN_FILE


@loses(0)
def annotation_without_place(root: Path) -> SkipCode:
    placeless = {"image_path": FAKE, "problems": {"regional": [{"desc": "?"}], "global": []}}
    _flaws(root, [placeless, {"image_path": UNASKED, "problems": PROBLEMS}])
    return SkipCode.BROKEN_ROW


@loses(0)
def answer_against_its_type(root: Path) -> SkipCode:
    put(root / QUESTIONS, json.dumps([{**ROWS[0], "answer": "Yes"}, *ROWS[1:]]))
    return SkipCode.BROKEN_ROW


DAMAGES = (
    broken_image, missing_image, wrong_json, annotation_without_place, answer_against_its_type,
)  # fmt: skip
