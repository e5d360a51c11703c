"""Detection without transformers: the vision tower as a stock torch encoder, and our parts.

Importing a transformers model class takes longer than detecting in a large photograph, so a run
that asks for no rationale goes without. A test holds it to the outputs of the assembled model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vlm_forensics.backbones.base import dinov2_size
from vlm_forensics.model.adapter import AdapterOutput, DetectionAdapter
from vlm_forensics.model.inputs import MEAN, STD, vision_input
from vlm_forensics.model.mask_decoder import MaskDecoder

_TOWER, _LAYER = "backbone.vision_tower.", "encoder.layer.{}."


class LightDetection(NamedTuple):
    """What is seen without a language model."""

    adapter: AdapterOutput
    mask_logits: Tensor  # [B, h/4, w/4] under the default prompt


class LightTower(nn.Module):
    """The blocks of an `internvl_vision` tower (a plain pre-norm ViT) up to one hidden state each.

    Args:
        vision: its configuration, as a plain object.
    """

    def __init__(self, vision: Any) -> None:
        super().__init__()
        size, patch = vision.hidden_size, vision.patch_size
        self.patches = nn.Conv2d(vision.num_channels, size, patch, patch)
        self.start = nn.Parameter(torch.zeros(1, 1, size))
        count = (vision.image_size[0] // patch[0]) * (vision.image_size[1] // patch[1])
        self.positions = nn.Parameter(torch.zeros(1, 1 + count, size))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(size, vision.num_attention_heads, vision.intermediate_size,
                                       0.0, F.gelu, vision.layer_norm_eps, True, True)
            for _ in range(vision.num_hidden_layers)
        )  # fmt: skip

    def forward(self, pixel_values: Tensor) -> list[Tensor]:
        """Hidden states `[B, 1 + P, hidden]`, the embeddings first, of `[B, 3, s, s]` pixels."""
        grid = self.patches(pixel_values)
        x = torch.cat([self.start.expand(len(grid), -1, -1), grid.flatten(2).transpose(1, 2)], 1)
        states = [x + self._positions(grid.shape[-2:])]
        for block in self.blocks:
            states.append(block(states[-1]))
        return states

    def _positions(self, size: torch.Size) -> Tensor:
        first, rest = self.positions[:, :1], self.positions[:, 1:]
        side = round(rest.shape[1] ** 0.5)
        square = rest.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        fitted = F.interpolate(square, tuple(size), mode="bicubic", align_corners=False)
        return torch.cat([first, fitted.flatten(2).transpose(1, 2)], 1)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Takes the weights of the transformers class; its layer scales go into the projections."""
        own = {"patches.weight": weights["embeddings.patch_embeddings.projection.weight"],
               "patches.bias": weights["embeddings.patch_embeddings.projection.bias"],
               "start": weights["embeddings.cls_token"],
               "positions": weights["embeddings.position_embeddings"]}  # fmt: skip
        for n in range(len(self.blocks)):
            start = _LAYER.format(n)
            found = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
            own |= {f"blocks.{n}.{name}": value for name, value in _block(found).items()}
        self.load_state_dict(own)


def _block(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One block's weights under the names of `nn.TransformerEncoderLayer`."""
    attention, scale, depth = "attention.projection_layer.", found["lambda_1"], found["lambda_2"]
    joined = {kind: torch.cat([found[f"attention.{part}_proj.{kind}"] for part in "qkv"])
              for kind in ("weight", "bias")}  # fmt: skip
    return {
        "self_attn.in_proj_weight": joined["weight"],
        "self_attn.in_proj_bias": joined["bias"],
        "self_attn.out_proj.weight": scale[:, None] * found[f"{attention}weight"],
        "self_attn.out_proj.bias": scale * found[f"{attention}bias"],
        "linear1.weight": found["mlp.fc1.weight"],
        "linear1.bias": found["mlp.fc1.bias"],
        "linear2.weight": depth[:, None] * found["mlp.fc2.weight"],
        "linear2.bias": depth * found["mlp.fc2.bias"],
        "norm1.weight": found["layernorm_before.weight"],
        "norm1.bias": found["layernorm_before.bias"],
        "norm2.weight": found["layernorm_after.weight"],
        "norm2.bias": found["layernorm_after.bias"],
    }


class LightModel(nn.Module):
    """Vision tower, adapter and mask decoder of an assembled model.

    Args:
        config: the model's `config.json` as plain objects.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.tower = LightTower(config.backbone_config.vision_config)
        self.adapter = DetectionAdapter(config)
        self.mask_decoder = MaskDecoder(config)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.tower.start.device

    def pixels(self, overview: Tensor) -> Tensor:
        """As `VlmForensicsModel.pixels`; older configurations name no size and no statistics."""
        named = vars(self.config)
        side = named.get("vision_size") or dinov2_size(self.config.backbone_config)
        return vision_input(
            overview, side, named.get("image_mean", MEAN), named.get("image_std", STD)
        )

    def detect(
        self, pixel_values: Tensor, overview: Tensor, tiles: Tensor | None = None
    ) -> LightDetection:
        """As `VlmForensicsModel.detect`, without image tokens."""
        states = self.tower(pixel_values)
        found = self.adapter([states[i] for i in self.config.shallow_layers], overview, tiles)
        return LightDetection(found, self.mask_decoder(found.grid, found.fine))


def fits(config: Any) -> bool:
    """Whether a model of this configuration has a tower that `LightTower` can stand in for."""
    vision = getattr(config.backbone_config, "vision_config", SimpleNamespace(model_type=""))
    return bool(
        vision.model_type == "internvl_vision"
        and vision.hidden_act == "gelu"
        and vision.norm_type == "layer_norm"
        and vision.attention_bias
        and vision.use_absolute_position_embeddings
        and not (vision.use_qk_norm or vision.use_mask_token)
    )


def read_config(folder: Path) -> Any:
    """`config.json` as plain objects."""
    return json.loads((folder / "config.json").read_bytes(), object_hook=_plain)


def _plain(values: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(**values)


class _Unfilled(TorchFunctionMode):
    """Leaves out the random numbers that a new module starts with: loading replaces them all."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        if func.__name__.endswith(("uniform_", "normal_")):
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def load(folder: Path, config: Any) -> LightModel:
    """The light model in a folder that `fits`; tensors of the language model are not read.

    Raises:
        SafetensorError, OSError: the weight file cannot be read.
        KeyError, RuntimeError: it lacks tensors, or they do not fit the configuration.
    """
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        wanted = (_TOWER, "adapter.", "mask_decoder.")
        weights = {name: file.get_tensor(name) for name in file.keys() if name.startswith(wanted)}  # noqa: SIM118
    with _Unfilled():  # and not the meta device, which would import torch's compiler
        model = LightModel(config)
    tower = {k.removeprefix(_TOWER): v for k, v in weights.items() if k.startswith(_TOWER)}
    model.tower.load(tower)
    for name in ("adapter", "mask_decoder"):
        own = {k.removeprefix(f"{name}."): v for k, v in weights.items()
               if k.startswith(f"{name}.")}  # fmt: skip
        model.get_submodule(name).load_state_dict(own)
    return model.float()
