"""Members of tar and zip files as blobs, and webdataset shards as rows; nothing is unpacked."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from vlm_forensics.datasets.base import Blob, Row, SkipCode, Skipped

_ERRORS = (OSError, EOFError, ValueError, tarfile.TarError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file inside an uncompressed tar file, read by its place."""

    archive: Path
    member: str
    offset: int
    size: int

    @property
    def name(self) -> str:
        """File name without folders."""
        return PurePosixPath(self.member).name

    def read_bytes(self) -> bytes:
        """The stored bytes.

        Raises:
            OSError: the archive is cut off.
        """
        with self.archive.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) != self.size:
            raise OSError(f"{self.archive.name} is cut off")
        return data


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file inside a zip file."""

    archive: Path
    member: str

    @property
    def name(self) -> str:
        """File name without folders."""
        return PurePosixPath(self.member).name

    def read_bytes(self) -> bytes:
        """The stored bytes.

        Raises:
            OSError: the archive or the member is damaged.
        """
        try:
            return _zip(self.archive).read(self.member)
        except (KeyError, *_ERRORS) as error:
            raise OSError(f"{self.member} cannot be read ({type(error).__name__})") from error


@lru_cache(maxsize=4)
def _zip(archive: Path) -> zipfile.ZipFile:
    """Kept open: the table of contents of a large zip is read once."""
    return zipfile.ZipFile(archive)


def members(root: Path, archive: Path) -> Iterator[Blob | Skipped]:
    """The files in an uncompressed tar or a zip, in stored order; hidden ones are left out."""
    found = _zip_members(archive) if archive.suffix == ".zip" else _tar_members(archive)
    try:
        yield from found
    except _ERRORS as error:
        where = archive.relative_to(root).as_posix()
        yield Skipped(where, SkipCode.BROKEN_FILE, f"{type(error).__name__}: {error}")


def _tar_members(archive: Path) -> Iterator[TarMember]:
    # Mode "r:" refuses compressed tars, whose members have no place to seek to.
    with tarfile.open(archive, "r:") as tar:
        for item in tar:
            if item.isfile() and not PurePosixPath(item.name).name.startswith("."):
                yield TarMember(archive, item.name, item.offset_data, item.size)


def _zip_members(archive: Path) -> Iterator[ZipMember]:
    for item in _zip(archive).infolist():
        hidden = PurePosixPath(item.filename).name.startswith(".") or "__MACOSX" in item.filename
        if not item.is_dir() and not hidden:
            yield ZipMember(archive, item.filename)


def webdataset_rows(root: Path, shard: Path) -> Iterator[Row | Skipped]:
    """Samples of one webdataset shard: neighbouring members that share the name up to its dot.

    A row holds `__key__`, a `Blob` for each extension (`jpg`, `mask.png`), and the value of a
    `json` member in place of its blob.
    """
    group: dict[str, Any] = {}
    for item in members(root, shard):
        if isinstance(item, Skipped):
            yield item
            continue
        assert isinstance(item, TarMember)
        folder, _, file = item.member.rpartition("/")
        stem, _, extension = file.partition(".")
        key = f"{folder}/{stem}" if folder else stem
        if group and group["__key__"] != key:
            yield _webdataset_row(root, shard, group)
            group = {}
        group["__key__"] = key
        group[extension.lower()] = item
    if group:
        yield _webdataset_row(root, shard, group)


def _webdataset_row(root: Path, shard: Path, group: dict[str, Any]) -> Row | Skipped:
    where = f"{shard.relative_to(root).as_posix()}[{group['__key__']}]"
    if isinstance(group.get("json"), TarMember):
        try:
            group = group | {"json": json.loads(group["json"].read_bytes())}
        except (OSError, ValueError) as error:
            return Skipped(where, SkipCode.BROKEN_ROW, f"its json: {type(error).__name__}")
    return Row(where, group)
