"""Whether file facts alone tell real pictures from forged ones, before and after `equalise`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.checking.pictures import Picture
from vlm_forensics.checking.results import NotChecked, Probe
from vlm_forensics.datasets.base import Sample
from vlm_forensics.evaluation.baselines import shortcut_scores
from vlm_forensics.evaluation.metrics import auc, bootstrap
from vlm_forensics.evaluation.results import Value
from vlm_forensics.taxonomy import Label

EVERYTHING = "all"
"""Scope of the probe over all sources."""
LEAST = 10
"""Real and forged pictures that a probe needs: below, its interval says nothing."""
MOST = 20_000
"""Pictures drawn for a probe of a larger set, which would learn nothing more."""


def probe_all(
    samples: Sequence[Sample], pictures: Sequence[Picture], groups: NDArray[np.int64]
) -> tuple[list[Probe], list[NotChecked]]:
    """The probe on everything, and on every source if there are several.

    Args:
        samples: N usable samples.
        pictures: what is known of each.
        groups: `[N]`, pictures with one number are near-duplicates.

    Raises:
        PrerequisiteError: scikit-learn is missing.
    """
    sources = np.asarray([sample.source for sample in samples], object)
    forged = np.asarray([sample.label is not Label.REAL for sample in samples], bool)
    scopes = {EVERYTHING: np.ones(len(samples), bool)}
    names = sorted({sample.source for sample in samples})
    scopes |= {name: np.asarray(sources == name) for name in names} if len(names) > 1 else {}
    probes, left_out = [], []
    for scope, members in scopes.items():
        chosen = independent(np.flatnonzero(members), groups)
        positives = int(forged[chosen].sum())
        negatives = len(chosen) - positives
        if min(positives, negatives) < LEAST:
            why = f"{negatives} real and {positives} forged pictures; {LEAST} of each are needed"
            left_out.append(NotChecked(code="too_few", what=f"shortcut probe of {scope}",
                                       why=why))  # fmt: skip
            continue
        probes.append(_probe(scope, [pictures[n] for n in chosen], forged[chosen]))
    return probes, left_out


def independent(members: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """One picture of every group, drawn, so that no near-duplicate sits in two folds.

    A forgery beside its original would hide a shortcut too: one teaches the opposite of the other.
    """
    drawn = np.random.default_rng(0).permutation(members)
    _, first = np.unique(groups[drawn], return_index=True)
    return np.sort(drawn[np.sort(first)[:MOST]])


def _probe(scope: str, pictures: Sequence[Picture], forged: NDArray[np.bool_]) -> Probe:
    raw = np.asarray([picture.raw for picture in pictures])
    equalised = np.asarray([picture.equalised for picture in pictures])
    # The last fact is bytes per pixel, which depends on what the picture shows too.
    tables = {"raw": raw[:, :-1], "raw_bytes": raw,
              "equalised": equalised[:, :-1], "equalised_bytes": equalised}  # fmt: skip
    values = {name: _value(facts, forged) for name, facts in tables.items()}
    return Probe(scope=scope, real=int((~forged).sum()), forged=int(forged.sum()), **values)


def _value(facts: NDArray[np.float64], forged: NDArray[np.bool_]) -> Value:
    # Where all files say the same, no forest need be grown to see that every score is a tie.
    varied = bool((facts != facts[0]).any())
    scores = shortcut_scores(facts, forged) if varied else np.zeros(len(forged))
    return Value.of(bootstrap(auc, (forged, scores)))
