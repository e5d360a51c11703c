"""Tables about masks: end to end, told apart from what an oracle's help would give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vlm_forensics.evaluation import baselines
from vlm_forensics.evaluation.answers import answer_of, forged_call
from vlm_forensics.evaluation.judged import Case, Placement
from vlm_forensics.evaluation.masks import Overlap, cumulative_iou
from vlm_forensics.evaluation.metrics import Figure, bootstrap, mean
from vlm_forensics.evaluation.results import Cell, Table, Value
from vlm_forensics.taxonomy import Label, Verdict

ALL = "all"


class Placed(NamedTuple):
    """A tampered picture with a mask, or a real one of a source with such pictures."""

    case: Case
    placement: Placement

    @property
    def tampered(self) -> bool:
        """Part of it is altered."""
        return self.case.sample.label is Label.TAMPERED

    @property
    def verdict(self) -> Verdict:
        """Inconclusive where the system failed."""
        return self.case.judged.verdict


Pictures = Sequence[Placed]
Row = tuple[str, Callable[[Pictures], Figure]]


def placed(cases: Iterable[Case]) -> list[Placed]:
    """The cases that have a placement and, if tampered, a mask with something in it."""
    found = [Placed(case, case.judged.placement) for case in cases if case.judged.placement]
    return [one for one in found if not one.tampered or one.placement.shown.truth]


def _tampered(pictures: Pictures) -> list[Placed]:
    return [one for one in pictures if one.tampered]


def _reals(pictures: Pictures) -> list[Placed]:
    return [one for one in pictures if not one.tampered]


def _mean_over(
    chosen: Callable[[Pictures], list[Placed]], score: Callable[[Placed], float | None]
) -> Callable[[Pictures], Figure]:
    def figure(pictures: Pictures) -> Figure:
        values = [score(one) for one in chosen(pictures)]
        return bootstrap(mean, ([value for value in values if value is not None],))

    return figure


def _sums(counts: ArrayLike) -> Figure:
    return bootstrap(cumulative_iou, (np.asarray(counts, np.int64).reshape(-1, 3),))


def _shown(one: Placed) -> Overlap:
    return one.placement.shown


def _if_called(one: Placed) -> float:
    return _shown(one).f1 if one.verdict is Verdict.TAMPERED else 0.0


def _forged(one: Placed) -> bool:
    return bool(forged_call([answer_of(one.case.judged)])[0] == 1)


END_TO_END: tuple[Row, ...] = (
    ("pixel F1, tampered", _mean_over(_tampered, lambda one: _shown(one).f1)),
    ("pixel F1, tampered, 0 unless called tampered", _mean_over(_tampered, _if_called)),
    ("gIoU, tampered and real", _mean_over(list, lambda one: _shown(one).iou)),
    ("gIoU, tampered", _mean_over(_tampered, lambda one: _shown(one).iou)),
    ("cIoU, tampered and real", lambda all_: _sums([_shown(one) for one in all_])),
    ("pixel AUC of the heat map, tampered", _mean_over(_tampered, lambda one: one.placement.auc)),
    ("share of tampered called tampered",
     _mean_over(_tampered, lambda one: one.verdict is Verdict.TAMPERED)),
    ("share of tampered inconclusive with a mask",
     _mean_over(_tampered, lambda one: one.verdict is Verdict.INCONCLUSIVE
                and _shown(one).predicted > 0)),
    ("share of reals shown a mask", _mean_over(_reals, lambda one: _shown(one).predicted > 0)),
    ("share of reals called forged", _mean_over(_reals, _forged)),
)  # fmt: skip
ORACLE: tuple[Row, ...] = (
    ("pixel F1", _mean_over(_tampered, lambda one: one.placement.regardless.f1)),
    ("gIoU", _mean_over(_tampered, lambda one: one.placement.regardless.iou)),
    ("cIoU", lambda all_: _sums([one.placement.regardless for one in _tampered(all_)])),
)
NAMED = {"pixel_f1": 0, "giou": 2, "giou_tampered": 3, "ciou": 4, "pixel_auc": 5}
"""Rows of `END_TO_END` that programs read by name."""


def figures(pictures: Pictures) -> dict[str, Figure]:
    """The figures over all sources, by the name that programs read."""
    found = {name: END_TO_END[row][1](pictures) for name, row in NAMED.items()}
    oracle = {f"oracle_{name}": ORACLE[row][1](pictures)
              for row, name in enumerate(("pixel_f1", "giou", "ciou"))}  # fmt: skip
    return found | oracle


def tables(pictures: Pictures, cuts: dict[str, int]) -> list[Table]:
    """End to end, oracle-conditioned, and single maps, one column a source.

    Args:
        pictures: of `placed`.
        cuts: of the single maps, from `baselines.best_cuts` on pictures that are not evaluated.
    """
    groups = _groups(pictures)
    return [
        _table(groups, "pixels", "Masks, end to end", END_TO_END,
               "The mask in the report at the model's threshold, pictures at their own size. "
               "Missed tampering scores 0; a mask on a real picture scores 0 in gIoU and adds to "
               "the union of cIoU. Only the AUC needs no threshold and no verdict."),
        _table(groups, "pixels_oracle", "Masks, oracle-conditioned", ORACLE,
               "NOT end to end: told that the picture is tampered, as much of the literature "
               "scores it. Missed detections and masks on real pictures cost nothing here."),
        _table(groups, "pixels_baselines", "Masks of baselines", _baseline_rows(cuts),
               "On tampered pictures only, so oracle-conditioned too. Otsu's threshold needs no "
               "other picture"
               + (f"; the other cut was chosen on validation masks: {_named(cuts)}." if cuts else
                  ". There are no validation masks apart from these pictures to choose a cut.")),
    ]  # fmt: skip


def _groups(pictures: Pictures) -> dict[str, list[Placed]]:
    found: dict[str, list[Placed]] = {}
    for one in sorted(pictures, key=lambda one: one.case.sample.source):
        found.setdefault(one.case.sample.source, []).append(one)
    return found if len(found) == 1 else found | {ALL: list(pictures)}


def _table(
    groups: dict[str, list[Placed]], name: str, title: str, rows: Sequence[Row], note: str
) -> Table:
    counts: list[tuple[Cell, ...]] = [
        ("n tampered", *(len(_tampered(own)) for own in groups.values())),
        ("n real", *(len(_reals(own)) for own in groups.values())),
    ]
    scores: list[tuple[Cell, ...]] = [
        (row, *(Value.of(figure(own)) for own in groups.values())) for row, figure in rows
    ]
    return Table(id=name, title=title, note=note, columns=("score", *groups),
                 rows=(*(counts if name == "pixels" else ()), *scores))  # fmt: skip


def _baseline_rows(cuts: dict[str, int]) -> list[Row]:
    rows: list[Row] = [("pixel F1, everything marked", _mean_over(_tampered, _everything))]
    for name in baselines.MAPS:
        rows += [
            (f"pixel AUC, {name} map", _mean_over(_tampered, _map_auc(name))),
            (f"pixel F1, {name} map, Otsu", _mean_over(_tampered, _map_otsu(name))),
        ]
        if name in cuts:
            rows.append((f"pixel F1, {name} map, validation cut",
                         _mean_over(_tampered, _map_cut(name, cuts[name]))))  # fmt: skip
    return rows


def _everything(one: Placed) -> float:
    truth, pixels = one.placement.shown.truth, one.placement.pixels
    return Overlap(truth, pixels, truth).f1


def _map_auc(name: str) -> Callable[[Placed], float | None]:
    return lambda one: one.placement.maps[name].auc if one.placement.maps else None


def _map_otsu(name: str) -> Callable[[Placed], float]:
    return lambda one: one.placement.maps[name].otsu if one.placement.maps else 0.0


def _map_cut(name: str, index: int) -> Callable[[Placed], float]:
    return lambda one: one.placement.maps[name].cuts[index] if one.placement.maps else 0.0


def _named(cuts: dict[str, int]) -> str:
    return ", ".join(f"{name} at {baselines.MAP_THRESHOLDS[n]:.3g}" for name, n in cuts.items())
