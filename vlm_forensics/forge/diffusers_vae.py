"""The autoencoder of any diffusers model, by hub id or folder, in place of the tiny one."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any

from vlm_forensics.errors import ModelError, PrerequisiteError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

MULTIPLE = 64
"""Sides are padded to this: a multiple of every published spatial compression."""


@cache
def load(name: str) -> Any:
    """The autoencoder `name`, from its root or, for a whole pipeline, from its folder `vae`.

    Raises:
        PrerequisiteError: diffusers is not installed.
        WeightsError: nothing of this name can be read or fetched.
        ModelError: it is no autoencoder.
    """
    if importlib.util.find_spec("diffusers") is None:
        raise PrerequisiteError("diffusers", "forge")
    from diffusers import AutoModel

    model = None
    for options in ({}, {"subfolder": "vae"}):
        try:
            # Only safetensors are read: a pickled checkpoint could run code.
            model = AutoModel.from_pretrained(name, use_safetensors=True, **options)
        except (OSError, ValueError, KeyError):  # no such repository, file or class
            continue
        break
    if model is None:
        raise WeightsError("weights_unreachable", "the diffusers autoencoder cannot be read",
                           hint="give a hub id or a folder with config.json and safetensors, "
                                "or of a pipeline with a folder vae")  # fmt: skip
    if not hasattr(model, "encode") or not hasattr(model, "decode"):
        raise ModelError("model_unsupported", f"{type(model).__name__} is no autoencoder",
                         hint="give the id of an AutoencoderKL or AutoencoderTiny")  # fmt: skip
    return model.eval()


def round_trip(batch: Tensor, name: str) -> Tensor:
    """`[N, 3, H, W]` in [0, 1] after encoding and decoding; sides are multiples of `MULTIPLE`."""
    model = load(name)
    # The most likely latent, not a drawn one: the same input gives the same bytes.
    decoded: Tensor = model.decode(_latent(model.encode(batch * 2 - 1))).sample
    return decoded / 2 + 0.5


def _latent(encoded: Any) -> Any:
    if hasattr(encoded, "latent_dist"):
        return encoded.latent_dist.mode()
    return encoded.latents if hasattr(encoded, "latents") else encoded.latent
