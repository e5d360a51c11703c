"""The file of annotations: one JSON line a sample, and which of them a run need not ask again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from vlm_forensics.annotating.checking import CheckedClaim
from vlm_forensics.errors import InputError
from vlm_forensics.forge.dataset import files
from vlm_forensics.taxonomy import Label

FILE = "annotations.jsonl"
ANNOTATED = "annotated"


class Annotation(BaseModel):
    """What became of one sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    sha256: str
    """Of the image's exact bytes; empty where they cannot be read."""
    label: Label
    outcome: str
    """`annotated`, or the code of what went wrong."""
    why: str = ""
    answer: str | None = None
    """In the one grammar, of the claims that are kept; only when annotated."""
    parse: Literal["ok", "repaired"] | None = None
    claims: tuple[CheckedClaim, ...] = ()
    """All claims of the teacher, those that are not kept too."""
    description: str = ""
    """The teacher's free text of pass 1."""
    model: str
    seed: int
    prompts: Mapping[str, str]
    """sha256 of every prompt file behind it."""
    input_tokens: int = 0
    output_tokens: int = 0
    uncounted: int = 0
    """Answers that came without a count of tokens."""
    cost: float | None = None
    """Of all these tokens; None without prices."""
    calls: int = 0
    """Answers asked for by the run that wrote this; further ones came from the cache."""
    attempts: int = 0
    """HTTP requests behind these answers, repeated ones included."""
    key: str
    """Digest of all that decides this annotation; it stands while this stays the same."""


class Records:
    """The rows of an output folder, newest per sample."""

    def __init__(self, out: Path) -> None:
        """Reads what earlier runs wrote; a last line that was cut off is left out.

        Raises:
            InputError: output_conflict, the file holds something else.
        """
        self._path = out / FILE
        self.rows: dict[str, Annotation] = {}
        try:
            for line in files.whole_lines(self._path):
                row = Annotation.model_validate_json(line)
                self.rows[row.id] = row
        except (ValidationError, UnicodeDecodeError):
            raise InputError("output_conflict", f"{FILE} holds a line that is no annotation",
                             hint="give a new folder with --out") from None  # fmt: skip

    @contextmanager
    def writing(self, order: Iterable[str]) -> Iterator[Records]:
        """Alone in the folder; leaves a file in this order, rows of other samples last.

        Raises:
            InputError: output_conflict, another run is writing.
            VlmfError: output_unwritable.
        """
        lock = FileLock(self._path.with_name(".lock"))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError("output_conflict", "another run writes into this folder",
                             hint="wait for it, or give another --out") from None  # fmt: skip
        except OSError as error:
            raise files.unwritable(self._path, error) from None
        try:
            self._write(self.rows)  # a line that was cut off must not meet the next one
            yield self
        finally:
            known = [name for name in order if name in self.rows]
            self._write(dict.fromkeys([*known, *self.rows]))
            lock.release()

    def add(self, row: Annotation) -> None:
        """Write a row now, so that a run that is killed loses none.

        Raises:
            VlmfError: output_unwritable.
        """
        self.rows[row.id] = row
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(row.model_dump_json() + "\n")
        except OSError as error:
            raise files.unwritable(self._path, error) from None

    def _write(self, order: Iterable[str]) -> None:
        lines = [self.rows[name].model_dump_json() + "\n" for name in order]
        files.write(self._path, "".join(lines).encode())
