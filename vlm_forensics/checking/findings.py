"""What is wrong with a dataset, and what is only worth knowing, out of what was measured."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from vlm_forensics.checking.fingerprints import Duplicates
from vlm_forensics.checking.pictures import Picture
from vlm_forensics.checking.results import Counts, Finding, Probe
from vlm_forensics.checking.shortcuts import EVERYTHING
from vlm_forensics.datasets.base import Sample, SkipCode, Skipped
from vlm_forensics.evaluation.results import Value
from vlm_forensics.taxonomy import Label

SHOWN = 5
"""Examples of a finding."""


class Looked(NamedTuple):
    """A usable sample and what was seen in it."""

    sample: Sample
    picture: Picture

    @property
    def split(self) -> str:
        """Its split; `-` where the authors published none."""
        return self.sample.split or "-"


def finding(code: str, fails: bool, what: str, examples: Sequence[str]) -> Iterator[Finding]:
    """A finding that counts its examples and shows the first; none without any."""
    if examples:
        yield Finding(code=code, fails=fails, count=len(examples), what=what,
                      examples=tuple(examples[:SHOWN]))  # fmt: skip


def of_skipped(skipped: Sequence[Skipped]) -> Iterator[Finding]:
    """One finding per reason; everything that is skipped fails, so that nothing is lost."""
    for code in SkipCode:
        places = [f"{item.where}: {item.why}" for item in skipped if item.code is code]
        yield from finding(code.value, True, "skipped", places)


def of_masks(looked: Sequence[Looked]) -> Iterator[Finding]:
    """Masks that contradict the label of their picture, and what is unusual about others."""
    tampered = [one for one in looked if one.sample.label is Label.TAMPERED]
    real = [one for one in looked if one.sample.label is Label.REAL]

    def ids(group: Sequence[Looked], holds: Callable[[Picture], bool]) -> list[str]:
        return [one.sample.id for one in group if holds(one.picture)]

    yield from finding("empty_mask", True, "tampered pictures whose mask marks nothing",
                       ids(tampered, lambda picture: picture.altered == 0))  # fmt: skip
    yield from finding("mask_on_real", True, "real pictures whose mask marks something",
                       ids(real, lambda picture: bool(picture.altered)))  # fmt: skip
    yield from finding("full_mask", False, "tampered pictures whose mask marks every pixel",
                       ids(tampered, lambda picture: picture.altered == 1))  # fmt: skip
    yield from finding("no_mask", False, "tampered pictures without a mask",
                       ids(tampered, lambda picture: picture.altered is None))  # fmt: skip
    yield from finding("scaled_mask", False,
                       "pictures whose mask has their proportions and another size",
                       ids(looked, lambda picture: picture.scaled_mask))  # fmt: skip


def of_duplicates(looked: Sequence[Looked], found: Duplicates) -> Iterator[Finding]:
    """Near-duplicates by what they cross; each finding counts groups."""
    members = defaultdict(list)
    for one, group in zip(looked, found.groups.tolist(), strict=True):
        members[group].append(one)
    links: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for (a, b), apart in zip(found.links.tolist(), found.distances.tolist(), strict=True):
        links[int(found.groups[a])].append((a, b, apart))
    kinds = {group: _crossing(members[group]) for group in links}
    for code, (fails, what) in _CROSSINGS.items():
        shown = [_example(looked, links[group], code) for group in links if code in kinds[group]]
        yield from finding(code, fails, what, shown)
    yield from _conflicts(looked)
    yield from finding(
        "flat_picture", False, "flat pictures, which were compared with no other",
        [one.sample.id for one in looked if not one.picture.hash])  # fmt: skip


_CROSSINGS = {
    "duplicate_across_classes": (
        True, "groups of near-duplicates with different labels, not explained by a mask"),
    "duplicate_across_splits": (True, "groups of near-duplicates in several splits: leakage"),
    "tampered_beside_original": (
        False, "groups of near-duplicates with several labels, explained by the masks of tampered "
               "pictures"),
    "duplicate_across_sources": (
        False, "groups of near-duplicates in several sources: holding one out leaks"),
    "duplicate": (False, "groups of near-duplicates of one label, split and source"),
}  # fmt: skip
"""By code: whether it fails, and what it says."""


def _crossing(group: Sequence[Looked]) -> set[str]:
    """Which of `_CROSSINGS` a group of near-duplicates is."""
    labels = {one.sample.label for one in group}
    # A tampered picture whose altered area is known may well stand beside its original.
    explained = [one.sample.label is Label.TAMPERED and one.sample.has_mask for one in group]
    unexplained = {
        one.sample.label for one, known in zip(group, explained, strict=True) if not known
    }
    kinds = set()
    if len(unexplained) > 1:
        kinds.add("duplicate_across_classes")
    elif len(labels) > 1:
        kinds.add("tampered_beside_original")
    if len({one.split for one in group}) > 1:
        kinds.add("duplicate_across_splits")
    if len({one.sample.source for one in group}) > 1:
        kinds.add("duplicate_across_sources")
    return kinds or {"duplicate"}


def _example(looked: Sequence[Looked], links: list[tuple[int, int, int]], code: str) -> str:
    """The nearest pair of a group that crosses what the finding is about."""

    def differ(link: tuple[int, int, int]) -> bool:
        one, other = looked[link[0]], looked[link[1]]
        if code == "duplicate_across_splits":
            return one.split != other.split
        if code == "duplicate_across_sources":
            return one.sample.source != other.sample.source
        return one.sample.label is not other.sample.label

    a, b, apart = min(links, key=lambda link: (not differ(link), link[2]))
    more = len({n for link in links for n in link[:2]}) - 2
    rest = f", and {more} more" if more else ""
    return f"{_place(looked[a])} ~ {_place(looked[b])}, {apart} of 256 bits apart{rest}"


def _place(one: Looked) -> str:
    return f"{one.sample.id} ({one.split} {one.sample.label.value})"


def _conflicts(looked: Sequence[Looked]) -> Iterator[Finding]:
    same = defaultdict(list)
    for one in looked:
        same[one.picture.digest].append(one)
    pairs = [group for group in same.values() if len({one.sample.label for one in group}) > 1]
    yield from finding("label_conflict", True, "files with the same bytes and different labels",
                       [" = ".join(map(_place, group[:3])) for group in pairs])  # fmt: skip


def counts(looked: Sequence[Looked]) -> tuple[Counts, Counts]:
    """Usable pictures by split and label, and by source and label."""
    splits: dict[str, Counter[str]] = defaultdict(Counter)
    sources: dict[str, Counter[str]] = defaultdict(Counter)
    for one in looked:
        splits[one.split][one.sample.label.value] += 1
        sources[one.sample.source][one.sample.label.value] += 1
    return _sorted(splits), _sorted(sources)


def _sorted(groups: Mapping[str, Counter[str]]) -> Counts:
    return {name: dict(sorted(found.items())) for name, found in sorted(groups.items())}


def of_balance(splits: Counts, sources: Counts) -> Iterator[Finding]:
    """Splits and sources that lack real or forged pictures while the dataset has both."""
    if not _both(sum((Counter(found) for found in splits.values()), Counter())):
        return
    yield from finding("one_sided_split", False, "splits without real or without forged pictures",
                       [name for name, found in splits.items() if not _both(found)])  # fmt: skip
    yield from finding(
        "one_sided_source", False,
        "sources without real or without forged pictures: the source tells the class",
        [name for name, found in sources.items() if not _both(found)])  # fmt: skip


def _both(found: Mapping[str, int]) -> bool:
    """Real pictures and forged ones."""
    real = found.get(Label.REAL.value, 0)
    return 0 < real < sum(found.values())


def of_probes(
    probes: Sequence[Probe], max_shortcut: float, equalised_only: bool
) -> Iterator[Finding]:
    """File facts that tell the classes apart.

    The whole set fails by its AUC. A source, of which there may be many small ones, fails when
    its whole interval is above the limit.
    """
    for name, when, fails in (("raw", "as they are", not equalised_only),
                              ("equalised", "after equalise", True)):  # fmt: skip
        above = [f"{probe.scope}: AUC {value}" for probe in probes
                 if _above(value := getattr(probe, name), probe.scope, max_shortcut)]  # fmt: skip
        what = f"file facts alone tell forged from real, {when}, above {max_shortcut:g}"
        yield from finding(f"shortcut_{name}", fails, what, above)


def _above(value: Value, scope: str, limit: float) -> bool:
    decisive = value.value if scope == EVERYTHING else value.low
    return decisive is not None and decisive > limit
