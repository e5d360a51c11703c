"""The card of the trained low-level baselines, made of what was counted and measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vlm_forensics.datasets.equalise import QUALITY, SIDE
from vlm_forensics.evaluation.metrics import markdown
from vlm_forensics.fitting.corpus import QUALITIES
from vlm_forensics.model.vocabulary import CLASSES

if TYPE_CHECKING:
    from vlm_forensics.fitting.residual_stage import ResidualDataset, Validated

_CARD = """\
# NPR-CNN and DWT-HH-CNN: low-level baselines

What `vlmf eval` sets beside the model: two small networks, each on one residual alone, that tell
synthetic pictures from real ones. They are no part of `vlmf-mini` and give no verdict. `npr_cnn`
follows Tan et al. (CVPR 2024), `dwt_hh_cnn` SAFE (Li et al., KDD 2025); their code is
`vlm_forensics/model/residual_cnn.py`. Both papers train a ResNet-50 up to its second stage on far
more pictures; these are the same idea at the size and on the pictures of this project, and their
figures say nothing about the papers' own networks.

## How they were made
```console
$ export OMP_NUM_THREADS=1
$ python training/vlmf_mini.py baselines --data data --data more --work runs/mini
```
Written by that stage, this page included. Seed {seed}; {settings}, AdamW, cosine schedule, binary
cross-entropy; the last step was taken, and nothing was chosen by validation or test figures.
Crops of {crop} px out of the views of `prepare` before their compression, turned and mirrored,
saved as JPEG of quality {low} to {high}, drawn alike for both. Classes are drawn evenly, and
within a class every source by the root of its size. Tampered pictures are left out, as are the
sources that the recipe leaves out.

{counts}

## On validation
AUC, real against synthetic, on equalised pictures ({side} px, JPEG {quality}), 95 % intervals over
pictures. The first row has all {real} real and {synthetic} synthetic pictures, the others those of
one source each that has both. Sources marked † were trained on, with other pictures.

{figures}

Test figures are in the tables of `vlmf eval`.
"""


def card(
    data: ResidualDataset, found: Mapping[str, Validated], settings: Mapping[str, Any], crop: int
) -> str:
    """The text of `README.md`.

    Args:
        data: what both were trained on.
        found: what each does on validation, by name.
        settings: steps, batch, learning_rate.
        crop: side of the training crops, pixels.
    """
    counts = [(label, n, len(set(data.source[data.classes == place].tolist())))
              for place, label in enumerate(CLASSES)
              if (n := Counter(data.classes.tolist())[place])]  # fmt: skip
    seen, first = set(data.source.tolist()), next(iter(found.values()))
    rows = [("all", *(result.all for result in found.values()))]
    rows += [(f"{source}{' †' if source in seen else ''}",
              *(result.sources[source] for result in found.values()))
             for source in first.sources]  # fmt: skip
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())
    return _CARD.format(
        seed=data.seed, crop=crop, low=QUALITIES[0], high=QUALITIES[1] - 1, side=SIDE,
        quality=QUALITY, settings=said, real=first.real, synthetic=first.synthetic,
        counts=markdown(("training views", "number", "sources"), counts),
        figures=markdown(("source", *found), rows),
    )  # fmt: skip
