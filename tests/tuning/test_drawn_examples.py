"""Which pictures a run learns from: real ones as often as asked, the rest by what was done."""

from __future__ import annotations

import numpy as np
import pytest

from vlm_forensics.errors import InputError
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.sampling import draw
from vlm_forensics.model.losses import IGNORE
from vlm_forensics.model.vocabulary import CLASSES
from vlm_forensics.taxonomy import Label


def corpus(real: int, synthetic: int, tampered: int, unknown: int = 0) -> Corpus:
    """So many of each; `unknown` tampered ones more, of which nobody knows what was done."""
    counts = (real, synthetic, tampered + unknown)
    classes = np.repeat(np.arange(3), counts)
    operations = np.r_[np.full(real, IGNORE), np.full(synthetic, 8), np.zeros(tampered, int),
                       np.full(unknown, IGNORE)]  # fmt: skip
    n = len(classes)
    names = np.array([str(k) for k in range(n)])
    return Corpus(
        np.zeros((n, 2, 2, 3), np.uint8), np.zeros((n, 2, 2), bool), classes, operations,
        np.ones(n, bool), names, names, np.full(n, 90),
    )  # fmt: skip


def shares(found: Corpus, count: int, real: float) -> dict[Label, int]:
    rows = draw(found, count, real, np.random.default_rng(0))
    assert len(set(rows.tolist())) == len(rows)
    drawn = found.classes[rows]
    return {label: int((drawn == n).sum()) for n, label in enumerate(CLASSES)}


@pytest.mark.parametrize(("real", "expected"), [(0.5, (60, 20, 40)), (0.25, (30, 30, 60))])
def test_the_share_of_real_pictures_is_the_one_asked_for(
    real: float, expected: tuple[int, int, int]
) -> None:
    assert tuple(shares(corpus(100, 100, 100), 120, real).values()) == expected


def test_a_class_with_too_few_gives_all_it_has() -> None:
    assert shares(corpus(10, 100, 5), 120, 0.5) == {
        Label.REAL: 10, Label.SYNTHETIC: 20, Label.TAMPERED: 5,
    }  # fmt: skip


def test_tampering_nobody_named_is_not_described() -> None:
    found = corpus(50, 50, 3, unknown=50)
    rows = draw(found, 60, 0.5, np.random.default_rng(0))
    tampered = rows[found.classes[rows] == 2]
    assert (found.operations[tampered] != IGNORE).all()
    assert len(tampered) == 3


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(InputError) as refused:
        draw(corpus(50, 0, 0), 10, 0.5, np.random.default_rng(0))
    assert refused.value.code == "too_few_images"
