"""How a model writes on pictures with known truth: every reward, verdicts, claims, parse rate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlm_forensics.calibration import Calibration
from vlm_forensics.collate import TextInputs
from vlm_forensics.evaluation.metrics import Figure, bootstrap, mean
from vlm_forensics.model.inputs import to_tensor
from vlm_forensics.model.modeling import Detection, VlmForensicsModel
from vlm_forensics.model.vocabulary import CLASSES
from vlm_forensics.rewards import names as reward_names
from vlm_forensics.rewards.base import Completion
from vlm_forensics.rewards.scoring import score
from vlm_forensics.taxonomy import OPERATION_ARTIFACT, Label, Operation
from vlm_forensics.tuning.examples import Examples

_BATCH = 16


class Spoken(NamedTuple):
    """One answer and what it was worth."""

    text: str
    tokens: int
    label: Label
    detector: Label
    """What the calibrated detector says, which the prompt repeats: the baseline of the text."""
    parts: dict[str, float | None]
    """Every reward that applies."""
    repeated: float | None
    """Grounding of an answer that only repeats the detector."""


class Card(NamedTuple):
    """Figures over all answers; 95 % intervals by bootstrap over pictures."""

    answers: int
    figures: dict[str, Figure]
    """By name; NaN where no picture allows one."""
    reward: float
    """Mean of the weighted rewards."""


def as_json(found: Card) -> dict[str, Any]:
    """Plain values; None where a figure is not defined."""
    rows = {name: None if np.isnan(one.value) else list(one) for name, one in found.figures.items()}
    return {"answers": found.answers, "reward": found.reward, "figures": rows}


def from_json(values: Mapping[str, Any]) -> Card:
    """The card in what `as_json` gave."""
    nothing = (float("nan"),) * 3
    rows = {name: Figure(*(one or nothing)) for name, one in values["figures"].items()}
    return Card(values["answers"], rows, values["reward"])


def columns(examples: Examples, item: int, head: Label | None = None,
            predicted: NDArray[np.bool_] | None = None) -> dict[str, object]:  # fmt: skip
    """What rewards may know of an example, by the names they read."""
    operation, label = examples.operation(item), examples.label(item)
    return {
        "label": str(label), "operation": None if operation is None else str(operation),
        "mask": examples.mask(item), "predicted_mask": predicted,
        "head": None if head is None else str(head),
        "difficulty": difficulty(examples.rationales[item].judged, label),
        "unusual": list(examples.rationales[item].unusual) if label is not Label.REAL else None,
    }  # fmt: skip


def difficulty(judged: str, label: Label) -> float:
    """How far the detector is from the truth, in [0, 1], from what the prompt says it judges."""
    name, share, *_ = _judged(judged)
    sure = float(share) / 100
    return 1 - sure if name == label else sure


def repeated(judged: str) -> str:
    """The answer that says what the detector judges and nothing else: the baseline of a text."""
    label, _, operation, box = _judged(judged)
    lines = [label if box is None else f"{label} [SEG]"]
    if operation is not None:
        artifact = OPERATION_ARTIFACT[Operation(operation.replace(" ", "_"))]
        lines.append(f"{artifact} | {box or 'all'} | The detector says so.")
    return f"<answer>{chr(10).join(lines)}</answer>"


def _judged(said: str) -> tuple[str, str, str | None, str | None]:
    """Class, percentage, operation and box in what `rationale.judged_phrase` wrote."""
    found = re.fullmatch(r"(\w+) (\d+)%(?:, ([a-z ]+?)(?: at ([\d ]+))?)?", said)
    assert found is not None, said
    label, share, operation, box = found.groups()
    return label, share, operation, box


def speak(
    model: VlmForensicsModel, text: TextInputs, examples: Examples, calibration: Calibration,
    *, max_tokens: int = 160,
) -> list[Spoken]:  # fmt: skip
    """Greedy answers to all examples, each scored by every reward."""
    from rich.progress import track

    model.train(False)
    batches = list(_batches(len(examples)))
    found: list[Spoken] = []
    for items in track(batches, "answering"):
        found += _speak(model, text, examples, items, calibration.mask_threshold, max_tokens)
    return found


def _batches(count: int) -> Iterator[list[int]]:
    for first in range(0, count, _BATCH):
        yield list(range(first, min(first + _BATCH, count)))


@torch.inference_mode()
def _speak(
    model: VlmForensicsModel, text: TextInputs, examples: Examples, items: Sequence[int],
    threshold: float, max_tokens: int,
) -> list[Spoken]:  # fmt: skip
    rows = [examples.rationales[n] for n in items]
    pixels = np.stack([np.asarray(examples.corpus.rgb[row.index]) for row in rows])
    overview = to_tensor(pixels).to(model.device)
    ids, attention = left_padded([text.prompt_ids(r.judged, r.measured) for r in rows],
                                 text.tokenizer.pad_token_id)  # fmt: skip
    ids, attention = ids.to(model.device), attention.to(model.device)
    found = model.detect(model.pixels(overview), overview)
    new = model.generate_text(ids, attention, found, max_new_tokens=max_tokens)
    masks = prompted_masks(model, ids, attention, new, found) >= threshold
    heads = found.adapter.class_logits.argmax(1).tolist()
    spoken = []
    for k, n in enumerate(items):
        said = text.answer_text(new[k])
        known = columns(examples, n, CLASSES[heads[k]], masks[k])
        parts = score(said, known, dict.fromkeys(reward_names(), 1.0)).parts
        length = int((new[k] != text.tokenizer.pad_token_id).sum())
        judged = rows[k].judged
        alone = score(repeated(judged), known, {"grounding": 1.0}).parts["grounding"]
        spoken.append(Spoken(said, length, examples.label(n), Label(_judged(judged)[0]), parts,
                             alone))  # fmt: skip
    return spoken


def left_padded(rows: Sequence[Sequence[int]], fill: int) -> tuple[Tensor, Tensor]:
    """Ids and attention mask `[B, L]`, the padding in front."""
    width = max(map(len, rows))
    ids = torch.tensor([[*[fill] * (width - len(row)), *row] for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


@torch.inference_mode()
def prompted_masks(
    model: VlmForensicsModel, ids: Tensor, attention: Tensor, new: Tensor, found: Detection
) -> NDArray[np.float32]:
    """`[B, h/4, w/4]` in [0, 1] that `[SEG]` in the answers asks for; the default where none."""
    whole = torch.cat([ids, new], 1)
    if not bool((new == model.config.seg_token_id).any()):
        return np.asarray(found.mask_logits.sigmoid().float().cpu().numpy())
    seen = torch.cat([attention, torch.ones_like(new)], 1)
    hidden = model.hidden_states(whole, found, seen)
    prompt = model.hidden_at(hidden, whole, model.config.seg_token_id)
    logits = model.mask_decoder(found.adapter.grid, found.adapter.fine, prompt)
    return np.asarray(logits.sigmoid().float().cpu().numpy())


def card(spoken: Sequence[Spoken], weights: Mapping[str, float]) -> Card:
    """The figures of a set of answers."""
    answers = [Completion(one.text).answer for one in spoken]
    labels = np.asarray([one.label for one in spoken])
    verdicts = [None if a is None else a.verdict for a in answers]
    claims = np.asarray([bool(a and a.claims) for a in answers])
    real, alone = labels == Label.REAL, np.asarray([one.detector for one in spoken])
    right = np.asarray([said == label for said, label in zip(verdicts, labels, strict=True)])
    forged = np.asarray([said not in (None, Label.REAL) for said in verdicts])
    figures = {
        "parse rate": _mean([a is not None for a in answers]),
        "verdict: balanced accuracy over the classes": bootstrap(_balanced, [right, labels]),
        "detector alone: balanced accuracy": bootstrap(_balanced, [alone == labels, labels]),
        "reals called forged by the text": _mean(forged[real]),
        "detector alone: reals called forged": _mean((alone != Label.REAL)[real]),
        "reals with a claim": _mean(claims[real]),
        "tokens": _mean([one.tokens for one in spoken]),
    }
    figures |= {name: _mean([one.parts[name] for one in spoken]) for name in reward_names()}
    forged_ones = [one for one in spoken if one.label is not Label.REAL]
    figures |= {
        "detector alone: grounding": _mean([one.repeated for one in spoken]),
        "grounding of forged": _mean([one.parts["grounding"] for one in forged_ones]),
        "detector alone: grounding of forged": _mean([one.repeated for one in forged_ones]),
    }
    return Card(len(spoken), figures, _weighted(spoken, weights))


def _weighted(spoken: Sequence[Spoken], weights: Mapping[str, float]) -> float:
    totals = []
    for one in spoken:
        known = {n: v for n, v in one.parts.items() if n in weights and v is not None}
        if known:
            total = sum(weights[name] * value for name, value in known.items())
            totals.append(total / sum(weights[name] for name in known))
    return float(np.mean(totals)) if totals else 0.0


def _mean(values: Iterable[float | bool | None]) -> Figure:
    return bootstrap(mean, [[float(value) for value in values if value is not None]])


def _balanced(right: NDArray[np.bool_], labels: NDArray[np.str_]) -> float:
    """Mean over the classes of the share that the verdict of the text got right."""
    kinds = np.unique(labels)
    return float(np.mean([right[labels == kind].mean() for kind in kinds]))
