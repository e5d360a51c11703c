"""Exports the graph that `vlmf explain --no-rationale` runs without torch, weights left out.

    python training/light_graph.py

Writes `vlm_forensics/model/light.onnx`; wanted whenever adapter, mask decoder or `model/light.py`
computes something else, which `tests/model/test_graph.py` notices. Needs the extra `train`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without installation

from vlm_forensics import weights
from vlm_forensics.model import graph, light

SMALL = 16
"""Constants of at most so many elements, shapes and axes, stay in the graph."""


class Outputs(nn.Module):
    """The light model with plain tensors as its result."""

    def __init__(self, model: light.LightModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor, overview: Tensor, tiles: Tensor) -> tuple[Tensor, ...]:
        """In the order of `graph.OUTPUTS`."""
        found = self.model.detect(pixels, overview, tiles)
        return found.adapter.class_logits, found.adapter.operation_logits, found.mask_logits


def random_model(folder: Path) -> light.LightModel:
    """A model whose every tensor can be told from every other."""
    torch.manual_seed(0)
    model = light.LightModel(light.read_config(folder)).eval()
    for tensor in model.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape))
    return model


def export(model: light.LightModel) -> onnx.ModelProto:
    """Traced with overviews and tiles of any size and any number of tiles."""
    side = graph.SIDE
    sample = (
        torch.rand(1, 3, side, side),
        torch.rand(1, 3, 256, 352),
        torch.rand(1, 6, 3, 256, 240),
    )
    h, w, n, th, tw = (
        torch.export.Dim(name, min=2, max=64) for name in ("h", "w", "n", "th", "tw")
    )
    shapes = ({}, {2: 16 * h, 3: 16 * w}, {1: n, 3: 16 * th, 4: 16 * tw})
    program = torch.onnx.export(
        Outputs(model).eval(), sample, dynamo=True, dynamic_shapes=shapes,
        input_names=graph.INPUTS, output_names=graph.OUTPUTS,
    )  # fmt: skip
    assert program is not None
    return program.model_proto


def strip(exported: onnx.ModelProto, model: light.LightModel) -> None:
    """Replaces weights by their names in the model, and drops what the exporter says of itself."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    found = exported.graph
    for tensor in found.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1:
            tensor.doc_string = next(_sources(values, state), "")
        if tensor.doc_string:
            tensor.raw_data = b""
        elif values.size > SMALL:
            raise SystemExit(f"{tensor.name} {values.shape} is made of several weights")
    for node in found.node:
        del node.metadata_props[:]
    for value in (*found.input, *found.output):
        del value.metadata_props[:]
    del found.value_info[:], found.metadata_props[:], exported.metadata_props[:]


def _sources(values: NDArray[np.float32], state: dict[str, NDArray[np.float32]]) -> Iterator[str]:
    """Names of the weights that these values are, with `graph.TURNED` where transposed."""
    for name, weight in state.items():
        if np.array_equal(values.ravel(), weight.ravel()):
            yield name
        elif values.ndim == weight.ndim == 2 and np.array_equal(values.T, weight):
            yield f"{name}{graph.TURNED}"


def main() -> None:
    """Writes the graph and says how large it is."""
    folder = weights.mini_folder()
    assert folder is not None
    model = random_model(folder)
    with torch.no_grad():
        exported = export(model)
    strip(exported, model)
    kinds = {tensor.data_type for tensor in exported.graph.initializer}
    assert kinds <= {TensorProto.FLOAT, TensorProto.INT64}, kinds
    graph.GRAPH.write_bytes(exported.SerializeToString(deterministic=True))
    print(
        f"{graph.GRAPH.name}: {len(exported.graph.node)} nodes, {graph.GRAPH.stat().st_size} bytes"
    )


if __name__ == "__main__":
    main()
