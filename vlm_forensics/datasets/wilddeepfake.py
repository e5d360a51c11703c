"""WildDeepfake (Zi et al. 2020, arXiv 2101.01456): face sequences of deepfake videos of the web.

Layout: `{real,fake}_{train,test}/<n>/…/<sequence>/<frame>.png`, in `deepfake_in_the_wild/` or not,
every `<n>.tar.gz` unpacked where it lies, into a folder of its number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, SkipCode, Skipped
from vlm_forensics.datasets.folders import image_files
from vlm_forensics.taxonomy import Label

_LABELS = {"real": Label.REAL, "fake": Label.TAMPERED}
_PARTS = ("real_train", "fake_train", "real_test", "fake_test")


class WildDeepfake(DatasetAdapter):
    """The frames of the unpacked archives."""

    name = "wilddeepfake"
    title = "WildDeepfake"

    def probe(self, root: Path) -> bool:
        """Folders called by class and split."""
        return sum((_home(root) / part).is_dir() for part in _PARTS) > 1

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """The frames by part and sequence, and archives that are still packed."""
        for part in _PARTS:
            folder = _home(root) / part
            for packed in sorted(folder.glob("*.tar.gz")):
                if not (folder / packed.name.split(".")[0]).is_dir():
                    where = packed.relative_to(root).as_posix()
                    yield Skipped(where, SkipCode.BROKEN_FILE, "it is not unpacked")
            kind, split = part.split("_")
            for path in image_files(folder):
                yield Sample(
                    path=path,
                    label=_LABELS[kind],
                    split=split,
                    source="wilddeepfake",
                    id=path.relative_to(root).as_posix(),
                    category="face",
                )


def _home(root: Path) -> Path:
    inner = root / "deepfake_in_the_wild"
    return inner if inner.is_dir() else root
