"""MMTD-Set of FakeShield (Xu et al. 2024, arXiv 2410.02761): known sets, described by GPT-4o.

Layout as FakeShield's README arranges it: `{photoshop,deepfake,aigc}/<set>/{image,mask}/`, without
`mask/` for authentic pictures, and `MMTD_Set/MMTD-Set-34k.json`, a list of `{image,
conversations: [{from, value}]}`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath, PurePosixPath

from vlm_forensics.datasets import tables
from vlm_forensics.datasets.base import DatasetAdapter, Row, Sample, SkipCode, Skipped
from vlm_forensics.datasets.folders import by_stem, image_files, subfolders
from vlm_forensics.taxonomy import Label

_OPERATIONS = {"photoshop": "photoshop", "deepfake": "FaceApp", "aigc": "SD_inpaint"}
"""What was done to the tampered pictures of each domain."""
_TABLE = Path("MMTD_Set", "MMTD-Set-34k.json")
_TRAIN = ("CASIAv2_Tp", "CASIAv2_Au", "FR_Tp", "FR_Au")
"""Those that the README trains on without saying so in their names; it validates on the others."""


class MmtdSet(DatasetAdapter):
    """The sets of FakeShield, and the descriptions beside them."""

    name = "mmtd_set"
    title = "MMTD-Set"

    def probe(self, root: Path) -> bool:
        """The table of descriptions lies beside a folder of sets."""
        return (root / _TABLE).is_file() and any((root / name).is_dir() for name in _OPERATIONS)

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Descriptions of pictures that are not there, then the pictures by domain and set."""
        folders = [folder for domain in _OPERATIONS for folder in subfolders(root / domain)]
        images = {folder: list(image_files(folder / "image")) for folder in folders}
        places = _places(path for paths in images.values() for path in paths)
        texts: dict[Path, str] = {}
        for row in tables.json_rows(root, root / _TABLE):
            described = row if isinstance(row, Skipped) else _described(row, places)
            if isinstance(described, Skipped):
                yield described
            else:
                texts.setdefault(*described)
        for folder, paths in images.items():
            masks = by_stem(folder / "mask")
            for path in paths:
                yield _sample(root, path, masks, texts.get(path, ""))


def _places(images: Iterable[Path]) -> dict[str, Path]:
    """Pictures by `<set>/image/<file>`, and by file name where no other set has the name.

    The table names files of the authors' machines, and its sets are not always called as in their
    README.
    """
    found = list(images)
    often = Counter(path.name for path in found)
    named = {path.name: path for path in found if often[path.name] == 1}
    return named | {_tail(path): path for path in found}


def _tail(path: PurePath) -> str:
    return "/".join(path.parts[-3:])


def _described(row: Row, places: Mapping[str, Path]) -> tuple[Path, str] | Skipped:
    """A picture and its text."""
    try:
        path = PurePosixPath(row.data["image"])
        text = next(turn["value"] for turn in row.data["conversations"] if turn["from"] == "gpt")
    except (LookupError, TypeError, StopIteration) as error:
        return Skipped(row.where, SkipCode.BROKEN_ROW, f"no description: {error!r}")
    found = places.get(_tail(path)) or places.get(path.name)
    if found is None:
        return Skipped(row.where, SkipCode.MISSING_IMAGE, f"no set has {path.name}")
    return found, str(text).strip()


def _sample(root: Path, path: Path, masks: Mapping[str, Path], text: str) -> Sample:
    folder = path.parent.parent
    tampered = (folder / "mask").is_dir()
    mask = masks.get(path.stem) or masks.get(f"{path.stem}_gt") or folder / f"mask/{path.stem}.png"
    return Sample(
        path=path,
        label=Label.TAMPERED if tampered else Label.REAL,
        split="train" if folder.name in _TRAIN or folder.name.endswith("_Train") else "val",
        source=f"mmtd_set/{folder.name.rsplit('_', 1)[0]}",
        generator=_OPERATIONS[folder.parent.name] if tampered else "",
        masks=(mask,) if tampered else (),
        id=path.relative_to(root).as_posix(),
        explanation=text,
    )
