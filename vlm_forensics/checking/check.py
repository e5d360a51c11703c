"""The parts of `vlmf data check` put together."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.checking import findings, shortcuts
from vlm_forensics.checking.findings import Looked
from vlm_forensics.checking.fingerprints import near_duplicates
from vlm_forensics.checking.pictures import Progress, examine_all
from vlm_forensics.checking.results import Check, NotChecked, Probe
from vlm_forensics.datasets.base import Listing, Skipped
from vlm_forensics.errors import PrerequisiteError

MAX_SHORTCUT = 0.6
"""AUC of file facts alone above which a figure on these pictures means little."""


def check(
    listing: Listing,
    cache: Path,
    *,
    max_shortcut: float = MAX_SHORTCUT,
    equalised_only: bool = False,
    progress: Progress = iter,
) -> Check:
    """Looks at every picture of a dataset and says what is wrong with the whole.

    Args:
        listing: what an adapter read.
        cache: JSON Lines of what is known of single pictures; made if missing.
        max_shortcut: greatest AUC of file facts alone, in [0.5, 1].
        equalised_only: shortcuts of the files as they are do not fail, only those that remain
            after `equalise`.
        progress: wraps the samples.

    Raises:
        OSError: the cache cannot be written.
    """
    pictures = examine_all(listing.samples, cache, progress)
    pairs = [Looked(*pair) for pair in zip(listing.samples, pictures, strict=True)]
    looked = [one for one in pairs if one.picture.fault is None]
    usable = [one.sample for one in looked], [one.picture for one in looked]
    broken = [Skipped(one.sample.id, one.picture.fault, one.picture.why)
              for one in pairs if one.picture.fault is not None]  # fmt: skip
    duplicates = near_duplicates([one.picture.hash for one in looked])
    splits, sources = findings.counts(looked)
    probes: list[Probe] = []
    try:
        probes, not_checked = shortcuts.probe_all(*usable, duplicates.groups)
    except PrerequisiteError as error:
        not_checked = [NotChecked(code="missing_package", what="shortcut probe",
                                  why=f"{error.message}: {error.hint}")]  # fmt: skip
    found = [
        *findings.of_skipped([*listing.skipped, *broken]),
        *findings.of_probes(probes, max_shortcut, equalised_only),
        *findings.of_duplicates(looked, duplicates),
        *findings.of_masks(looked),
        *findings.of_balance(splits, sources),
    ]
    return Check(
        dataset=listing.name, pictures=len(looked), max_shortcut=max_shortcut, splits=splits,
        sources=sources, probes=tuple(probes), not_checked=tuple(not_checked),
        findings=tuple(sorted(found, key=lambda finding: not finding.fails)),
    )  # fmt: skip
