"""Images with labels and masks from published datasets and folders, one adapter a file.

    listing = open_dataset(Path("FakeClue"))
    listing.samples[0].label, listing.skipped_counts()

A new adapter is one new module here that holds a subclass of `DatasetAdapter` with the module's
name, its card in `data_cards/` and a made fixture in `tests/datasets/layouts/`; see
`docs/datasets.md`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Listing
from vlm_forensics.errors import InputError
from vlm_forensics.registry import Registry

__all__ = ["all_adapters", "find", "get", "names", "open_dataset"]

_ADAPTERS = Registry[DatasetAdapter](
    __name__, DatasetAdapter, "dataset", otherwise="vlmf data list shows all names",
    besides={"archives", "base", "building", "cards", "equalise", "folders", "pixels", "tables"},
)  # fmt: skip


def names() -> tuple[str, ...]:
    """Names of all adapters, in alphabetical order; imports none of them."""
    return _ADAPTERS.names


@cache
def get(name: str) -> DatasetAdapter:
    """The adapter of this name.

    Raises:
        InputError: there is none (`unknown_dataset`).
    """
    return _ADAPTERS.get(name)


def all_adapters() -> tuple[DatasetAdapter, ...]:
    """All adapters, in the order of `names()`."""
    return tuple(get(name) for name in names())


def find(root: Path) -> DatasetAdapter:
    """The adapter whose layout this folder has; published datasets before generic folders.

    Raises:
        InputError: none knows it (`unknown_layout`), or several do (`ambiguous_dataset`).
    """
    if not root.is_dir():
        raise InputError("not_found", f"{root.name or root} is no folder",
                         hint="give the folder that holds the unpacked dataset")  # fmt: skip
    for generic in (False, True):
        known = [a for a in all_adapters() if a.generic is generic and a.probe(root)]
        if len(known) > 1:
            raise InputError(
                "ambiguous_dataset",
                f"{root.name} looks like {' and like '.join(a.name for a in known)}",
                hint="say which with --dataset NAME",
            )
        if known:
            return known[0]
    raise InputError("unknown_layout", f"{root.name} has the layout of no known dataset",
                     hint="vlmf data info NAME shows the layout of a dataset")  # fmt: skip


def open_dataset(root: Path, name: str | None = None) -> Listing:
    """Everything in a dataset folder: its samples, and what was skipped and why.

    Args:
        root: The folder that holds the unpacked dataset.
        name: Which adapter reads it; None to find it by the layout.

    Raises:
        InputError: no such name, no known layout, or nothing in it can be used.
        PrerequisiteError: a package that this layout needs is missing.
    """
    adapter = get(name) if name else find(root)
    return adapter.read(root)
