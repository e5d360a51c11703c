"""The steps of `training/vlmf_mini.py`, from dataset folders to a calibrated model folder."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vlm_forensics import assembly, weights
from vlm_forensics.backbones.mini import SPECIAL_TOKENS
from vlm_forensics.calibration import Calibration
from vlm_forensics.collate import TextInputs
from vlm_forensics.datasets.indexed import read_index
from vlm_forensics.features.reference import Reference
from vlm_forensics.fitting import corpus as corpora
from vlm_forensics.fitting import detection_stage, rationales, views
from vlm_forensics.fitting.corpus import Corpus
from vlm_forensics.fitting.language_stage import Rationale
from vlm_forensics.fitting.sampling import draw
from vlm_forensics.fitting.views import Views
from vlm_forensics.model.config import VlmForensicsConfig
from vlm_forensics.model.modeling import VlmForensicsModel
from vlm_forensics.model.vocabulary import CLASSES
from vlm_forensics.taxonomy import Label, Operation

WORKERS = 2
UNBLENDED, BLENDED, PROBED = "final/model.safetensors", "blended.safetensors", "probed.safetensors"
"""Stage A, below `detection/`: as trained, with probe and head weights, and with the probe of
more sources."""


def base() -> tuple[Path, Path]:
    """Folders of the base weights: language model, vision encoder."""
    return weights.resolve(assembly.LANGUAGE), weights.resolve(assembly.VISION)


def mini_config() -> VlmForensicsConfig:
    """Configuration of `vlmf-mini`."""
    language, vision = base()
    return assembly.mini_config(language, vision, assembly.tokenizer_with_tokens(language))


def layers() -> tuple[int, ...]:
    """Hidden states of the vision tower that the adapter reads."""
    return mini_config().shallow_layers


def vision_tower() -> torch.nn.Module:
    """The frozen vision tower with its base weights."""
    language, vision = base()
    model = assembly.fresh_model(mini_config(), language, vision)
    tower: torch.nn.Module = model.backbone.model.vision_tower
    return tower.eval()


def view_parts(data: Sequence[Path], work: Path, split: str, per_image: int) -> list[Views]:
    """Views of one split of each data folder, on disk."""
    parts = []
    for root in data:
        samples = [sample for sample in read_index(root) if sample.split == split]
        parts.append(views.build(samples, work / "views" / f"{root.name}-{split}", seed=0,
                                 per_image=per_image))  # fmt: skip
    return parts


def split_views(data: Sequence[Path], work: Path, split: str, per_image: int) -> Views:
    """Views of one split of all data folders, in memory."""
    return views.concatenate(view_parts(data, work, split, per_image))


def training_corpus(data: Sequence[Path], work: Path, config: dict[str, Any]) -> Corpus:
    """Natural and forged training pictures; the last step of a finished run is only re-read."""
    if (work / "corpus" / "labels.npz").is_file():
        return corpora.load(work / "corpus")
    found = split_views(data, work, "train", config["views"]["per_image"])
    kept = found.where(_kept(found, config["leave_out"]))
    shares = config["forge"]["operations"]
    weighted = [Operation(name) for name, n in shares.items() for _ in range(n)]
    return corpora.build(kept, work / "corpus", forged=config["forge"]["count"],
                         operations=weighted, seed=config["seed"])  # fmt: skip


def natural_corpus(data: Sequence[Path], work: Path, config: dict[str, Any]) -> Corpus:
    """Real and generated training pictures, one view of each, none forged."""
    if (work / "natural" / "labels.npz").is_file():
        return corpora.load(work / "natural")
    found = split_views(data, work, "train", config["views"]["per_image"])
    _, first = np.unique(found.image, return_index=True)
    drawn = np.isin(np.arange(len(found)), first) & ~np.isin(found.source, config["leave_out"])
    return corpora.build(found.where(drawn & (found.label != Label.TAMPERED)), work / "natural",
                         forged=0, operations=(), seed=config["seed"],
                         qualities=tuple(config["probe"]["qualities"]))  # fmt: skip


def _kept(found: Views, leave_out: Sequence[str]) -> NDArray[np.bool_]:
    """The first view of every picture, the second of half of them, all of tampered ones.

    Which half is drawn by the hash of the name, hence PYTHONHASHSEED=0 for an exact re-run.
    """
    seen: Counter[str] = Counter()
    keep = np.zeros(len(found), bool)
    for i, image in enumerate(found.image.tolist()):
        seen[image] += 1
        second = hash(image) % 2 == 0 or found.label[i] == Label.TAMPERED
        keep[i] = found.source[i] not in leave_out and (seen[image] == 1 or second)
    return keep


def cached(work: Path) -> tuple[Corpus, NDArray[np.float16]]:
    """The corpus and its hidden states."""
    corpus = corpora.load(work / "corpus")
    return corpus, np.load(work / "states.npy", mmap_mode="r")[: len(corpus)]


def all_samples(corpus: Corpus) -> NDArray[np.int64]:
    """Every sample."""
    return np.arange(len(corpus))


def detection_parts(work: Path, state: str = PROBED) -> detection_stage.DetectionParts:
    """The parts of stage A in one of its states."""
    from safetensors.torch import load_file

    parts = detection_stage.DetectionParts(mini_config())
    parts.load_state_dict(load_file(work / "detection" / state), strict=state != UNBLENDED)
    return parts.eval()


def with_detection_parts(work: Path) -> tuple[VlmForensicsModel, TextInputs]:
    """Base weights and stage A in one model, ready for stage B."""
    language, vision = base()
    model = assembly.fresh_model(mini_config(), language, vision)
    parts = detection_parts(work)
    model.adapter, model.mask_decoder = parts.adapter, parts.mask_decoder
    tokenizer = assembly.tokenizer_with_tokens(language)
    return model, TextInputs.of(tokenizer, model.config)


def new_tokens(tokenizer: Any) -> list[int]:
    """Ids of the special tokens, whose rows are trained."""
    ids: list[int] = tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS))
    return ids


def training_rationales(work: Path, config: dict[str, Any]) -> list[Rationale]:
    """Rationales of a class-balanced draw; writes `reference.json` beside them first."""
    corpus, states = cached(work)
    rng = np.random.default_rng(config["seed"])
    known = _reference(corpus, work, config["reference"]["photographs"], rng)
    index = draw(corpus, config["language"]["samples"], config["language"]["real"], rng)
    order = np.sort(index)
    predicted = detection_stage.predict(detection_parts(work), corpus.rgb[order], states[order])
    row = {int(n): k for k, n in enumerate(order)}
    seen = [rationales.Seen.of(predicted, row[int(n)]) for n in index]
    return rationales.build(
        corpus, index.tolist(), seen, known, Calibration.load(work / "calibration.json"),
        work / "rationales.jsonl", seed=config["seed"], workers=WORKERS,
    )  # fmt: skip


def finish(work: Path) -> None:
    """Puts calibration and reference beside the trained parts and seals the folder."""
    folder = work / "vlmf-mini"
    for name in ("calibration.json", "reference.json"):
        shutil.copy2(work / name, folder / name)
    assembly.seal(folder)


def _reference(corpus: Corpus, work: Path, count: int, rng: np.random.Generator) -> Reference:
    path = work / "reference.json"
    reals = np.flatnonzero(corpus.classes == CLASSES.index(Label.REAL))
    local = np.flatnonzero(corpus.mask_known & (corpus.classes == CLASSES.index(Label.TAMPERED)))
    chosen, borrowed = rng.choice(reals, count, replace=False), rng.choice(local, count)
    if not path.is_file():
        rationales.reference(corpus, borrowed.tolist(), chosen.tolist(), WORKERS).save(path)
    return Reference.load(path)
