"""Where a picture stands among the user's real photographs: evidence, and never a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

import numpy as np

from vlm_forensics.features.base import Pixels
from vlm_forensics.report import Evidence, Notice
from vlm_forensics.training_free.measured import Measured, Worth
from vlm_forensics.training_free.meter import Meter
from vlm_forensics.training_free.reals import ALLOWED, BY_NAME, Reals, combined, p_value
from vlm_forensics.training_free.scores import Score


class Standing(StrEnum):
    """What the scores together say; none of these is a verdict."""

    REAL_LIKE = "real-like"
    """No score is flagged, and together they are not unusual among the photographs."""
    UNUSUAL = "unusual"
    """Together they are rarer than `ALLOWED` among the photographs, for whatever reason."""
    UNKNOWN = "unknown"
    """Some score is flagged, which happens by chance with so many; or none could be measured."""


_MESSAGES = {
    Standing.REAL_LIKE: "Training-free scores show no sign of forgery, which says little: most "
                        "forgeries show none either.",
    Standing.UNUSUAL: "Training-free scores are unusual among the given photographs; another "
                      "camera, lens or editing does the same, so this accuses nobody.",
    Standing.UNKNOWN: "Training-free scores allow no statement.",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One score of one picture among the photographs."""

    score: Score
    value: float
    percentile: float
    """Share of the photographs with a lower value, ties half; in [0, 1]."""
    p_value: float
    """Rank from the side where forgeries are expected, in (0, 1]."""
    worth: Worth | None
    """How well the score alone tells its kind of forgery from reals on other sources."""

    @property
    def flagged(self) -> bool:
        """Beyond the threshold that at most `ALLOWED` of such photographs reach."""
        return self.p_value <= ALLOWED


@dataclass(frozen=True, slots=True)
class Assessment:
    """All scores of one picture, and what they say together.

    It names no verdict: the rule holds false alarms down and does not find forgeries.
    """

    findings: tuple[Finding, ...]
    p_value: float | None
    """Of all scores together, `reals.combined`; None when none could be measured."""
    photographs: int
    """That the picture was compared with."""

    @property
    def standing(self) -> Standing:
        """The documented rule: the joint p-value accuses, single scores only keep from clearing."""
        if self.p_value is None:
            return Standing.UNKNOWN
        if self.p_value <= ALLOWED:
            return Standing.UNUSUAL
        flagged = any(finding.flagged for finding in self.findings)
        return Standing.UNKNOWN if flagged else Standing.REAL_LIKE

    @property
    def notice(self) -> Notice:
        """The standing in one sentence, for the reasons of a report."""
        code = f"training_free_{self.standing.name.lower()}"
        return Notice(code=code, message=_MESSAGES[self.standing])

    def evidence(self) -> list[Evidence]:
        """One entry per score and one for all together, ids `t1` and on; all of it weak."""
        found = [_observed(finding, self.photographs) for finding in self.findings]
        if self.p_value is not None:
            found.append(self._together(self.p_value))
        return [item.model_copy(update={"id": f"t{n}"}) for n, item in enumerate(found, 1)]

    def _together(self, p: float) -> Evidence:
        text = (
            f"All training-free scores together: {p:.1%} of pictures like the {self.photographs} "
            f"given photographs are as far out or farther ({self.standing})."
        )
        return Evidence(id="", source="training_free:combined", text=text, value=p, unit="p",
                        unusual=self.standing is Standing.UNUSUAL)  # fmt: skip


def _observed(finding: Finding, photographs: int) -> Evidence:
    score, worth = finding.score, finding.worth
    text = (
        f"{score.title} {finding.value:.4g}: above {finding.percentile:.0%} of {photographs} real "
        f"photographs, where forgeries are expected {score.expected}; "
    )
    text += (
        "its worth was not measured." if worth is None else
        f"weak, AUC {worth.value:.2f} ({worth.low:.2f}–{worth.high:.2f}) against {score.finds} "
        "pictures of unseen sources."
    )  # fmt: skip
    return Evidence(id="", source=f"training_free:{score.name}", text=text, value=finding.value,
                    unusual=finding.flagged)  # fmt: skip


class TrainingFree:
    """Compares pictures with the photographs of one calibration.

    Args:
        reals: made by `vlmf calibrate`.
        meter: measures with the settings that `reals` was made with.

    Raises:
        InputError: calibration_mismatch.
    """

    def __init__(self, reals: Reals, meter: Meter) -> None:
        reals.check(meter.settings())
        self.reals, self._meter = reals, meter
        self._turned = {name: BY_NAME[name].oriented(np.asarray(one.values, np.float64))
                        for name, one in reals.scores.items()}  # fmt: skip
        self._worth = Measured.load()

    @classmethod
    def load(cls, file: str | Path, *, offline: bool = False) -> Self:
        """From the file that `vlmf calibrate` wrote; needs no network for scores without encoder.

        Raises:
            InputError: not_found, unreadable, bad_calibration, calibration_mismatch.
            WeightsError: weights are damaged.
        """
        reals = Reals.load(Path(file))
        return cls(reals, Meter.load(offline=offline))

    def assess(self, image: Pixels) -> Assessment:
        """Where this picture, an `EvidenceImage` for example, stands among the photographs."""
        return self.compare(self._meter.measure(image.rgb))

    def evidence(self, image: Pixels) -> list[Evidence]:
        """The assessment as evidence of a report."""
        return self.assess(image).evidence()

    def compare(self, values: Mapping[str, float]) -> Assessment:
        """The assessment of these scores; those that are not in the calibration are left out."""
        names = [name for name in self._turned if name in values]
        count = len(self.reals.sha256)
        if not names:
            return Assessment((), None, count)
        findings = tuple(self._finding(name, values[name]) for name in names)
        turned = np.stack([self._turned[name] for name in names], 1)
        own = np.asarray([BY_NAME[n].oriented(np.asarray(values[n], np.float64)) for n in names])
        return Assessment(findings, combined(turned, own), count)

    def _finding(self, name: str, value: float) -> Finding:
        score, reals = BY_NAME[name], np.asarray(self.reals.scores[name].values)
        percentile = float((reals < value).mean() + (reals == value).mean() / 2)
        own = float(score.oriented(np.asarray(value)))
        return Finding(score, value, percentile, p_value(self._turned[name], own),
                       self._worth.of(score))  # fmt: skip
