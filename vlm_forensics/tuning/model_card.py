"""The model card of a run, made of its settings and of what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vlm_forensics import adapters, assembly
from vlm_forensics.evaluation.metrics import Figure, markdown
from vlm_forensics.tuning.settings import Grpo, Sft

LANGUAGE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""What the built-in model stands on, as the Hub calls it."""
_CARD = """\
---
{matter}
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
    values = shown(settings.model_dump(mode="json"))
    base = values["model"]
    before, after = (record["validation"][when]["figures"] for when in ("before", "after"))
    rows = [(name, _figure(before[name]), _figure(after[name])) for name in after]
    return _CARD.format(
        base=base, stage=settings.stage, title=settings.stage.upper(), steps=record["steps"],
        seed=settings.seed, train=record["examples"]["train"], val=record["examples"]["val"],
        figures=markdown(("figure", "before", "after"), rows),
        detector=", and GRPO leaves it as it was" if settings.stage == "grpo" else "",
        settings=yaml.safe_dump(values, sort_keys=False), matter=_matter(settings),
        versions=", ".join(f"{name} {number}" for name, number in record["versions"].items()),
    )  # fmt: skip


def shown(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the names of folders in the place of their paths."""
    data = dict(settings["data"]) | {"cache": None}
    for part in ("train", "val"):
        data[part] = [Path(folder).name for folder in data[part]]
    return dict(settings) | {"model": _name(settings["model"]), "data": data}


def _name(model: str) -> str:
    """A hub id as it is; of a folder its name, or that of its run."""
    path = Path(model)
    if not path.is_dir() and not path.is_absolute():
        return model
    return path.resolve().parent.name if path.name == "model" else path.name


def _matter(settings: Sft | Grpo) -> str:
    """The front matter that the Hub reads; a licence is the user's to name."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        base_model=_published(settings.model), language="en", library_name="vlm_forensics",
        pipeline_tag="image-text-to-text", tags=["image-forensics", settings.stage],
    )  # fmt: skip
    return data.to_yaml()


def _published(model: str) -> str | None:
    """The hub id of what a model stands on in the end; None where that is a folder."""
    while Path(model).is_dir():
        base = adapters.base_of(Path(model))
        if base is None:
            return None
        model = base
    return LANGUAGE_MODEL if model == assembly.MINI else model


def _figure(figure: list[float] | None) -> str:
    return "–" if figure is None else str(Figure(*figure))
