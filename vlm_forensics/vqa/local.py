"""Loading a stock image-text model and its processor from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlm_forensics.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_model(folder: Path) -> PreTrainedModel:
    """The model, in the number format of its weights, on the GPU if there is one.

    Raises:
        WeightsError: a file cannot be read.
        ModelError: configuration and weights do not fit, or memory does not suffice.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    from vlm_forensics.engine import loading, quieten

    quieten()
    load: Any = AutoModelForImageTextToText.from_pretrained
    with loading():
        model, info = load(folder, dtype="auto", use_safetensors=True, local_files_only=True,
                           trust_remote_code=False, output_loading_info=True)  # fmt: skip
        if info["missing_keys"]:  # they would be random numbers
            raise ValueError("tensors are missing")
        device: Any = "cuda" if torch.cuda.is_available() else "cpu"
        found: PreTrainedModel = model.to(device)
    return found


def load_processor(folder: Path) -> Any:
    """The folder's processor, or for a family that we know one without its video part.

    Stock processors of Qwen and InternVL ask for torchvision, which only their video part needs.

    Raises:
        ModelError: `model_unsupported`, there is none that works here.
    """
    from transformers import AutoConfig, AutoProcessor

    load: Any = AutoProcessor.from_pretrained
    plain: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(folder, **plain)
    except (OSError, ValueError, KeyError) as error:
        raise _unsupported(folder, "it has no configuration that transformers knows") from error
    try:
        return load(folder, **plain)
    except (OSError, ImportError, ValueError, TypeError, AttributeError):
        return _known_processor(folder, config, plain)


def _known_processor(folder: Path, config: Any, plain: dict[str, Any]) -> Any:
    from transformers import AutoImageProcessor, AutoTokenizer

    from vlm_forensics import backbones

    load: Any = AutoImageProcessor.from_pretrained
    family = backbones.for_config(config)
    try:
        pictures = load(folder, **plain)
        tokenizer = AutoTokenizer.from_pretrained(folder, **plain)
        return family.build_processor(pictures, tokenizer, config)
    except (OSError, ImportError, ValueError, TypeError, AttributeError) as error:
        raise _unsupported(folder, "its processor cannot be loaded") from error


def _unsupported(folder: Path, why: str) -> ModelError:
    return ModelError("model_unsupported", f"{folder.name} cannot be asked: {why}",
                      hint="give a folder with an image-text model, its processor and its tokenizer"
                      )  # fmt: skip
