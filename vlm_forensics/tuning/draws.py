"""What the settings name as sampler."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.sampling import BalancedSampler, DifficultySampler
from vlm_forensics.tuning.settings import Balanced, MomentumDifficulty, Sampler


def sampler(
    settings: Sampler, corpus: Corpus, index: NDArray[np.int64], seed: int
) -> BalancedSampler | None:
    """The sampler over these pictures of the corpus; None for transformers' own shuffling."""
    classes, source = corpus.classes[index], corpus.source[index]
    match settings:
        case MomentumDifficulty(momentum=momentum, most=most):
            return DifficultySampler(classes, source, seed, momentum=momentum, most=most)
        case Balanced():
            return BalancedSampler(classes, source, seed)
        case _:
            return None
