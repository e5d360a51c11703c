"""Low-level forensic features, one file each, found by folder scan.

    measure_all(image, ["npr", "ela"])["npr"].values

A new feature is one new module here that holds a subclass of `Feature` with the module's name.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import repeat

from vlm_forensics.features.base import Feature, Measurement, Pixels
from vlm_forensics.registry import Registry

__all__ = ["all_features", "as_markdown", "get", "measure_all", "names"]

_log = logging.getLogger(__name__)
_AT_ONCE = min(2, os.cpu_count() or 1)
"""Copy-move takes as long as the rest together; more threads would only cost memory."""
_FEATURES = Registry[Feature](
    __name__, Feature, "feature", besides={"base", "clues", "contrast", "reference"}
)


def names() -> tuple[str, ...]:
    """Names of all features, in alphabetical order; imports none of them."""
    return _FEATURES.names


@cache
def get(name: str) -> Feature:
    """The feature of this name.

    Raises:
        KeyError: there is none.
    """
    if name not in names():
        raise KeyError(f"no feature is called {name!r}; there are {', '.join(names())}")
    return _FEATURES.get(name)


def all_features() -> tuple[Feature, ...]:
    """All features, in the order of `names()`."""
    return tuple(get(name) for name in names())


def measure_all(image: Pixels, names: Sequence[str] | None = None) -> dict[str, Measurement]:
    """Measurements by feature name; a feature that fails is reported and does not stop the rest.

    Args:
        image: At least 32 pixels on each side.
        names: Which features, in this order; None for all.

    Returns:
        One measurement for each name. That of a failed feature has no `values` and no map, and
        its caveat says what happened.

    Raises:
        KeyError: a name is unknown.
    """
    chosen = all_features() if names is None else tuple(get(name) for name in names)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="vlmf-feature") as pool:
        found = list(pool.map(_measured, chosen, repeat(image)))
    return {feature.name: measurement for feature, measurement in zip(chosen, found, strict=True)}


def as_markdown() -> str:
    """The reference page of all features, the content of `docs/features.md`."""
    parts = [
        "# Low-level features",
        "Generated from the features' own fields by `vlm_forensics.features.as_markdown`. None of "
        "these measurements alone shows that an image is forged.",
    ]
    for feature in all_features():
        parts += [
            f"## {feature.title}",
            f"`{feature.name}`, family {feature.family}",
            feature.detects,
            f"- **Look for:** {feature.look_for}\n- **Ignore:** {feature.ignore}\n"
            f"- **Caution:** {feature.caution}",
        ]
    return "\n\n".join(parts) + "\n"


def _measured(feature: Feature, image: Pixels) -> Measurement:
    # Whatever goes wrong in one feature, the other nine and the report must survive it.
    try:
        return feature.measure(image)
    except Exception as error:
        _log.warning("feature %s failed: %s", feature.name, error, exc_info=True)
        reason = f"not measured: {type(error).__name__}"
        return Measurement(feature.name, {}, f"{feature.title} could not be measured.",
                           caveats=(reason,))  # fmt: skip
