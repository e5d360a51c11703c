"""Which example is trained on next: classes evenly, and by choice harder ones more often.

A draw is a function of the seed, its number and, for the harder ones, of the losses so far. All of
that goes into the checkpoint, so a resumed run draws what it would have drawn; and every process
knows all losses, so all draw the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import ExportableState

from vlm_forensics.errors import InputError
from vlm_forensics.model.losses import IGNORE
from vlm_forensics.model.vocabulary import CLASSES
from vlm_forensics.taxonomy import Label

if TYPE_CHECKING:
    from vlm_forensics.fitting.corpus import Corpus


def even_weights(classes: NDArray[np.int64], source: NDArray[np.str_]) -> NDArray[np.float64]:
    """One per sample, averaging 1: classes even, sources within one by the root of their size."""
    weight = np.zeros(len(classes))
    for c in np.unique(classes):
        members = classes == c
        names, counts = np.unique(source[members], return_counts=True)
        for name, count in zip(names, counts, strict=True):
            weight[members & (source == name)] = count**-0.5
        weight[members] /= weight[members].sum()
    return np.asarray(weight * len(classes) / weight.sum())


def draw(found: Corpus, count: int, real: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows, shuffled: this share real, a third of the rest synthetic, two thirds tampered.

    Tampered ones with a known operation; where a class has too few, all of it.
    """
    known = (found.operations != IGNORE) & found.mask_known
    photographs = max(1, round(count * real))
    synthetic = round((count - photographs) / 3)
    shares = {Label.REAL: photographs, Label.SYNTHETIC: synthetic,
              Label.TAMPERED: count - photographs - synthetic}  # fmt: skip
    drawn = []
    for label, share in shares.items():
        ours = found.classes == CLASSES.index(label)
        pool = np.flatnonzero(ours & known if label is Label.TAMPERED else ours)
        drawn.append(rng.choice(pool, min(share, len(pool)), replace=False))
    chosen = np.concatenate(drawn)
    if len({int(c) for c in found.classes[chosen]}) < 2:
        raise InputError("too_few_images", "the training data hold one class only",
                         hint="add photographs, or what vlmf data forge made")  # fmt: skip
    return np.asarray(rng.permutation(chosen))


class Drawn(int):
    """The number of a row that knows which draw it is, for a dataset with randomness of its own."""

    number: int

    def __new__(cls, row: int, number: int) -> Drawn:
        """An int with one thing more."""
        made = super().__new__(cls, row)
        made.number = number
        return made


class BalancedSampler(Sampler[int]):
    """Draws classes evenly, and within a class sources by the square root of their size.

    Args:
        classes: `[N]` indices into `CLASSES`.
        source: `[N]` names.
        seed: of the draws.
    """

    def __init__(self, classes: NDArray[np.int64], source: NDArray[np.str_], seed: int) -> None:
        self.classes = classes
        self.weight = even_weights(classes, source)
        self.seed = seed
        self.first = 0
        """Number of the first draw of this round through the data."""
        self.drawn: list[int] = []
        """Rows of this round so far, those that were fetched ahead included."""
        self._again: list[int] = []

    def _by_class(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same total for every class."""
        sums = np.bincount(self.classes, weight, len(CLASSES))
        return np.asarray(weight / sums[self.classes])

    def __len__(self) -> int:
        return len(self.weight)

    def __iter__(self) -> Iterator[int]:
        again, self._again = self._again, []
        # Only now, for the last batch of a round is fetched while others of it wait their turn.
        self.first, self.drawn = self.first + self._finished(), []
        for n in range(len(self)):
            row = again[n] if n < len(again) else self._row(self.first + n)
            self.drawn.append(row)
            yield Drawn(row, self.first + n)

    def _finished(self) -> int:
        """How many draws a round had that was drawn to its end; 0 in the middle of one."""
        return len(self) if len(self.drawn) == len(self) else 0

    def _row(self, number: int) -> int:
        reached = np.cumsum(self.weights())
        at = np.random.default_rng([self.seed, number]).random() * reached[-1]
        return int(min(np.searchsorted(reached, at, side="right"), len(self) - 1))

    def weights(self) -> NDArray[np.float64]:
        """How often each row is drawn, up to a factor."""
        return self.weight

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as plain data."""
        return {"first": self.first, "drawn": list(self.drawn)}

    def load(self, state: Mapping[str, Any], *, trained: bool = False) -> None:
        """Goes on from a checkpoint: the round that was begun is drawn again as it was.

        Args:
            state: of the checkpoint.
            trained: the round was trained on to its end, so that the next one is due.
        """
        self.first, self._again, self.drawn = int(state["first"]), [], list(state["drawn"])
        if not trained:
            self._again, self.drawn = self.drawn, []


class DifficultySampler(BalancedSampler):
    """A balanced sampler that draws an example more often, the larger its losses were.

    After the momentum difficulty boosting of Diffusion Deepfake (Bhattacharyya et al. 2024, arXiv
    2404.01579), of which the abstract could be read: weights that follow the difficulty of samples,
    kept with momentum. The paper weighs; here the weight is how often an example is drawn. Ours are
    the bounds, without which few wrongly labelled pictures would be all that is seen, and that it
    acts within each class, so that classes stay even and real pictures are not forgotten.

    Args:
        classes: as for `BalancedSampler`.
        source: likewise.
        seed: likewise.
        momentum: share of the old average that stays with each new loss, in [0, 1).
        most: at most so many times as often as an example of average loss, and as seldom; above 1.
    """

    def __init__(
        self, classes: NDArray[np.int64], source: NDArray[np.str_], seed: int, *, momentum: float,
        most: float,
    ) -> None:  # fmt: skip
        super().__init__(classes, source, seed)
        self.momentum, self.most = momentum, most
        self.average = np.full(len(classes), np.nan)
        """Momentum average of each row's loss; NaN before it was trained on."""
        self._weights: NDArray[np.float64] | None = None

    def update(self, rows: NDArray[np.int64], losses: NDArray[np.float64]) -> None:
        """Takes in the losses of a step, of all processes."""
        for row, loss in zip(rows.tolist(), losses.tolist(), strict=True):
            if np.isfinite(loss):
                old = self.average[row]
                kept = self.momentum * old + (1 - self.momentum) * loss
                self.average[row] = loss if np.isnan(old) else kept
        self._weights = None

    def weights(self) -> NDArray[np.float64]:
        """Balanced weights times relative difficulty; what was not seen yet counts as average."""
        if self._weights is None:
            seen = ~np.isnan(self.average)
            count = np.bincount(self.classes[seen], minlength=len(CLASSES))
            total = np.bincount(self.classes[seen], self.average[seen], len(CLASSES))
            usual = (total / count.clip(1)).clip(1e-9)
            harder = np.where(seen, self.average / usual[self.classes], 1.0)
            self._weights = self._by_class(self.weight * harder.clip(1 / self.most, self.most))
        return self._weights

    def state(self) -> dict[str, Any]:
        """The draws, and every average; null where there is none."""
        averages = [None if np.isnan(value) else value for value in self.average.tolist()]
        return {**super().state(), "average": averages}

    def load(self, state: Mapping[str, Any], *, trained: bool = False) -> None:
        """Goes on from a checkpoint."""
        super().load(state, trained=trained)
        self.average = np.array([np.nan if v is None else v for v in state["average"]], np.float64)
        self._weights = None


class SamplerState(TrainerCallback, ExportableState):
    """Puts the sampler's state into `trainer_state.json`, which is written last."""

    def __init__(self, sampler: BalancedSampler) -> None:
        self.sampler = sampler

    def state(self) -> dict[str, Any]:
        """In the form of transformers."""
        return {"args": {}, "attributes": self.sampler.state()}


class SamplingTrainer(Trainer):
    """A trainer that draws through a sampler of ours and tells it the losses.

    The model gives `each`, the losses `[B]` of the samples alone, where a batch holds `row`.

    Args:
        sampler: what is drawn.
        kwargs: of `transformers.Trainer`.
    """

    def __init__(self, sampler: BalancedSampler, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sampler = sampler
        self.add_callback(SamplerState(sampler))

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:  # noqa: ARG002
        return self.sampler

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss, as ever; the sampler learns of its parts."""
        loss, out = super().compute_loss(model, inputs, True, num_items_in_batch)
        if isinstance(self.sampler, DifficultySampler):
            rows, losses = self.accelerator.gather((inputs["row"], out["each"].double()))
            self.sampler.update(rows.cpu().numpy(), losses.cpu().numpy())
        return (loss, out) if return_outputs else loss

    def run(self, checkpoint: str | None) -> None:
        """Trains, or goes on from a checkpoint with the draws that would have followed."""
        if checkpoint:
            saved = json.loads((Path(checkpoint) / "trainer_state.json").read_text("utf-8"))
            kept = saved["stateful_callbacks"].get(SamplerState.__name__)
            if kept:
                whole_rounds = float(saved["epoch"]).is_integer()
                self.sampler.load(kept["attributes"], trained=whole_rounds)
        self.train(resume_from_checkpoint=checkpoint)
