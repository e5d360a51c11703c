"""Detection without transformers gives what the assembled model gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_models import model_of

from vlm_forensics.model import light


def test_outputs_equal_those_of_the_assembled_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = model_of("internvl").eval()
    with torch.no_grad():
        for name, parameter in whole.named_parameters():
            if "lambda" in name or "cls_token" in name or "position_embeddings" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.5)
    whole.save_pretrained(tmp_path)
    config = light.read_config(tmp_path)
    assert light.fits(config)
    found = light.load(tmp_path, config).eval()
    size = config.backbone_config.vision_config.image_size[0]
    for side in (size, 2 * size):  # the second needs other positions
        pixels = torch.randn(2, 3, side, side)
        overview, tiles = torch.rand(2, 3, 64, 96) * 255, torch.rand(2, 1, 3, 64, 64) * 255
        with torch.inference_mode():
            ours, theirs = (m.detect(pixels, overview, tiles) for m in (found, whole))
        torch.testing.assert_close(ours.mask_logits, theirs.mask_logits)
        for name in ("class_logits", "operation_logits", "tile_logits", "evidence"):
            torch.testing.assert_close(getattr(ours.adapter, name), getattr(theirs.adapter, name))


def test_other_towers_do_not_fit(tmp_path: Path) -> None:
    model_of("llava").save_pretrained(tmp_path)
    assert not light.fits(light.read_config(tmp_path))


def test_a_missing_tensor_is_an_error(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model_of("internvl").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    state = {k: v for k, v in load_file(path).items() if "tile_head" not in k}
    save_file(state, path)
    with pytest.raises(RuntimeError, match="tile_head"):
        light.load(tmp_path, light.read_config(tmp_path))


def test_transformers_is_not_imported() -> None:
    code = "import sys, vlm_forensics.engine; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
