"""CASIA 1.0 and 2.0 (Dong et al. 2013): Corel photographs, spliced or copy-moved by hand.

Layout of 2.0: `Au/`, `Tp/`, `CASIA 2 Groundtruth/`; of 1.0: `Au/`, `Modified Tp/Tp/{CM,Sp}/` or
`Tp/{CM,Sp}/` or `Sp/`, `CASIA 1.0 groundtruth/{CM,Sp}/`. The masks were made later by N. T. Pham;
without their folder the tampered pictures have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import by_stem, image_files, subfolders
from vlm_forensics.taxonomy import Label

_TAMPERED = ("Modified Tp", "Tp", "Sp", "Original Tp")
"""The first that exists is read: they hold the same pictures, the first under corrected names."""
_FIRST_EDITION = re.compile(r"Sp_|Au_[a-z]{3}_\d{4}$")
_SUBJECT = re.compile(r"[a-z]{3}(?=_?\d{4})")


class Casia(DatasetAdapter):
    """Authentic and tampered folders, and a folder of masks where there is one."""

    name = "casia"
    title = "CASIA 1.0 and 2.0"

    def probe(self, root: Path) -> bool:
        """`Au/` holds a file `Au_…`, and there is a folder of tampered pictures."""
        authentic = next((root / "Au").glob("Au_*"), None)
        return authentic is not None and _tampered_folder(root) is not None

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Authentic pictures, then tampered ones."""
        for path in image_files(root / "Au"):
            yield _sample(root, path, Label.REAL, "", ())
        folder, truth = _tampered_folder(root), _truth_folder(root)
        images = list(image_files(folder)) if folder else []
        masks = _masks(images, by_stem(truth, "_gt")) if truth else {}
        for path in images:
            mask = masks.get(path) or (truth and truth / f"{path.stem}_gt.png")
            # The masks' names are the corrected ones.
            operation = "copy-move" if (mask or path).stem[2:5] == "_S_" else "splicing"
            yield _sample(root, path, Label.TAMPERED, operation, (mask,) if mask else ())


def _masks(images: list[Path], known: dict[str, Path]) -> dict[Path, Path]:
    """The mask of each image: of its name, else the spare one that differs in subjects only.

    The first release misnamed subjects and operation of about a hundred images; the technique and
    the running number stayed.
    """
    own = {path: known[path.stem] for path in images if path.stem in known}
    spare: dict[str, list[Path]] = {}
    for stem in known.keys() - {path.stem for path in own}:
        spare.setdefault(_number(stem), []).append(known[stem])
    renamed = {path: spare.get(_number(path.stem), []) for path in images if path not in own}
    return own | {path: found[0] for path, found in renamed.items() if len(found) == 1}


def _number(stem: str) -> str:
    """Technique and running number: `NND_A_0189` of `Sp_D_NND_A_nat0054_nat0054_0189`."""
    return re.sub(r"^[A-Z][a-z]_[DS]_|[a-z]{3}\d+[_.]", "", stem)


def _tampered_folder(root: Path) -> Path | None:
    return next((root / name for name in _TAMPERED if (root / name).is_dir()), None)


def _truth_folder(root: Path) -> Path | None:
    """`CASIA 2 Groundtruth`, `CASIA 1.0 groundtruth`, or the `Gt` of IMDL-BenCo."""
    folders = subfolders(root)
    return next((f for f in folders if "groundtruth" in f.name.lower() or f.name == "Gt"), None)


def _sample(
    root: Path, path: Path, label: Label, operation: str, masks: tuple[Path, ...]
) -> Sample:
    subjects = _SUBJECT.findall(path.stem)
    return Sample(
        path=path,
        label=label,
        split="",
        source="casia1" if _FIRST_EDITION.match(path.stem) else "casia2",
        generator=operation,
        masks=masks,
        id=path.relative_to(root).as_posix(),
        category=subjects[-1] if subjects else "",
    )
