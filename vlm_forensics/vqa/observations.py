"""What is observed on an image without a tuned model, as numbered evidence.

`without_model` is the one place where evidence that needs no vision-language model comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from vlm_forensics import weights
from vlm_forensics.features.base import Measurement
from vlm_forensics.features.clues import SUPPORT, clues
from vlm_forensics.features.reference import Reference
from vlm_forensics.image import EvidenceImage
from vlm_forensics.report import Claim, Evidence, ProbeRecord
from vlm_forensics.vqa import probes
from vlm_forensics.vqa.probes import Probe

if TYPE_CHECKING:
    from vlm_forensics.training_free import Assessment

_STATES = {
    "present": "present",
    "absent": "not seen",
    "cannot_tell": "the model cannot tell",
    "disputed": "the answer changes with the wording or the suggestion",
    "unparsed": "no readable answer",
}


def without_model(
    image: EvidenceImage, measurements: Mapping[str, Measurement], assessed: Assessment | None
) -> tuple[Evidence, ...]:
    """Whole-image observations, not yet numbered.

    Args:
        image: the file.
        measurements: of `measure_all`.
        assessed: its training-free scores among the user's photographs, if there are any.
    """
    scores = [] if assessed is None else assessed.evidence()
    nothing_marked = np.zeros(image.rgb.shape[:2], bool)
    found = clues(measurements, nothing_marked, _reference())
    features = (
        Evidence(id="", source=f"feature:{clue.feature}", text=measurements[clue.feature].text,
                 value=clue.value, unusual=clue.unusual)
        for clue in found
    )  # fmt: skip
    return (*features, *scores)


@cache
def _reference() -> Reference:
    """Quantiles on real photographs that come with the built-in model; none without it."""
    folder = weights.mini_folder()
    return Reference.load(folder / "reference.json") if folder else Reference({}, 0)


def of_probes(records: Sequence[ProbeRecord]) -> tuple[Evidence, ...]:
    """One observation for each probe, not yet numbered."""
    return tuple(
        Evidence(id="", source=f"vlm:{record.id}", text=_sentence(record), value=record.confidence,
                 unit="" if record.confidence is None else "stated confidence")
        for record in records
    )  # fmt: skip


def numbered(rows: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """The rows with their ids."""
    return tuple(row.model_copy(update={"id": f"e{n}"}) for n, row in enumerate(rows, 1))


def _sentence(record: ProbeRecord) -> str:
    looked_for = f"Looked for {_probe(record.id).finding}: {_STATES[record.state]}"
    first = record.answers[0]
    if record.state != "present" or not first.quote:
        return f"{looked_for}."
    where = f" at “{first.where}”" if first.where else ""
    return f"{looked_for}; the model says{where}: “{first.quote}”"


def _probe(name: str) -> Probe:
    group, own = name.split(".")
    return next(probe for probe in probes.load(group).probes if probe.id == own)


def claims(
    carried_by: Sequence[str], records: Sequence[ProbeRecord], observed: Sequence[Evidence]
) -> tuple[Claim, ...]:
    """A claim for each present probe that carried the verdict, in our words, not the model's."""
    made = []
    for record in records:
        if record.id in carried_by and record.state == "present":
            said = next(e.id for e in observed if e.source == f"vlm:{record.id}")
            measured = _measured(record, observed)
            text = f"The vision-language model sees {_probe(record.id).finding}."
            made.append(Claim(artifact=record.artifact, text=text, evidence=(said, *measured),
                              corroborated=bool(measured)))  # fmt: skip
    return tuple(made)


def _measured(record: ProbeRecord, observed: Sequence[Evidence]) -> tuple[str, ...]:
    """Ids of unusual measurements that can speak for the same artifact."""
    sources = {f"feature:{name}" for name in SUPPORT[record.artifact]}
    return tuple(e.id for e in observed if e.source in sources and e.unusual)
