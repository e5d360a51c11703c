"""A tiny model of each family with what a run starts from, and two examples."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1] / "backbones"))
from tiny_families import model_of
from tiny_models import IMAGE, tokenizer
from tuning_data import CALIBRATION, REFERENCE

from vlm_forensics.collate import TextInputs
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.language_stage import Rationale
from vlm_forensics.model.modeling import VlmForensicsModel
from vlm_forensics.tuning.examples import Examples
from vlm_forensics.tuning.start import Start

ANSWERS = (
    "<answer>real</answer>",
    "<answer>tampered [SEG]\npasted_object | 1 2 30 40 | It.</answer>",
)


def start_of(family: str) -> Start:
    model = model_of(family).eval()
    words: Any = tokenizer()
    tokens = model.family.image_tokens(model.config.backbone_config)
    picture = words.convert_ids_to_tokens(IMAGE) * tokens
    return Start(model, TextInputs(words, model.family, picture, 2), CALIBRATION, REFERENCE)


def two_examples() -> Examples:
    """A real picture and a tampered one."""
    rng = np.random.default_rng(0)
    masks = np.zeros((2, 64, 64), bool)
    masks[1, 1:26, 1:20] = True
    corpus = Corpus(
        rng.integers(0, 256, (2, 64, 64, 3)).astype(np.uint8), masks, np.array([0, 2]),
        np.array([-100, 0]), np.array([True, True]), np.array(["s", "s"]), np.array(["a", "b"]),
        np.array([90, 90]),
    )  # fmt: skip
    said = [Rationale(n, "real 90%", "nothing stands out", ANSWERS[n]) for n in range(2)]
    return Examples(corpus, tuple(said))


def snapshot(model: VlmForensicsModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
