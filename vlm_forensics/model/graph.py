"""The light model as an ONNX graph, which OpenCV runs in a process that never imports torch.

Importing torch takes longer than detecting. The graph ships without weights (`light.onnx`, made by
`training/light_graph.py`); `write` puts those of an assembled model in and tries it beside torch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vlm_forensics.model.inputs import channels_first, to_tensor, vision_array

if TYPE_CHECKING:
    from vlm_forensics.model.light import LightModel

log = logging.getLogger(__name__)

GRAPH: Final = Path(__file__).with_name("light.onnx")
FILLED: Final = "light.onnx"
"""Name of the graph with weights, in a folder of its own."""
INPUTS: Final = ("pixels", "overview", "tiles")
OUTPUTS: Final = ("class_logits", "operation_logits", "mask_logits")
TURNED: Final = " transposed"
"""Follows the name of a weight that the graph wants with rows and columns exchanged."""
SIDE: Final = 224
"""Pixels per side of the vision tower's input."""
TOLERANCE: Final = 1e-3
"""Largest difference from torch, in logits."""


def key() -> str:
    """Names this graph under this OpenCV, whose versions run different sets of graphs."""
    return sha256(GRAPH.read_bytes() + cv2.__version__.encode()).hexdigest()[:8]


def write(model: LightModel, path: Path) -> bool:
    """Writes the graph with the weights of `model`; whether OpenCV then finds what torch finds."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    try:
        path.write_bytes(filled(state))
        good = agrees(model, load(path))
    except (cv2.error, KeyError, ValueError) as error:  # another architecture, or an old OpenCV
        log.info("the light graph cannot be used: %s", type(error).__name__)
        good = False
    if not good:
        path.unlink(missing_ok=True)
    return good


def filled(state: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The graph with these weights.

    Raises:
        KeyError, ValueError: they are those of another architecture.
    """
    import onnx

    model = onnx.load(GRAPH)
    for tensor in model.graph.initializer:
        if not tensor.doc_string:
            continue
        values = state[tensor.doc_string.removesuffix(TURNED)]
        values = values.T if tensor.doc_string.endswith(TURNED) else values
        if values.size != np.prod(tensor.dims):
            raise ValueError(tensor.doc_string)
        tensor.raw_data = np.ascontiguousarray(values, "<f4").tobytes()
    return bytes(model.SerializeToString(deterministic=True))


def load(path: Path) -> Any:
    """The network in this file.

    Raises:
        cv2.error: OpenCV cannot read it.
    """
    return cv2.dnn.readNetFromONNX(str(path))


def run(net: Any, inputs: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], ...]:
    """Class logits `[1, 3]`, operation logits `[1, 9]` and mask logits `[1, h/4, w/4]`.

    Args:
        net: from `load`.
        inputs: `[1, 3, SIDE, SIDE]` normalised pixels, `[1, 3, h, w]` overview and
            `[1, N, 3, s, t]` tiles, N ≥ 1, as `LightModel.detect` takes them.
    """
    for name, values in zip(INPUTS, inputs, strict=True):
        net.setInput(values, name)
    return tuple(net.forward(OUTPUTS))


def agrees(model: LightModel, net: Any) -> bool:
    """Whether both find the same in noise, of two sizes, for OpenCV fits buffers to the first."""
    import torch

    rng = np.random.default_rng(0)
    for h, w, n in ((64, 96, 2), (96, 64, 1)):
        overview = rng.integers(0, 256, (h, w, 3), np.uint8)
        tiles = channels_first(rng.integers(0, 256, (n, h, h, 3), np.uint8))[None]
        ours = run(net, (vision_array(overview, SIDE), channels_first(overview)[None], tiles))
        with torch.inference_mode():
            whole = to_tensor(overview)[None]
            found = model.detect(model.pixels(whole), whole, torch.from_numpy(tiles))
        theirs = found.adapter.class_logits, found.adapter.operation_logits, found.mask_logits
        for a, b in zip(ours, theirs, strict=True):
            if a.shape != b.shape or np.abs(a - b.numpy()).max() > TOLERANCE:
                return False
    return True
