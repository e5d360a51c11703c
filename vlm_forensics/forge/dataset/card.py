"""The dataset card that is written beside a forged dataset."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vlm_forensics.forge import get
from vlm_forensics.forge.dataset.post_processing import CHAIN_ODDS
from vlm_forensics.forge.dataset.sample import UNALTERED
from vlm_forensics.taxonomy import Label, Operation

Row = Mapping[str, Any]
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def text(rows: Sequence[Row], record: Mapping[str, Any], skipped: Mapping[str, int]) -> str:
    """Markdown with the YAML head that the 🤗 hub reads.

    Args:
        rows: lines of metadata.jsonl.
        record: settings, photographs and versions.
        skipped: photographs that were tried in vain, by reason.
    """
    size = next((name for limit, name in _SIZES if len(rows) < limit), "n>1M")
    return _TEMPLATE.format(
        size=size, n=len(rows), licence=record["licence"],
        licence_yaml=json.dumps(record["licence"]),
        operations=_operations(rows), formats=_formats(rows),
        odds=", ".join(f"{kind} {share:.0%}" for kind, share in CHAIN_ODDS.items()),
        settings="\n".join(f"- {key}: {_plain(value)}" for key, value in record.items()),
        skipped=_skipped(skipped), limits=_limits(rows, record),
    )  # fmt: skip


def _operations(rows: Sequence[Row]) -> str:
    counts = Counter((row["label"], row["operation"], row["origin"]) for row in rows)
    lines = [
        f"| {label} | {operation} | {origin} | {n} | {_makes(operation)} |"
        for (label, operation, origin), n in sorted(counts.items())
    ]
    return "\n".join(["| label | operation | origin | n | what it does |", "|---|---|---|---|---|",
                      *lines])  # fmt: skip


def _makes(operation: str) -> str:
    return "left as it was" if operation == UNALTERED else get(Operation(operation)).makes


def _formats(rows: Sequence[Row]) -> str:
    """File format by label: equal shares but for chance."""
    counts = Counter((row["label"], row["file_name"].rsplit(".", 1)[1]) for row in rows)
    kinds = sorted({kind for _, kind in counts})
    lines = []
    for label in Label:
        total = sum(counts[label, kind] for kind in kinds)
        if total:
            cells = (f"{counts[label, kind] / total:.0%}" for kind in kinds)
            lines.append(f"| {label} (n={total}) | {' | '.join(cells)} |")
    return "\n".join([f"| label | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|", *lines])


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


def _skipped(reasons: Mapping[str, int]) -> str:
    if not reasons:
        return "No photograph was skipped."
    listed = ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))
    return f"Photographs skipped where they were drawn: {listed}."


def _limits(rows: Sequence[Row], record: Mapping[str, Any]) -> str:
    made = {row["operation"] for row in rows}
    lines = [
        "- The photographs count as real because they were given as such; nothing checks it.",
        "- Forgeries are made by rules, without a person's eye for what fits.",
        "- Clues call a value unusual against the built-in reference of real photographs, which is "
        "not fitted to these.",
        "- An annotation names what was done; where post-processing washed the trace out, no "
        "measurement is quoted for it.",
    ]
    if not record["reference_photographs"]:
        lines.append("- No reference of real photographs was installed: no clue is called unusual.")
    if not record["all_clues"]:
        lines.append("- Copy-move matches were not measured for any class (`--all-clues` does).")
    if {"laundering", "whole_autoencoder"} <= made:
        lines.append("- laundering (real) and whole_autoencoder (synthetic) are the same pixels "
                     "under two labels: choose one by `operation` or `origin`.")  # fmt: skip
    return "\n".join(lines)


_TEMPLATE = """---
license: other
license_name: that of the photographs
license_details: {licence_yaml}
pretty_name: Forged photographs
task_categories: [image-classification, image-segmentation]
size_categories: [{size}]
tags: [image-forensics, synthetic-data]
configs:
- config_name: default
  drop_labels: true
  data_dir: .
---
# Forged photographs

{n} samples made by `vlmf data forge`. Licence of the photographs: {licence}.

```python
from datasets import load_dataset

data = load_dataset("imagefolder", data_dir="this folder", split="train")
```

## What is in it
{operations}

One line of `train/metadata.jsonl` a sample: image and mask file, `label`, `operation`, `origin`,
`boxes` and `annotation` (a grid of 100 by 100, both ends included), `clues` measured on the
finished file (`local`: log2 of inside over outside of the mask), `params` and `post_processing`
(JSON), the photograph and donor, size, seed and sha256. Masks are PNG, 255 where pixels were
altered, on the image's grid.

## Post-processing
The chain is drawn without regard to the label: {odds}. Files carry no metadata.

{formats}

## Settings
{settings}

{skipped}

## Limits
{limits}
"""
