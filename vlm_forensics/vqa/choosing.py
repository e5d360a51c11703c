"""Which way an image is examined: the order in which one gives way to the next.

| asked   | what runs                                                                            |
|---------|--------------------------------------------------------------------------------------|
| `model` | the tuned model; an error where it cannot be had                                     |
| `vqa`   | questions to the vision-language model that is given; without one, measurements only |
| `auto`  | the tuned model; where the built-in one is not here and cannot be fetched, as `vqa`  |

A model that is named must be there, and one that is damaged is an error: falling back would hide
both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from vlm_forensics.errors import ModelError, VlmfError, WeightsError
from vlm_forensics.report import RunMode

if TYPE_CHECKING:
    from vlm_forensics.detector import Examination
    from vlm_forensics.image import EvidenceImage

Mode = Literal["auto", "model", "vqa"]
MODES: tuple[Mode, ...] = get_args(Mode)
_ABSENT = frozenset({"model_not_found", "weights_missing", "weights_unreachable"})


class Examiner(Protocol):
    """What examines images: `Detector` or `VqaExaminer`."""

    def examine(self, image: EvidenceImage) -> Examination:
        """Everything found on this image."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for."""

    mode: Mode
    named: bool
    """The user named the tuned model, so it must be there."""
    model: Callable[[], Examiner]
    """Loads the tuned model."""
    vqa: Callable[[], Examiner]
    """Makes the examiner by questions; without an engine it measures only."""
    engine: bool
    """A vision-language model is given."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An examiner whose reports say why it was chosen."""

    examiner: Examiner
    mode: RunMode

    def examine(self, image: EvidenceImage) -> Examination:
        """As the examiner's."""
        found = self.examiner.examine(image)
        return replace(found, report=found.report.model_copy(update={"mode": self.mode}))


def choose(wish: Wish) -> Chosen:
    """The examiner by the table above.

    Raises:
        VlmfError: what was asked for cannot be had.
    """
    if wish.mode == "vqa":
        return _without_model(wish, "asked for")
    try:
        model = wish.model()
    except (ModelError, WeightsError) as error:
        if wish.mode == "model" or wish.named or error.code not in _ABSENT:
            raise
        return _without_model(wish, f"the tuned model cannot be had ({_brief(error)})")
    why = "asked for" if wish.mode == "model" else "the tuned model is here"
    return Chosen(model, RunMode(asked=wish.mode, ran="model", why=why))


def _without_model(wish: Wish, why: str) -> Chosen:
    if wish.engine:
        return Chosen(wish.vqa(), RunMode(asked=wish.mode, ran="vqa", why=why))
    why = f"{why}, and no vision-language model is given"
    return Chosen(wish.vqa(), RunMode(asked=wish.mode, ran="measurements", why=why))


def _brief(error: VlmfError) -> str:
    return f"{error.code}: {error.message}"
