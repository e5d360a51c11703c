"""A probe at work: the frozen encoder, and the logistic regression on its pooled features."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional as F

from vlm_forensics import probe
from vlm_forensics.datasets.equalise import SIDE, equalise
from vlm_forensics.engine import loading, quieten
from vlm_forensics.errors import ModelError
from vlm_forensics.model.adapter import pool
from vlm_forensics.model.inputs import to_tensor
from vlm_forensics.probe import ProbeConfig
from vlm_forensics.seeing import Seen


class Encoder:
    """A frozen vision encoder up to one hidden state.

    Args:
        tower: a transformers vision model.
        config: how it is read.
    """

    def __init__(self, tower: nn.Module, config: ProbeConfig) -> None:
        self.config = config
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tower = tower.to(self.device).eval()

    @classmethod
    def load(cls, folder: Path, config: ProbeConfig) -> Encoder:
        """The encoder in this folder, without the blocks that are not read.

        Raises:
            ModelError, WeightsError: it cannot be loaded.
        """
        with loading():
            return cls(_tower(folder, config.layer), config)

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pooled features `[N, D]` of equalised pictures `[N, SIDE, SIDE, 3]`."""
        return pooled(self._states(rgb), self.config.prefix_tokens).cpu().numpy()

    @torch.inference_mode()
    def _states(self, rgb: NDArray[np.uint8]) -> Tensor:
        pixels = _pixels(to_tensor(rgb).to(self.device), self.config)
        states = self.tower(pixel_values=pixels, output_hidden_states=True).hidden_states
        return _tokens(states[self.config.layer].float())


class ProbeEngine:
    """A probe on one device; the part of `Engine` that a model without language has.

    Args:
        encoder: the frozen encoder.
        state: `mean`, `scale` and `weight` `[D]` and `bias` `[1]`.
    """

    dtype = "float32"

    def __init__(self, encoder: Encoder, state: dict[str, NDArray[np.float64]]) -> None:
        self.encoder, self.state = encoder, state

    @classmethod
    def load(cls, folder: Path) -> ProbeEngine:
        """The probe in `folder`, on the GPU if there is one; the encoder must be here by now.

        Raises:
            ModelError, WeightsError: probe or encoder cannot be used.
        """
        from safetensors.numpy import load_file

        config = probe.read_config(folder)
        encoder = Encoder.load(probe.checked_encoder(config, offline=True), config)
        with loading():
            state = load_file(folder / probe.WEIGHTS)
            shapes = {name: value.shape for name, value in state.items()}
            wide = encoder(np.zeros((1, SIDE, SIDE, 3), np.uint8)).shape[1:]
            if shapes != {"mean": wide, "scale": wide, "weight": wide, "bias": (1,)}:
                raise ValueError("tensors of another encoder")
        return cls(encoder, state)

    @property
    def device(self) -> str:
        """Where the encoder is."""
        return self.encoder.device

    def versions(self) -> dict[str, str]:
        """Of what computes."""
        return {name: version(name) for name in ("torch", "transformers")}

    def see(self, rgb: NDArray[np.uint8]) -> Seen:
        """Judges `[H, W, 3]` pixels, equalised as those the probe was fitted on."""
        logit = float(self.logits(self.encoder(equalise(rgb).rgb[None]))[0])
        if not np.isfinite(logit):
            raise ArithmeticError("the logit is not finite")
        return Seen(np.array([0.0, logit, probe.NEVER]), {}, None, float(expit(logit)), None)

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """`[N]` log-odds of synthetic, uncalibrated, of features `[N, D]`."""
        standard = (features - self.state["mean"]) / self.state["scale"]
        return np.asarray(standard @ self.state["weight"] + self.state["bias"], np.float64)


def describe(name: str, layer: int | None = None, *, offline: bool = False) -> ProbeConfig:
    """How an encoder is read, found by loading it and showing it one grey picture.

    Args:
        name: as `ProbeConfig.encoder`.
        layer: the hidden state; by default `VISION_LAYER` of the built-in encoder and the last
            one of any other.
        offline: use no network.

    Raises:
        ModelError: it is unknown or no vision model of transformers, or lacks that layer.
        WeightsError: it is damaged, unsafe or out of reach.
    """
    folder, revision = probe.encoder_folder(name, offline=offline)
    kept = str(folder.resolve()) if not revision and name != probe.VISION else name
    size, mean, std = _normalisation(folder)
    draft = ProbeConfig(encoder=kept, revision=revision, digests=probe.digests(folder), layer=1,
                        prefix_tokens=0, size=size, mean=mean, std=std)  # fmt: skip
    with loading():
        tower = _tower(folder, None)
    states, patch = _trial(tower, draft)
    wanted = layer or (probe.VISION_LAYER if name == probe.VISION else len(states) - 1)
    if not 1 <= wanted < len(states):
        raise ModelError("model_unsupported", f"the encoder has no hidden state {wanted}",
                         hint=f"--layer 1 to {len(states) - 1}")  # fmt: skip
    prefix = _prefix(states[wanted], size, patch)
    return draft.model_copy(update={"layer": wanted, "prefix_tokens": prefix})


def pooled(states: Tensor, prefix: int) -> Tensor:
    """Class token if there is one, mean and deviation of the patches, `[B, 3D]` or `[B, 2D]`.

    Args:
        states: `[B, T, D]`.
        prefix: how many of the T come before the patches.
    """
    found = pool(torch.cat([states[:, :1], states[:, prefix:]], 1))
    return found if prefix else found[:, states.shape[-1] :]


def _pixels(rgb: Tensor, config: ProbeConfig) -> Tensor:
    """`[B, 3, h, w]` in 0..255 → `[B, 3, size, size]`, normalised as the encoder expects."""
    sized = F.interpolate(rgb, (config.size, config.size), mode="bilinear", antialias=True)
    mean, std = (rgb.new_tensor(x).view(1, 3, 1, 1) for x in (config.mean, config.std))
    return (sized / 255 - mean) / std


def _tokens(states: Tensor) -> Tensor:
    """`[B, T, D]`; the grid `[B, D, h, w]` of a convolutional encoder becomes its cells."""
    return states.flatten(2).transpose(1, 2) if states.ndim == 4 else states


def _tower(folder: Path, layers: int | None) -> nn.Module:
    """The vision part of the model in this folder; no code of the folder is run."""
    from transformers import AutoConfig, AutoModel

    quieten()
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    vision = getattr(config, "vision_config", config)
    depth = vision.to_dict().get("num_hidden_layers")
    if layers is not None and isinstance(depth, int):
        # One more than is read: some classes put the last state through a norm of its own.
        vision.num_hidden_layers = min(depth, layers + 1)
    load: Any = AutoModel.from_pretrained
    model, info = load(folder, config=config, dtype=torch.float32, use_safetensors=True,
                       trust_remote_code=False, output_loading_info=True)  # fmt: skip
    if lacking := [key for key in info["missing_keys"] if "pooler" not in key]:
        raise RuntimeError(f"{len(lacking)} tensors are missing")
    tower: nn.Module = model.vision_model if hasattr(config, "vision_config") else model
    return tower


def _normalisation(
    folder: Path,
) -> tuple[int, tuple[float, float, float], tuple[float, float, float]]:
    """Side, mean and deviation that the encoder's image processor prepares pictures with."""
    from transformers import AutoImageProcessor

    try:
        load: Any = AutoImageProcessor.from_pretrained
        processor = load(folder, backend="pil", trust_remote_code=False)
        crop = processor.crop_size if getattr(processor, "do_center_crop", False) else None
        size = crop or processor.size
        side = int(size.get("height") or size.get("shortest_edge"))
        if not getattr(processor, "do_normalize", True):
            return side, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        mean, std = (tuple(map(float, x)) for x in (processor.image_mean, processor.image_std))
    except (OSError, ValueError, ImportError, TypeError, AttributeError) as error:
        raise _unsupported("it has no image processor that can be read") from error
    if len(mean) != 3 or len(std) != 3:
        raise _unsupported("it does not take RGB pictures")
    return side, (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


@torch.inference_mode()
def _trial(tower: nn.Module, config: ProbeConfig) -> tuple[list[Tensor], int | None]:
    """Hidden states `[1, T, D]` of a grey picture, and the side of a patch if it has one."""
    grey = torch.full((1, 3, config.size, config.size), 127.0)
    try:
        found = tower.eval()(pixel_values=_pixels(grey, config), output_hidden_states=True)
        states = [_tokens(state) for state in found.hidden_states]
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise _unsupported("it is not a vision encoder with hidden states") from error
    patch: Any = getattr(tower.config, "patch_size", None)
    return states, patch if isinstance(patch, int | None) else int(patch[0])


def _prefix(states: Tensor, size: int, patch: int | None) -> int:
    """Tokens beyond the grid of patches; none where the grid shrinks on the way."""
    return max(0, states.shape[1] - (size // patch) ** 2) if patch else 0


def _unsupported(why: str) -> ModelError:
    hint = "choose a vision model of transformers, such as facebook/dinov2-base"
    return ModelError("model_unsupported", f"the encoder cannot be used: {why}", hint=hint)
