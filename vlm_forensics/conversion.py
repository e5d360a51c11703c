"""Converters from the published base weights to transformers folders, each run once per machine.

Source files come from `weights.py`, which has checked their sha256; torch, transformers and onnx
are imported inside the functions because `vlmf --help` must not pay for them.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Raised when a converter's output changes: a folder of another version is not used."""


def convert_smollm2(source: Path, folder: Path) -> None:
    """Write the language model of a GGUF file as bfloat16 safetensors with its tokenizer.

    The Q4_1 blocks are unpacked exactly to float32 and rounded to bfloat16. A GGUF-loaded model
    refuses `.half()` and carries quantisation settings that `save_pretrained` would write, so its
    tensors move to a newly built `LlamaForCausalLM`.

    Args:
        source: GGUF file, llama architecture.
        folder: existing empty folder for config.json, model.safetensors and the tokenizer.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, LlamaForCausalLM

    place: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    with _quiet():
        loaded = AutoModelForCausalLM.from_pretrained(
            source.parent, quantization_config=GgufConfig(dequantize=True), **place
        )
        tokenizer = AutoTokenizer.from_pretrained(source.parent, **place)
        config: Any = loaded.config
        config.dtype = torch.bfloat16
        with torch.device("meta"):
            model = LlamaForCausalLM(config)
        state = {key: value.to(torch.bfloat16) for key, value in loaded.state_dict().items()}
        model.load_state_dict(state, strict=True, assign=True)
        model.tie_weights()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def convert_vit_focus(source: Path, folder: Path) -> None:
    """Write the vision encoder of an ONNX graph as a float32 `Dinov2Model`, all 12 blocks.

    The saliency decoder of the graph is left out. Hidden states agree with the graph's to about
    1e-5 on 224 x 224 input (docs/weights.md).

    Args:
        source: ONNX file, exported DINOv2 ViT-S/14 with a decoder behind it.
        folder: existing empty folder for config.json, preprocessor_config.json, model.safetensors.
    """
    import torch
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    tensors = {key: torch.from_numpy(value) for key, value in _dinov2_state(source).items()}
    config = Dinov2Config(
        hidden_size=384,
        num_attention_heads=6,
        num_hidden_layers=12,
        image_size=518,
        patch_size=14,
        use_mask_token=False,
        dtype=torch.float32,
    )
    with _quiet():
        with torch.device("meta"):
            model = Dinov2Model(config)
        model.load_state_dict(tensors, strict=True, assign=True)
        model.save_pretrained(folder)
        BitImageProcessorPil(
            size={"height": 224, "width": 224},
            do_center_crop=False,
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
        ).save_pretrained(folder)


def _dinov2_state(source: Path) -> dict[str, NDArray[np.float32]]:
    """Initialisers of the graph under the names of `Dinov2Model`.

    The exporter kept bias and norm names but gave every matrix a number and its transpose; the
    name of the MatMul node that reads it says which layer it belongs to.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(source).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    state = {
        name.removeprefix("backbone."): array
        for name, array in arrays.items()
        if name.startswith("backbone.")
    }
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in arrays:
            layer = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            state[f"{layer}.weight"] = arrays[node.input[1]].T
    numbered = [array for name, array in arrays.items() if name.startswith("onnx::")]
    positions = [array for array in numbered if array.ndim == 3]
    # One array holds the class token's position, the other the 37 x 37 patch grid.
    positions.sort(key=lambda array: array.shape[1])
    state["embeddings.position_embeddings"] = np.concatenate(positions, axis=1)
    return {_renamed(name): np.array(array, order="C") for name, array in state.items()}


def _renamed(name: str) -> str:
    """The transformers 5 name of a tensor named as in transformers 4."""
    for old, new in (
        ("attention.attention.query", "attention.q_proj"),
        ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
    ):
        name = name.replace(old, new)
    return name


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the progress bars that transformers and gguf write to standard error."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
