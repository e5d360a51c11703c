"""After blending: the linear probe for generated pictures, on natural pictures of more sources.

These need no forging, so the probe can see many more sources than the rest of stage A did; what it
cannot see, it ranks near chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vlm_forensics.backbones.mini import VISION_SIZE
from vlm_forensics.fitting import blend, calibrate, detection_stage, recipe, vision_cache
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.model.vocabulary import CLASSES
from vlm_forensics.taxonomy import Label

_SYNTHETIC = CLASSES.index(Label.SYNTHETIC)


def fit(data: Sequence[Path], work: Path, config: dict[str, Any]) -> list[list[float]]:
    """Fits the probe's row for synthetic and, anew, all head weights; writes the finished parts."""
    corpus = recipe.natural_corpus(data, work, config)
    read = vision_cache.of_tower(recipe.vision_tower(), recipe.layers()[-1:], VISION_SIZE)
    states = vision_cache.cache(read, corpus.rgb, work / "natural_states.npy")
    probe = blend.fit_synthetic(blend.pooled(states), corpus.classes, corpus.source)
    found = calibrate.validation_corpus(data, work, config)
    return finish(probe, found, calibrate.validation_states(found, work), work)


def finish(
    probe: tuple[NDArray[np.float64], float], found: Corpus, states: NDArray[np.float16],
    work: Path,
) -> list[list[float]]:  # fmt: skip
    """Puts the probe into the blended parts and fits what each head weighs.

    Args:
        probe: weights and bias, from `blend.fit_synthetic`.
        found: validation pictures.
        states: theirs.
        work: folder of the run.
    """
    from safetensors.torch import save_file

    parts = recipe.detection_parts(work, recipe.BLENDED)
    with torch.no_grad():
        parts.adapter.vision_head.weight[_SYNTHETIC] = torch.from_numpy(probe[0])
        parts.adapter.vision_head.bias[_SYNTHETIC] = probe[1]
    mix = blend.fit_mix(_heads(parts, found.rgb, states), found.classes)
    parts.adapter.get_buffer("class_mix").copy_(torch.from_numpy(mix))
    save_file(parts.state_dict(), work / "detection" / recipe.PROBED)
    rounded: list[list[float]] = mix.round(3).tolist()
    return rounded


@torch.inference_mode()
def _heads(
    parts: detection_stage.DetectionParts, rgb: NDArray[np.uint8], states: NDArray[np.float16]
) -> NDArray[np.float32]:
    """Logits `[3, N, 3]` of the adapter's heads."""
    mix = parts.adapter.get_buffer("class_mix")
    mix.copy_(torch.tensor([[1.0] * 3, [0.0] * 3, [0.0] * 3]))  # class logits of the first head
    predicted = detection_stage.predict(parts, rgb, states)
    linear = parts.adapter.vision_head(torch.from_numpy(blend.pooled(states))).numpy()
    return np.stack([predicted["class"], predicted["low_level"], linear])
