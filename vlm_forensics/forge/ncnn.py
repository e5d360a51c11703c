"""A reader and runner for the few ncnn layers that super-resolution networks use.

ncnn keeps a network as a text graph (`.param`) and a stream of tensors (`.bin`). Reading both
here lets the forge run published networks without a Vulkan runtime. Format:
https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlm_forensics.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_MAGIC = "7767517"
_HALF_TAG = 0x01306B47
_LEAKY_RELU = 2


@dataclass(frozen=True, slots=True)
class Layer:
    """One node of the graph."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: dict[int, str]
    tensors: tuple[Any, ...] = ()
    """Weights as torch tensors, in the order the layer's `forward` wants."""

    def number(self, key: int, default: float = 0.0) -> float:
        """The scalar option `key`."""
        return float(self.options.get(key, default))

    def numbers(self, key: int) -> list[float]:
        """The array option `key`, written `-233NN=count,a,b`."""
        text = self.options.get(-23300 - key)
        return [] if text is None else [float(part) for part in text.split(",")[1:]]


def read(stem: Path) -> tuple[Layer, ...]:
    """The network in `stem.param` and `stem.bin`.

    Raises:
        WeightsError: `weights_corrupt` if the two files do not fit each other.
    """
    lines = stem.with_suffix(".param").read_text("ascii").splitlines()
    if not lines or lines[0].strip() != _MAGIC:
        raise WeightsError("weights_corrupt", f"{stem.name}.param is not an ncnn graph")
    stream = io.BytesIO(stem.with_suffix(".bin").read_bytes())
    layers = tuple(_layer(line, stream, stem.name) for line in lines[2:] if line.strip())
    if stream.read(1):
        raise WeightsError("weights_corrupt", f"{stem.name}.bin holds more than its graph names")
    return layers


def run(layers: tuple[Layer, ...], image: Tensor) -> Tensor:
    """The network's output for `image` (`[N, C, H, W]` float); tensors die after their last use."""
    last_use = {name: i for i, layer in enumerate(layers) for name in layer.inputs}
    alive: dict[str, Tensor] = {}
    result = image
    for i, layer in enumerate(layers):
        inputs = [alive[name] for name in layer.inputs]
        alive = {name: tensor for name, tensor in alive.items() if last_use.get(name, -1) > i}
        result = image if layer.kind == "Input" else _forward(layer, inputs)
        # Split and Input only name the same tensor again.
        alive.update(dict.fromkeys(layer.outputs, result))
    return result


def channels_last(tensor: Tensor) -> Tensor:
    """The tensor in the memory order convolutions on a CPU are fastest with; same values."""
    import torch

    if tensor.ndim != 4:
        return tensor
    return tensor.contiguous(memory_format=torch.channels_last)


def _layer(line: str, stream: io.BytesIO, source: str) -> Layer:
    kind, _, inputs, outputs, *rest = line.split()
    n_in, n_out = int(inputs), int(outputs)
    options = {int(k): v for k, _, v in (part.partition("=") for part in rest[n_in + n_out :])}
    layer = Layer(kind, tuple(rest[:n_in]), tuple(rest[n_in : n_in + n_out]), options)
    try:
        tensors = _read_tensors(layer, stream)
    except ValueError as error:
        raise WeightsError("weights_corrupt", f"{source}.bin ends too early") from error
    return Layer(layer.kind, layer.inputs, layer.outputs, options, tensors)


def _read_tensors(layer: Layer, stream: io.BytesIO) -> tuple[Tensor, ...]:
    import torch

    if layer.kind == "PReLU":
        return (torch.from_numpy(_floats(stream, int(layer.number(0)))),)
    if layer.kind != "Convolution":
        return ()
    out, kernel, size = (int(layer.number(key)) for key in (0, 1, 6))
    weight = _tagged(stream, size).reshape(out, -1, kernel, kernel)
    bias = _floats(stream, out) if layer.number(5) else np.zeros(out, np.float32)
    return channels_last(torch.from_numpy(weight)), torch.from_numpy(bias)


def _tagged(stream: io.BytesIO, count: int) -> NDArray[np.float32]:
    """Weights behind a four-byte tag: half precision padded to four bytes, or float32."""
    tag = int.from_bytes(stream.read(4), "little")
    if tag == 0:
        return _floats(stream, count)
    if tag != _HALF_TAG:
        raise WeightsError("weights_corrupt", f"unknown ncnn weight tag {tag:#x}")
    padded = stream.read((2 * count + 3) // 4 * 4)
    return np.frombuffer(padded, "<f2", count).astype(np.float32)


def _floats(stream: io.BytesIO, count: int) -> NDArray[np.float32]:
    return np.frombuffer(stream.read(4 * count), "<f4", count).copy()


def _forward(layer: Layer, inputs: list[Tensor]) -> Tensor:
    forward = _KINDS.get(layer.kind)
    if forward is None:
        raise WeightsError("weights_corrupt", f"ncnn layer {layer.kind} is not known here")
    return forward(layer, inputs)


def _split(_layer: Layer, inputs: list[Tensor]) -> Tensor:
    return inputs[0]


def _concatenate(_layer: Layer, inputs: list[Tensor]) -> Tensor:
    import torch

    return torch.cat(inputs, dim=1)


def _add(layer: Layer, inputs: list[Tensor]) -> Tensor:
    """Weighted sum; the weights are an option of `Eltwise`, and 1 for `BinaryOp`."""
    first, *others = layer.numbers(1) or [1.0] * len(inputs)
    total = first * inputs[0]
    for weight, x in zip(others, inputs[1:], strict=True):
        total = total + weight * x
    return total


def _prelu(layer: Layer, inputs: list[Tensor]) -> Tensor:
    from torch.nn import functional

    return functional.prelu(inputs[0], layer.tensors[0])


def _pixel_shuffle(layer: Layer, inputs: list[Tensor]) -> Tensor:
    from torch.nn import functional

    return functional.pixel_shuffle(inputs[0], int(layer.number(0)))


def _convolve(layer: Layer, inputs: list[Tensor]) -> Tensor:
    from torch.nn import functional

    weight, bias = layer.tensors
    y = functional.conv2d(inputs[0], weight, bias, padding=int(layer.number(4)))
    if layer.number(9) == _LEAKY_RELU:
        return functional.leaky_relu(y, layer.numbers(10)[0], inplace=True)
    return y


def _resize(layer: Layer, inputs: list[Tensor]) -> Tensor:
    from torch.nn import functional

    (x,) = inputs
    mode = {1: "nearest", 2: "bilinear", 3: "bicubic"}[int(layer.number(0))]
    size = [round(x.shape[-2] * layer.number(1)), round(x.shape[-1] * layer.number(2))]
    return functional.interpolate(x, size=size, mode=mode)


_KINDS: dict[str, Callable[[Layer, list[Tensor]], Tensor]] = {
    "Split": _split,
    "Convolution": _convolve,
    "PReLU": _prelu,
    "Concat": _concatenate,
    "Eltwise": _add,
    "BinaryOp": _add,
    "PixelShuffle": _pixel_shuffle,
    "Interp": _resize,
}
