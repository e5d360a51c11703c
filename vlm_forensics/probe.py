"""The simple detector as a folder: a linear probe on a frozen vision encoder.

"Simplicity prevails" (2026): on unseen sources a logistic regression on frozen features is hard to
beat. `vlmf probe fit` writes such a folder and `Detector.from_pretrained` loads it; it gives a
verdict and a probability, no words and no mask, and it never says `tampered`.

    config.json         `ProbeConfig`: the encoder, its sha256, and how its features are read
    probe.safetensors   mean, scale and weight `[D]` and bias `[1]` of the logistic regression
    calibration.json, reference.json, digests.json, README.md
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vlm_forensics import weights
from vlm_forensics.errors import ModelError, VlmfError, WeightsError
from vlm_forensics.safety import read_header

log = logging.getLogger(__name__)

MODEL_TYPE: Final = "vlm_forensics_probe"
WEIGHTS = "probe.safetensors"
VISION: Final = "vit-s14-focus"
"""The encoder when none is asked for."""
VISION_LAYER = 8
"""Its hidden state that read best with whole sources held out."""
NEVER = -1000.0
"""Logit of a class that a probe never calls: finite, and 0 after any temperature."""
_PATTERNS = ["*.json", "*.safetensors"]


class ProbeConfig(BaseModel):
    """Which encoder a probe reads, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_type: Literal["vlm_forensics_probe"] = MODEL_TYPE
    encoder: str
    """Name of built-in weights, a hub id, or the absolute path of a folder."""
    revision: str = ""
    """Commit of a hub id."""
    digests: dict[str, str]
    """sha256 of the encoder's configuration and weight files."""
    layer: int = Field(ge=1)
    """The hidden state that is read; 0 would be the embeddings."""
    prefix_tokens: int = Field(ge=0)
    """Tokens before the patches. With any, the first is the class token and is pooled too."""
    size: int = Field(ge=1)
    """Pixels per side that the encoder is given."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """Of the encoder's normalisation, RGB in [0, 1]."""


def is_probe(folder: Path) -> bool:
    """Whether this model folder is a probe."""
    try:
        return f'"{MODEL_TYPE}"' in (folder / "config.json").read_text("utf-8")
    except (OSError, ValueError):
        return False


def read_config(folder: Path) -> ProbeConfig:
    """The configuration in a probe's folder.

    Raises:
        ModelError: it is absent or not one of this version.
    """
    try:
        return ProbeConfig.model_validate_json((folder / "config.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError("model_config_invalid", f"config.json of {folder.name} is not a probe's",
                         hint="fit it again: vlmf probe fit") from error  # fmt: skip


def encoder_folder(name: str, revision: str = "", *, offline: bool = False) -> tuple[Path, str]:
    """The folder of an encoder and, from the hub, its commit; fetched when it is not here.

    Only JSON and safetensors files are fetched or looked at; no token is sent.

    Raises:
        ModelError: there is no such encoder, or it has no safetensors weights.
        WeightsError: it is damaged, unsafe, or cannot be fetched now.
    """
    if name == VISION:
        return weights.resolve(VISION, offline=offline), ""
    if Path(name).is_dir():
        weights.assert_safe(Path(name))
        folder, commit = Path(name), ""
    else:
        folder = _from_hub(name, revision, offline or weights.offline_asked())
        commit = folder.name  # snapshots are kept by commit
    found = sorted(folder.glob("*.safetensors"))
    if not found or not (folder / "config.json").is_file():
        raise ModelError("model_unsupported", f"{_short(name)} has no safetensors weights",
                         hint="choose a transformers vision model that has")  # fmt: skip
    for path in found:
        read_header(path)
    return folder, commit


def encoder_at_hand(config: ProbeConfig) -> bool:
    """Whether the encoder is surely on this disk; the hub's cache is not searched."""
    if config.encoder == VISION:
        return weights.cached_folder(VISION) is not None
    return Path(config.encoder).is_dir()


def digests(folder: Path) -> dict[str, str]:
    """sha256 of what decides an encoder's features: its configuration and weights."""
    return {name: digest for name, digest in weights.digests(folder).items()
            if name == "config.json" or name.endswith(".safetensors")}  # fmt: skip


def checked_encoder(config: ProbeConfig, *, offline: bool = False) -> Path:
    """The folder of the very encoder that a probe was fitted on.

    Raises:
        ModelError, WeightsError: as `encoder_folder`; `weights_corrupt` if a file differs.
    """
    folder, _ = encoder_folder(config.encoder, config.revision, offline=offline)
    if digests(folder) != config.digests:
        raise WeightsError(
            "weights_corrupt",
            f"the encoder {_short(config.encoder)} is not the one that the probe was fitted on",
            hint="bring the original back, or fit again: vlmf probe fit",
        )
    return folder


def _from_hub(name: str, revision: str, offline: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(
            name, revision=revision or None, allow_patterns=_PATTERNS, ignore_patterns=["*/*"],
            local_files_only=offline, token=False,
        ))  # fmt: skip
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise _unknown(name) from error
    except LocalEntryNotFoundError as error:
        raise WeightsError(
            "weights_missing", f"the encoder {_short(name)} is not on this machine",
            hint="check its name and fetch it with network, or give a folder",
        ) from error  # fmt: skip
    except Exception as error:  # the hub's client reports trouble through many types
        log.info("hub: %s", type(error).__name__)
        raise WeightsError("weights_unreachable", f"the encoder {_short(name)} cannot be fetched",
                           hint="try again later, or give a folder") from error  # fmt: skip


def _unknown(name: str) -> VlmfError:
    hint = f"use {VISION}, a hub id such as facebook/dinov2-base, or a folder"
    return ModelError("model_not_found", f"there is no encoder {_short(name)!r}", hint=hint)


def _short(name: str) -> str:
    """The name for a message: no folders of the machine."""
    return Path(name).name if Path(name).is_absolute() or Path(name).is_dir() else name
