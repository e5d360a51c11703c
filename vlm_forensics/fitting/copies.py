"""Changed copies of training pictures beside the originals, made before anything looks at them.

Copies are cut together with their originals, so that what follows, the last JPEG, the states of the
vision tower, the detector's judgement, the measurements and the words about them, is made of the
changed pixels like of any others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vlm_forensics.datasets.base import Sample
from vlm_forensics.datasets.equalise import centre_square
from vlm_forensics.fitting import views
from vlm_forensics.fitting.views import Views
from vlm_forensics.taxonomy import Label
from vlm_forensics.transforms import Picture, Scene, Transform

_POOL = 64
"""Pictures of each label that are kept as partners, about 17 MB."""


def build(
    samples: Sequence[Sample], out: Path, transforms: Sequence[Transform], *, copies: int, seed: int
) -> Views:
    """Every picture followed by its `copies` (kept and re-read when it is complete).

    Raises:
        InputError: a transform's settings do not fit the data.
    """
    for transform in transforms:
        transform.check({sample.source for sample in samples})
    return views.build(samples, out, per_image=1 + copies, seed=seed, cut=_Changed(transforms))


class _Changed:
    """Cuts a picture, and changes its copies by one transform after another."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = transforms
        self.pool: dict[Label, list[Picture]] = {}

    def __call__(self, stored: Picture, count: int, rng: np.random.Generator) -> Iterable[Picture]:
        original = stored.cut(centre_square(*stored.mask.shape[:2]))
        others = self.pool.setdefault(stored.label, [])
        yield original
        for _ in range(count - 1):
            copy, scene = original, Scene(stored, others)
            for transform in self.transforms:
                if rng.random() < transform.share:
                    copy = transform(copy, scene, rng)
            yield copy
        if len(others) < _POOL:
            others.append(original)
        else:
            others[int(rng.integers(_POOL))] = original
