"""Trains the built-in default, stage by stage; each stage resumes.

    PYTHONHASHSEED=0 python training/vlmf_mini.py prepare   --data DIR --work DIR
    PYTHONHASHSEED=0 python training/vlmf_mini.py detection --data DIR --work DIR
    … blend, probe, calibrate, rationales, language, and the folder WORK/vlmf-mini is the model;
    baselines makes what `vlmf eval` compares it with.

DIR holds an `index.csv` (see data_cards/). `VLMF_FORGE_WEIGHTS` names the folder with the
networks of the forge.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from vlm_forensics.assets import asset


def prepare(run: Any) -> None:
    """Cuts views, forges, runs the frozen vision tower."""
    from vlm_forensics.backbones import mini
    from vlm_forensics.fitting import recipe, vision_cache

    corpus = recipe.training_corpus(run.data, run.work, run.config)
    print(len(corpus), "pictures")
    read = vision_cache.of_tower(recipe.vision_tower(), recipe.layers(), mini.VISION_SIZE)
    vision_cache.cache(read, corpus.rgb, run.work / "states.npy")


def stream(run: Any) -> None:
    """Before stage A: the low-level stream alone, on crops."""
    from vlm_forensics.fitting import recipe
    from vlm_forensics.fitting import stream_stage as stage

    corpus = recipe.training_corpus(run.data, run.work, run.config)
    stage.train(recipe.mini_config().low_level_widths, corpus, run.work / "stream",
                seed=run.config["seed"], **run.config["stream"])  # fmt: skip


def baselines(run: Any) -> None:
    """Beside the model: NPR-CNN and DWT-HH-CNN, which `vlmf eval` compares it with."""
    from vlm_forensics.fitting import recipe
    from vlm_forensics.fitting import residual_stage as stage
    from vlm_forensics.fitting.residual_card import card

    config, settings, found = run.config, run.config["baselines"], {}
    train = recipe.view_parts(run.data, run.work, "train", config["views"]["per_image"])
    val = recipe.view_parts(run.data, run.work, "val", 1)
    out = run.work / "baselines"
    for name in stage.RESIDUALS:
        data = stage.ResidualDataset(train, config["leave_out"], config["seed"])
        network = stage.train(name, data, run.work / name, seed=config["seed"], **settings)
        stage.export(network, out / f"{name}.safetensors")
        found[name] = stage.validate(network, val, config["leave_out"])
    (out / "README.md").write_text(card(data, found, settings, stage.CROP), encoding="utf-8")


def detection(run: Any) -> None:
    """Stage A: adapter, mask decoder, heads."""
    from vlm_forensics.fitting import detection_stage as stage
    from vlm_forensics.fitting import recipe, stream_stage

    corpus, states = recipe.cached(run.work)
    index = recipe.all_samples(corpus)
    data = stage.DetectionDataset(corpus, states, index, run.config["seed"])
    config = recipe.mini_config()
    trained = stream_stage.load(config.low_level_widths, run.work / "stream")
    stage.train(config, data, run.work / "detection", seed=run.config["seed"], stream=trained,
                **run.config["detection"])  # fmt: skip


def blend(run: Any) -> None:
    """The linear probe beside the fused head, and the weight of each head."""
    from vlm_forensics.fitting.calibrate import blend as fit

    print("weights of fused head, low-level stream, probe:", fit(run.data, run.work, run.config))


def probe(run: Any) -> None:
    """The linear probe for generated pictures once more, on natural pictures of all DIRs."""
    from vlm_forensics.fitting.probe_stage import fit

    print("weights of fused head, low-level stream, probe:", fit(run.data, run.work, run.config))


def rationales(run: Any) -> None:
    """What stage B learns to say: measured clues and true answers."""
    from vlm_forensics.fitting import recipe

    print(len(recipe.training_rationales(run.work, run.config)), "rationales")


def language(run: Any) -> None:
    """Stage B: LoRA, projector, evidence tokens."""
    from vlm_forensics.fitting import language_stage as stage
    from vlm_forensics.fitting import recipe

    settings = dict(run.config["language"])
    corpus, states = recipe.cached(run.work)
    model, text = recipe.with_detection_parts(run.work)
    stage.prepare(model, rank=settings.pop("rank"), new_tokens=recipe.new_tokens(text.tokenizer))
    data = stage.RationaleDataset(corpus, states, recipe.training_rationales(run.work, run.config))
    del settings["samples"], settings["real"]
    stage.train(model, data, text, run.work / "language", seed=run.config["seed"], **settings)
    stage.export(model, run.work / "vlmf-mini")
    recipe.finish(run.work)


def calibrate(run: Any) -> None:
    """What measurements add, temperature, abstain band and mask threshold, on validation."""
    from vlm_forensics.fitting.calibrate import calibrate as fit

    print(fit(run.data, run.work, run.config).model_dump_json(indent=1))


STAGES = {
    f.__name__: f
    for f in (prepare, stream, detection, blend, probe, calibrate, rationales, language, baselines)
}


def main(argv: list[str] | None = None) -> None:
    """Runs one stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--work", type=Path, required=True)
    recipe = asset("training", "configs", "vlmf-mini.yaml")
    parser.add_argument("--config", type=Path, default=recipe)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = yaml.safe_load(options.config.read_text("utf-8"))
    STAGES[options.stage](SimpleNamespace(data=options.data, work=options.work, config=config))


if __name__ == "__main__":
    main()
