"""What every dataset adapter shares: samples, what was skipped, and the contract of an adapter.

A published dataset is read in its own layout by one file of this folder. `scan` yields each thing
it meets as a `Sample` or as a `Skipped` with a stable code, so that nothing is lost silently.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from vlm_forensics.errors import InputError
from vlm_forensics.taxonomy import Label


@runtime_checkable
class Blob(Protocol):
    """Bytes with a name: a `Path`, a cell of a parquet file, a member of a tar or zip."""

    @property
    def name(self) -> str:
        """File name with its suffix, without folders."""

    def read_bytes(self) -> bytes:
        """The stored bytes.

        Raises:
            OSError: they cannot be read.
        """


@dataclass(frozen=True, slots=True)
class AnnotatedBox:
    """A place that the dataset's annotators marked, and what they say about it."""

    x: float
    """Left edge, pixels of the stored grid, as all four."""
    y: float
    width: float
    height: float
    text: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a dataset; no pixel is read before it is asked for."""

    path: Blob
    """Where the image is: a file, a cell of a table, a member of an archive."""
    label: Label
    split: str
    """`train`, `val` or `test`; empty where the authors published no split."""
    source: str
    """The unit that is held out: images of one source never sit on both sides."""
    generator: str = ""
    """The generator or operation, as its authors name it."""
    masks: tuple[Blob, ...] = ()
    """Those whose union is the altered area."""
    original: Blob | None = None
    """The untampered picture that a tampered one was made from."""
    id: str = ""
    """Unique in its dataset, stable between runs; slashes allowed."""
    category: str = ""
    """What the picture shows, as the dataset sorts it."""
    explanation: str = ""
    """Published text that says why the picture is what it is."""
    artifacts: tuple[str, ...] = ()
    """Published names of artifacts."""
    boxes: tuple[AnnotatedBox, ...] = ()

    @property
    def has_mask(self) -> bool:
        """The altered area is known."""
        return bool(self.masks) or self.original is not None


class SkipCode(StrEnum):
    """Why something of a dataset is not a sample."""

    MISSING_IMAGE = "missing_image"
    BROKEN_IMAGE = "broken_image"
    MISSING_MASK = "missing_mask"
    BROKEN_MASK = "broken_mask"
    MASK_SIZE = "mask_size"
    """The mask's proportions are not those of its image."""
    MISSING_ORIGINAL = "missing_original"
    BROKEN_ORIGINAL = "broken_original"
    BROKEN_FILE = "broken_file"
    """A whole table or archive cannot be read."""
    BROKEN_ROW = "broken_row"
    UNKNOWN_LABEL = "unknown_label"
    DUPLICATE_ID = "duplicate_id"
    NOT_AN_IMAGE = "not_an_image"
    """An entry for another medium: a video, a text."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """One thing of a dataset that did not become a sample."""

    where: str
    """File, row or id inside the dataset; never a path of the machine."""
    code: SkipCode
    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table, with its place."""

    where: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Listing:
    """All that was found in one dataset folder."""

    name: str
    """Of the adapter that read it."""
    samples: tuple[Sample, ...]
    skipped: tuple[Skipped, ...] = field(default=())

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of samples by split and label; the split `-` means published without one."""
        found: dict[str, Counter[str]] = {}
        for sample in self.samples:
            found.setdefault(sample.split or "-", Counter())[sample.label.value] += 1
        return {split: dict(sorted(labels.items())) for split, labels in sorted(found.items())}

    def skipped_counts(self) -> dict[str, int]:
        """Number of skipped things by code."""
        return dict(sorted(Counter(item.code.value for item in self.skipped).items()))


class UnknownLabelError(ValueError):
    """A published label has no meaning here; reported as `unknown_label`."""


class DatasetAdapter(ABC):
    """Reads one published layout. A subclass lives in a module of its own name."""

    name: ClassVar[str]
    """Name of the module and of the card `data_cards/<name>.md`."""
    title: ClassVar[str]
    """The dataset's own name."""
    generic: ClassVar[bool] = False
    """For folders of no published dataset; asked only when no other adapter knows the folder."""

    @abstractmethod
    def probe(self, root: Path) -> bool:
        """Whether the folder has this layout: a few looks at names, no walk, no decoding."""

    @abstractmethod
    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Everything in the folder, in a stable order.

        `read` then checks that files exist and that ids are unique: do not do it here.
        """

    def read(self, root: Path) -> Listing:
        """The samples of a dataset folder, and what was skipped.

        Raises:
            InputError: not a folder (`not_found`), or nothing in it can be used
                (`empty_dataset`).
            PrerequisiteError: a package that this layout needs is missing.
        """
        if not root.is_dir():
            raise InputError("not_found", f"{root.name or root} is no folder",
                             hint="give the folder that holds the unpacked dataset")  # fmt: skip
        samples: list[Sample] = []
        skipped: list[Skipped] = []
        seen: set[str] = set()
        for item in self.scan(root):
            fault = item if isinstance(item, Skipped) else _structural_fault(item, seen)
            if fault is not None:
                skipped.append(fault)
            elif isinstance(item, Sample):
                seen.add(item.id)
                samples.append(item)
        if not samples:
            first = f"; first: {skipped[0].where}: {skipped[0].why}" if skipped else ""
            raise InputError(
                "empty_dataset",
                f"{root.name} holds no sample of {self.title}, {len(skipped)} skipped{first}",
                hint=f"vlmf data info {self.name} shows the layout",
            )
        return Listing(self.name, tuple(samples), tuple(skipped))


def _structural_fault(sample: Sample, seen: set[str]) -> Skipped | None:
    """What is wrong with a sample without reading a byte of it."""
    if sample.id in seen:
        return Skipped(sample.id, SkipCode.DUPLICATE_ID, "this id came before; the first is kept")
    parts: list[tuple[SkipCode, Blob]] = [(SkipCode.MISSING_IMAGE, sample.path)]
    parts += [(SkipCode.MISSING_MASK, mask) for mask in sample.masks]
    parts += [(SkipCode.MISSING_ORIGINAL, sample.original)] if sample.original else []
    for code, blob in parts:
        file = getattr(blob, "inner", blob)  # a `RecodedMask` wraps its file
        if isinstance(file, Path) and not file.is_file():
            return Skipped(sample.id, code, f"there is no file {blob.name}")
    return None


def samples_of(
    rows: Iterable[Row | Skipped], make: Callable[[Row], Sample | Skipped]
) -> Iterator[Sample | Skipped]:
    """Each row through `make`; a row it cannot read becomes a `Skipped` with its place.

    Args:
        rows: What a reader of `tables` or `archives` yields.
        make: Turns a row into a sample; may raise LookupError, TypeError, ValueError,
            AttributeError on a row of another shape.
    """
    for row in rows:
        if isinstance(row, Skipped):
            yield row
            continue
        try:
            yield make(row)
        except UnknownLabelError as error:
            yield Skipped(row.where, SkipCode.UNKNOWN_LABEL, str(error))
        except KeyError as error:
            yield Skipped(row.where, SkipCode.BROKEN_ROW, f"there is no field {error}")
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            yield Skipped(row.where, SkipCode.BROKEN_ROW, f"{type(error).__name__}: {error}")


def label_of(value: object, meanings: Mapping[Any, Label]) -> Label:
    """The label that a published value stands for; text is compared in lower case.

    Raises:
        UnknownLabelError: the value is none of `meanings`.
    """
    key = value.strip().lower() if isinstance(value, str) else value
    # True == 1 in Python, and a JSON `true` is no published class number.
    if isinstance(key, bool) or key not in meanings:
        raise UnknownLabelError(f"the label {value!r} is none of {', '.join(map(str, meanings))}")
    return meanings[key]


SPLITS = {
    "train": "train", "training": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Published names of splits and ours."""


def split_of(*names: str) -> str:
    """The first name that is a split (`validation` is `val`), or an empty text."""
    found = (SPLITS[name.lower()] for name in names if name.lower() in SPLITS)
    return next(found, "")


def within(root: Path, relative: str) -> Path:
    """`root/relative`, for names that a dataset's own tables give.

    Raises:
        ValueError: the name is empty or leads out of the dataset folder.
    """
    clean = os.path.normpath(relative.replace("\\", "/"))
    if not relative or clean == "." or clean.split("/")[0] == ".." or os.path.isabs(clean):
        raise ValueError(f"the name {relative!r} is no file inside the dataset folder")
    return root / clean
