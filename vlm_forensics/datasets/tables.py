"""Tables of published datasets as rows with their place: JSON, JSON Lines, CSV, parquet.

A row that cannot be read is a `Skipped`; so is a whole file that cannot.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vlm_forensics.datasets.base import Row, SkipCode, Skipped
from vlm_forensics.errors import PrerequisiteError

_BATCH = 256
"""Rows of a parquet file that are in memory at once while listing; no pictures among them."""


def read_text(path: Path) -> str:
    """Text of a file in UTF-8, or in UTF-16 where it starts with that byte order mark.

    Raises:
        OSError, ValueError: it cannot be read, or is neither.
    """
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig")


def json_rows(root: Path, path: Path, key: str = "", bare: str = "") -> Iterator[Row | Skipped]:
    """Objects of a JSON file that is a list of them, or of JSON Lines (suffix `.jsonl`).

    Args:
        root: Dataset folder, for the places.
        path: The file.
        key: Field of the outermost object that holds the list; empty when the file is the list.
        bare: For lists of bare texts, file names say: the field that holds each in its row.
    """
    where = path.relative_to(root).as_posix()
    try:
        text = read_text(path)
        values = _lines(text) if path.suffix == ".jsonl" else _values(json.loads(text), key)
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield Skipped(where, SkipCode.BROKEN_FILE, f"{type(error).__name__}: {error}")
        return
    for number, value in values:
        place = f"{where}[{number}]"
        if isinstance(value, dict):
            yield Row(place, value)
        elif bare and isinstance(value, str):
            yield Row(place, {bare: value})
        else:
            why = str(value) if isinstance(value, ValueError) else "not a JSON object"
            yield Skipped(place, SkipCode.BROKEN_ROW, why)


def _values(document: Any, key: str) -> list[tuple[int, Any]]:
    values = document[key] if key else document
    if not isinstance(values, list):
        raise ValueError("not a list of objects")
    return list(enumerate(values))


def _lines(text: str) -> list[tuple[int, Any]]:
    """Line numbers from 1 and values; a line that is no JSON is its error."""
    # Not splitlines(): that cuts at U+2028 too, which JSON allows inside a text.
    return [(n, _parsed(line)) for n, line in enumerate(text.split("\n"), 1) if line.strip()]


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        return error


def json_items(root: Path, path: Path) -> Iterator[Row | Skipped]:
    """Entries of a JSON file that is one object, as rows with the fields `key` and `value`."""
    where = path.relative_to(root).as_posix()
    try:
        document = json.loads(read_text(path))
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        yield Skipped(where, SkipCode.BROKEN_FILE, f"{type(error).__name__}: {error}")
        return
    for key, value in document.items():
        yield Row(f"{where}[{key}]", {"key": key, "value": value})


def csv_rows(
    root: Path, path: Path, delimiter: str = ",", header: Sequence[str] | None = None
) -> Iterator[Row | Skipped]:
    """Rows of a CSV file, numbered from 1; cells are text.

    Args:
        root: Dataset folder, for the places.
        path: The file.
        delimiter: Between cells.
        header: Names of the columns, for a file that starts without them.
    """
    where = path.relative_to(root).as_posix()
    try:
        text = io.StringIO(read_text(path), newline="")
        table = list(csv.DictReader(text, fieldnames=header, delimiter=delimiter))
    except (OSError, ValueError, csv.Error) as error:
        yield Skipped(where, SkipCode.BROKEN_FILE, f"{type(error).__name__}: {error}")
        return
    for number, cells in enumerate(table, 1):
        place = f"{where}[{number}]"
        # DictReader keeps surplus cells under None and fills missing ones with None.
        if None in cells or None in cells.values():
            yield Skipped(place, SkipCode.BROKEN_ROW, "more or fewer cells than the header")
        else:
            yield Row(place, cells)


@dataclass(frozen=True, slots=True)
class ParquetCell:
    """An image in a parquet file: a struct of `bytes` and `path`, or bare bytes."""

    file: Path
    group: int
    row: int
    """Inside the row group."""
    column: str
    name: str

    def read_bytes(self) -> bytes:
        """The stored bytes.

        Raises:
            OSError: the cell is empty or the file is damaged.
        """
        value = _column(self.file, self.group, self.column)[self.row].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes) or not data:
            raise OSError(f"the cell {self.name} holds no bytes")
        return data


def parquet_rows(
    root: Path, path: Path, columns: Sequence[str], images: Sequence[str]
) -> Iterator[Row | Skipped]:
    """Rows of a parquet file; pictures stay in the file until they are asked for.

    Args:
        root: Dataset folder, for the places.
        path: The file.
        columns: Columns to read as values; those that the file lacks are left out of the rows.
        images: Columns of pictures; each becomes a `ParquetCell` in the row.

    Raises:
        PrerequisiteError: pyarrow is not installed.
    """
    parquet, errors = _parquet()
    where = path.relative_to(root).as_posix()
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            known = set(file.schema_arrow.names)
            wanted = [name for name in columns if name in known]
            cells = [name for name in images if name in known]
            for group in range(file.num_row_groups):
                start = number
                for values in _group_values(file, group, wanted):
                    place = f"{where}[{number}]"
                    yield Row(place, values | _cells(path, group, number - start, number, cells))
                    number += 1
    except errors as error:
        yield Skipped(f"{where}[{number}:]", SkipCode.BROKEN_FILE, type(error).__name__)


def parquet_columns(path: Path) -> frozenset[str]:
    """Names of the columns of a parquet file; none where it is damaged.

    Raises:
        PrerequisiteError: pyarrow is not installed.
    """
    parquet, errors = _parquet()
    try:
        return frozenset(parquet.read_schema(path).names)
    except errors:
        return frozenset()


def _cells(path: Path, group: int, row: int, number: int, names: Sequence[str]) -> dict[str, Any]:
    """One `ParquetCell` a picture column; `number` counts rows of the whole file."""
    return {
        name: ParquetCell(path, group, row, name, f"{path.stem}-{number:06d}-{name}")
        for name in names
    }


def _group_values(file: Any, group: int, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    if not columns:
        yield from ({} for _ in range(file.metadata.row_group(group).num_rows))
        return
    for batch in file.iter_batches(_BATCH, row_groups=[group], columns=list(columns)):
        yield from batch.to_pylist()


# Samples are mostly read in their order, so the last row group serves about a hundred of them.
@lru_cache(maxsize=2)
def _column(file: Path, group: int, column: str) -> Any:
    parquet, errors = _parquet()
    try:
        with parquet.ParquetFile(file) as opened:
            return opened.read_row_group(group, columns=[column]).column(column)
    except errors as error:
        raise OSError(f"{file.name} is damaged ({type(error).__name__})") from error


def _parquet() -> tuple[Any, tuple[type[Exception], ...]]:
    """The reader, and what it raises on damaged files."""
    try:
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise PrerequisiteError("pyarrow", "train") from error
    return pyarrow.parquet, (OSError, ValueError, KeyError, pyarrow.ArrowException)
