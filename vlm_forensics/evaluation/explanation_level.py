"""Figures about explanations, where the language model was asked and annotations exist."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm_forensics.evaluation.answers import NO_ANSWER, answer_of
from vlm_forensics.evaluation.judged import Case, Explained
from vlm_forensics.evaluation.metrics import Figure, bootstrap, mean
from vlm_forensics.evaluation.results import Table, Value
from vlm_forensics.evaluation.text import cosine_similarities, rouge_l
from vlm_forensics.taxonomy import Artifact, Label

NAMES = {
    "rouge_l": "ROUGE-L F1, no stemming",
    "cosine": "cosine similarity",
    "claim_precision": "claim precision",
    "claim_recall": "claim recall",
    "region_iou": "region IoU",
    "hallucination_on_reals": "reals with a claim (hallucination rate)",
    "unparsed": "texts that do not parse",
}
_ARTIFACTS = frozenset(Artifact)


def figures(cases: Sequence[Case], encoder: str) -> dict[str, tuple[Figure, int]]:
    """Every figure that the annotations allow, and over how many pictures.

    Args:
        cases: judged with the language model.
        encoder: of the cosine similarity; empty leaves it out.
    """
    texts = [case for case in cases if case.sample.explanation]
    reals = [case for case in cases if case.sample.label is Label.REAL]
    places = [case for case in cases if _has_place(case)]
    named = [case for case in cases if annotated(case)]
    counts = np.asarray([_claim_counts(case) for case in named]).reshape(-1, 3)
    found = {
        "rouge_l": _mean([rouge_l(case.sample.explanation, _text(case)) for case in texts]),
        "claim_precision": (bootstrap(precision, (counts,)), len(named)),
        "claim_recall": (bootstrap(recall, (counts,)), len(named)),
        "region_iou": _mean([_region_iou(case) for case in places]),
        "hallucination_on_reals": _mean([bool(_said(case).artifacts) for case in reals]),
        "unparsed": _mean([case.judged.parse_status == "unparsed" for case in cases]),
    }
    if encoder and texts:
        found["cosine"] = _mean(_cosines(texts, encoder))
    return {name: found[name] for name in NAMES if name in found and found[name][1]}


def table(found: dict[str, tuple[Figure, int]], cases: Sequence[Case], encoder: str) -> Table:
    """The figures with their counts.

    Args:
        found: of `figures`.
        cases: they are about.
        encoder: named in the table.
    """
    outside = outside_taxonomy(cases)
    rows = tuple(
        (NAMES[name] + (f" ({encoder})" if name == "cosine" else ""), count, Value.of(figure))
        for name, (figure, count) in found.items()
    )
    note = "Scored against annotations; a picture without a parsed answer scores 0."
    if outside:
        note += f" {outside} annotated artifact names are outside the taxonomy and not scored."
    return Table(id="explanations", title="Explanations", note=note,
                 columns=("figure", "n", "value (95 % interval)"), rows=rows)  # fmt: skip


def outside_taxonomy(cases: Sequence[Case]) -> int:
    """Number of annotated artifact names that are none of ours."""
    return sum(name not in _ARTIFACTS for case in cases for name in case.sample.artifacts)


def annotated(case: Case) -> set[str]:
    """Annotated artifacts of our taxonomy."""
    return set(case.sample.artifacts) & _ARTIFACTS


def precision(counts: ArrayLike) -> float:
    """Share of claimed artifacts that are annotated; counts are rows claimed, annotated, both."""
    claimed, _, both = np.asarray(counts, np.float64).reshape(-1, 3).sum(axis=0)
    return float(both / claimed) if claimed else float("nan")


def recall(counts: ArrayLike) -> float:
    """Share of annotated artifacts that are claimed; counts are rows claimed, annotated, both."""
    _, wanted, both = np.asarray(counts, np.float64).reshape(-1, 3).sum(axis=0)
    return float(both / wanted) if wanted else float("nan")


def _mean(values: Sequence[float] | NDArray[np.float64]) -> tuple[Figure, int]:
    return bootstrap(mean, (values,)), len(values)


def _said(case: Case) -> Explained:
    """What counts as said: nothing where the text does not parse or the system failed."""
    explained = case.judged.explained
    if explained is None or answer_of(case.judged) == NO_ANSWER:
        return Explained(text="", artifacts=(), region=None)
    return explained


def _text(case: Case) -> str:
    return _said(case).text


def _claim_counts(case: Case) -> tuple[int, int, int]:
    claimed, wanted = {str(name) for name in _said(case).artifacts}, annotated(case)
    return len(claimed), len(wanted), len(claimed & wanted)


def _has_place(case: Case) -> bool:
    region = case.judged.explained.region if case.judged.explained else None
    if region is not None:
        return region.truth > 0
    return bool(case.sample.boxes) or case.sample.has_mask


def _region_iou(case: Case) -> float:
    region = _said(case).region
    return region.iou if region is not None else 0.0


def _cosines(texts: Sequence[Case], encoder: str) -> NDArray[np.float64]:
    wanted, said = [case.sample.explanation for case in texts], [_text(case) for case in texts]
    found = cosine_similarities(wanted, said, encoder)
    # The similarity to no text at all is no achievement.
    return np.where([bool(text) for text in said], found, 0.0)
