"""The model card of a run, made of its settings and of what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vlm_forensics.evaluation.metrics import Figure, markdown
from vlm_forensics.tuning.settings import Grpo, Sft

_CARD = """\
---
library_name: vlm_forensics
base_model: {base}
tags: [image-forensics, {stage}]
---
# {base} after {title}

Tuned with `vlmf train {stage}`: {steps} steps on {train} examples, seed {seed}. It judges an image
real, synthetic or tampered, marks the altered area and writes why.

    vlmf explain photo.jpg --model THIS_FOLDER

## Validation
{val} pictures of folders that were not trained on, equalised; greedy answers, an answer that does
not parse is wrong. 95 % intervals over pictures (bootstrap). *Before* is the model this run started
from, asked for the same answers.

{figures}

Verdict and probability of a report come from the detector, not from the text{detector}.

## Settings
```yaml
{settings}```

Versions: {versions}.

## Limits
* Figures are of these validation folders; other sources are usually judged worse. Measure
  yours with `vlmf eval --model THIS_FOLDER --data DIR`.
* Claims name what the training data taught; a kind of editing that is not in them is named
  wrongly or not at all.
* Rewards are proxies: `grounding` counts artifacts and places, not whether a sentence is true.
"""


def text(settings: Sft | Grpo, record: Mapping[str, Any]) -> str:
    """The text of `README.md`; names no folder of this machine."""
    shown = settings.model_dump(mode="json")
    shown["model"] = base = Path(settings.model).name if "/" in settings.model[:2] else (
        settings.model)  # fmt: skip
    for part in ("train", "val"):
        shown["data"][part] = [Path(folder).name for folder in shown["data"][part]]
    before, after = (record["validation"][when]["figures"] for when in ("before", "after"))
    rows = [(name, _shown(before[name]), _shown(after[name])) for name in after]
    return _CARD.format(
        base=base, stage=settings.stage, title=settings.stage.upper(), steps=record["steps"],
        seed=settings.seed, train=record["examples"]["train"], val=record["examples"]["val"],
        figures=markdown(("figure", "before", "after"), rows),
        detector=", and GRPO leaves it as it was" if settings.stage == "grpo" else "",
        settings=yaml.safe_dump(shown, sort_keys=False),
        versions=", ".join(f"{name} {number}" for name, number in record["versions"].items()),
    )  # fmt: skip


def _shown(figure: list[float] | None) -> str:
    return "–" if figure is None else str(Figure(*figure))
