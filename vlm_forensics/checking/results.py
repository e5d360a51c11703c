"""What a check of a dataset found, as one pydantic model."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from vlm_forensics.evaluation.results import Value

Counts = dict[str, dict[str, int]]
"""Pictures by group and label."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Part):
    """One kind of thing that was noticed."""

    code: str
    """Stable, snake_case."""
    fails: bool
    """It makes the check fail; otherwise it is worth knowing."""
    count: int
    what: str
    """One sentence."""
    examples: tuple[str, ...] = ()


class Probe(_Part):
    """AUC, real against forged, of a forest that sees nothing but file facts."""

    scope: str
    """`all`, or the name of a source."""
    real: int
    forged: int
    raw: Value
    """Format, size and mean quantiser of the dataset's files."""
    raw_bytes: Value
    """These and bytes per pixel."""
    equalised: Value
    """Format, size and mean quantiser after `equalise`."""
    equalised_bytes: Value
    """These and bytes per pixel, which then depend on the picture alone."""


class NotChecked(_Part):
    """Something that could not be checked, which is not the same as passing."""

    code: Literal["missing_package", "too_few"]
    what: str
    why: str


class Check(_Part):
    """The result of `vlmf data check`."""

    schema_version: Literal["1.0"] = "1.0"
    dataset: str
    """The adapter that read it."""
    pictures: int
    """Usable ones."""
    max_shortcut: float
    splits: Counts
    sources: Counts
    probes: tuple[Probe, ...]
    findings: tuple[Finding, ...]
    """Failing ones first."""
    not_checked: tuple[NotChecked, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """Findings that make the check fail."""
        return tuple(finding for finding in self.findings if finding.fails)
