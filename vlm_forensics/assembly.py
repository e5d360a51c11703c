"""The trained parts plus pinned base weights become one ordinary model folder, once.

The shipped folder holds LoRA, projector, adapter, mask decoder, heads and the rows of the new
tokens. `assemble` loads the base weights, puts the trained parts in, merges LoRA with peft and
saves the whole beside the cache, where later runs load it in half a second.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vlm_forensics import adapters, probe, weights
from vlm_forensics.adapters import TRAINED
from vlm_forensics.errors import ModelError, WeightsError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from vlm_forensics.model.config import VlmForensicsConfig
    from vlm_forensics.model.modeling import VlmForensicsModel

log = logging.getLogger(__name__)

MINI = "vlmf-mini"
SIDE_FILES = ("calibration.json", "reference.json")
SEAL = "digests.json"
"""sha256 of the other files of a folder, model cards excepted; checked before every use."""
LANGUAGE: Final = "smollm2-135m"
VISION: Final = "vit-s14-focus"


def tokenizer_with_tokens(language: Path) -> PreTrainedTokenizerBase:
    """The base tokenizer plus the special tokens of the built-in backbone."""
    from transformers import AutoTokenizer

    from vlm_forensics.backbones.mini import SPECIAL_TOKENS

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(language)
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS)})
    return tokenizer


def mini_config(
    language: Path, vision: Path, tokenizer: PreTrainedTokenizerBase
) -> VlmForensicsConfig:
    """Configuration of `vlmf-mini` over these base weights."""
    from vlm_forensics.backbones.mini import SPECIAL_TOKENS, backbone_config
    from vlm_forensics.model.config import VlmForensicsConfig

    backbone = backbone_config(language, vision)
    tower: Any = backbone.vision_config
    ids: Any = tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS))
    _, evidence, cls, seg = ids
    return VlmForensicsConfig(
        backbone, vision_hidden_size=tower.hidden_size,
        text_hidden_size=backbone.get_text_config().hidden_size,
        evidence_token_id=evidence, cls_token_id=cls, seg_token_id=seg,
    )  # fmt: skip


def fresh_model(config: VlmForensicsConfig, language: Path, vision: Path) -> VlmForensicsModel:
    """The model with base weights and untrained parts, float32."""
    from vlm_forensics.backbones.mini import load_base
    from vlm_forensics.model.modeling import VlmForensicsModel

    model = VlmForensicsModel(config)
    load_base(model.backbone, language, vision)
    return model


def model_folder(model: str | Path, *, offline: bool = False) -> Path:
    """The folder of a complete model: the built-in default by name, or a folder as given.

    Raises:
        ModelError: there is no such model.
        WeightsError: base weights are missing, damaged or out of reach, or a file is unsafe.
    """
    if str(model) == MINI:
        return assemble(shipped(), offline=offline)
    folder = Path(model)
    if not (folder / "config.json").is_file():
        raise ModelError("model_not_found", f"there is no model {folder.name!r}",
                         hint=f"use {MINI} or a folder that `save_pretrained` wrote")  # fmt: skip
    weights.assert_safe(folder)
    if probe.is_probe(folder):
        check_seal(folder, hint="fit it again: vlmf probe fit")
        probe.checked_encoder(probe.read_config(folder), offline=offline)
        return folder
    return assemble(folder, offline=offline) if (folder / TRAINED).is_file() else folder


def at_hand(model: str | Path) -> bool:
    """Whether `model_folder` would find everything on this disk; costs no reading of weights.

    Damaged files count as found: their error is that of `model_folder`.
    """
    folder = weights.mini_folder() if str(model) == MINI else Path(model)
    if folder is None or not (folder / "config.json").is_file():
        return False
    if probe.is_probe(folder):
        return probe.encoder_at_hand(probe.read_config(folder))
    if not (folder / TRAINED).is_file():
        return True
    return (_assembled(folder, lambda part: _recorded(part) or {}) / SEAL).is_file()


def shipped() -> Path:
    """The folder of the built-in default's trained parts.

    Raises:
        ModelError: this installation lacks it.
    """
    folder = weights.mini_folder()
    if folder is None:
        raise ModelError("model_not_found", f"{MINI} is not part of this installation",
                         hint="install vlm_forensics again")  # fmt: skip
    return folder


def assemble(trained: Path, *, offline: bool = False) -> Path:
    """The complete model made of `trained` and the base weights, from the cache when it is there.

    Raises:
        WeightsError: a file of either folder is not as it was written.
    """
    check_seal(trained, hint="install vlm_forensics again")
    out = _assembled(trained, _sealed)
    if not (out / SEAL).is_file():
        log.info("assembling %s", trained.name)
        _write(trained, out, offline=offline)
    check_seal(out, hint=_delete(out))
    _export(out)
    return out


def light_graph(folder: Path) -> Path | None:
    """What of an assembled model runs without torch; None where there is no such file.

    Raises:
        WeightsError: the file is not as it was written.
    """
    where = _light_folder(folder)
    # Nothing that merely lies beside a folder of someone else is read.
    if folder.parent != _assembled_folder() or not (where / SEAL).is_file():
        return None
    found = check_seal(where, hint=_delete(where))
    return where / next(iter(found)) if found else None


def seal(folder: Path) -> None:
    """Records the digests of a finished folder inside it."""
    (folder / SEAL).write_text(json.dumps(_sealed(folder), indent=1) + "\n", encoding="utf-8")


def check_seal(folder: Path, *, hint: str) -> dict[str, str]:
    """Compares a folder with its seal; the digests of its files.

    Raises:
        WeightsError: the seal is missing or unreadable, or a file differs.
    """
    recorded = _recorded(folder)
    found = _sealed(folder)
    if recorded != found:
        known = recorded or {}
        names = sorted(n for n in found if known.get(n) != found[n]) or ["a missing file"]
        raise WeightsError("weights_corrupt", f"{names[0]} of the model is not as it was written",
                           hint=hint)  # fmt: skip
    return found


def _recorded(folder: Path) -> dict[str, str] | None:
    """What the seal says; None where there is none that can be read."""
    try:
        recorded = json.loads((folder / SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return recorded if isinstance(recorded, dict) else None


def _sealed(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in weights.digests(folder).items()
            if name != SEAL and not name.endswith(".md")}  # fmt: skip


def _assembled(trained: Path, digests_of: Callable[[Path], dict[str, str]]) -> Path:
    """The cached folder of the model with these trained parts."""
    import hashlib

    base = adapters.base_of(trained)
    parts = digests_of(trained) | {name: name for name in (LANGUAGE, VISION) if base is None}
    if base is not None and _ours(base):
        parts |= {f"base/{name}": digest for name, digest in digests_of(_trained(base)).items()}
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return _assembled_folder() / key


def _assembled_folder() -> Path:
    return weights.cache_folder() / "assembled"


def _ours(base: str) -> bool:
    return base == MINI or (Path(base) / "calibration.json").is_file()


def _trained(base: str) -> Path:
    return shipped() if base == MINI else Path(base)


def _write(trained: Path, out: Path, *, offline: bool) -> None:
    with _made(out) as part:
        model, tokenizer = _built(trained, offline=offline)
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        for side in SIDE_FILES:
            if (trained / side).is_file():
                shutil.copy2(trained / side, part / side)


def _export(model: Path) -> None:
    """Writes the light graph of an assembled model once; an empty folder says that it has none."""
    where = _light_folder(model)
    if (where / SEAL).is_file():
        return
    try:
        with _made(where) as part:
            part.mkdir()
            _write_graph(model, part)
    except OSError as error:  # a cache that others filled, a full disk: torch runs as well
        log.info("the light graph cannot be written: %s", type(error).__name__)


def _write_graph(model: Path, folder: Path) -> None:
    from vlm_forensics.model import graph, light

    config = light.read_config(model)
    if not light.fits(config):
        return
    try:
        found = light.load(model, config).eval()
    except (KeyError, RuntimeError) as error:  # the whole model may well load
        log.info("no light model: %s", type(error).__name__)
        return
    graph.write(found, folder / graph.FILLED)


def _light_folder(model: Path) -> Path:
    from vlm_forensics.model import graph

    # Beside the model, not in it: the graph depends on this machine's OpenCV, the model does not.
    return model.with_name(f"{model.name}-light-{graph.key()}")


@contextmanager
def _made(folder: Path) -> Iterator[Path]:
    """Where to make a folder, which is sealed and put in its place afterwards."""
    import tempfile

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        part = Path(name, "made")
        yield part
        seal(part)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)


def _delete(folder: Path) -> str:
    return f"delete the folder {folder.name} in the cache (`vlmf env` shows where)"


def _built(trained: Path, *, offline: bool) -> tuple[VlmForensicsModel, Any]:
    """Base weights, trained parts and merged LoRA; the language model in bfloat16."""
    import torch
    from transformers import AutoTokenizer

    from vlm_forensics.model.config import VlmForensicsConfig

    config, name = VlmForensicsConfig.from_pretrained(trained), adapters.base_of(trained)
    if name is None:
        language, vision = (weights.resolve(n, offline=offline) for n in (LANGUAGE, VISION))
        base, tokenizer = fresh_model(config, language, vision), tokenizer_with_tokens(language)
    else:
        base = _base(name, config, offline=offline)
        tokenizer = AutoTokenizer.from_pretrained(trained)
    model = adapters.rebuild(trained, base)
    model.language_to(torch.bfloat16)
    model.train(False)
    return model, tokenizer


def _base(name: str, config: VlmForensicsConfig, *, offline: bool) -> VlmForensicsModel:
    import torch

    from vlm_forensics.model.modeling import VlmForensicsModel
    from vlm_forensics.wrapping import wrap

    if _ours(name):
        folder = model_folder(name, offline=offline)
        return VlmForensicsModel.from_pretrained(folder, config=config, dtype=torch.float32)
    model, _ = wrap(name, offline=offline)
    return VlmForensicsModel(config, model.backbone)
