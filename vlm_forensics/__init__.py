"""Explainable detection of AI-generated and tampered images.

    from vlm_forensics import Detector
    report = Detector.from_pretrained()("photo.jpg")
    print(report.sentence())

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlm_forensics.detector import Detector
    from vlm_forensics.errors import VlmfError
    from vlm_forensics.image import EvidenceImage
    from vlm_forensics.report import Report
    from vlm_forensics.taxonomy import Label, Verdict

    __version__: str

__all__ = ["Detector", "EvidenceImage", "Label", "Report", "Verdict", "VlmfError", "__version__"]

_HOMES = {
    "Detector": "vlm_forensics.detector",
    "EvidenceImage": "vlm_forensics.image",
    "Label": "vlm_forensics.taxonomy",
    "Report": "vlm_forensics.report",
    "Verdict": "vlm_forensics.taxonomy",
    "VlmfError": "vlm_forensics.errors",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _version() -> str:
    """The installed version; in a checkout that is not installed, the one of pyproject.toml."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("vlm_forensics")
    except PackageNotFoundError:
        import tomllib

        from vlm_forensics.assets import asset

        return str(tomllib.loads(asset("pyproject.toml").read_text())["project"]["version"])
