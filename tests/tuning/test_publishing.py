"""Uploads: what is checked without network, and the requests that reach a Hub.

The Hub is a local server that answers as much of its API as an upload of small files needs; the
client is huggingface_hub's own.
"""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from typer.testing import CliRunner

from vlm_forensics import adapters, assembly
from vlm_forensics.cli import app
from vlm_forensics.errors import HubError, InputError, VlmfError, WeightsError
from vlm_forensics.tuning import exporting, model_card, publishing, run, settings

CARD = "---\nlicense: mit\nlibrary_name: vlm_forensics\npipeline_tag: image-text-to-text\n" \
       "base_model: a/b\n---\n# A model\n"  # fmt: skip


class Hub(BaseHTTPRequestHandler):
    """Answers, and keeps what was asked."""

    asked: list[tuple[str, str | None, bytes]]
    refuse: dict[str, int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        self.asked.append((self.path, self.headers["authorization"], body))
        place = next((part for part in self.refuse if part in self.path), None)
        if place:
            return self._answer(self.refuse[place], {"error": "no"})
        host = f"http://{self.headers['host']}"
        if self.path.endswith("/preupload/main"):
            named = [one["path"] for one in json.loads(body)["files"]]
            files = [{"path": path, "uploadMode": "regular", "shouldIgnore": False}
                     for path in named]  # fmt: skip
            return self._answer(200, {"files": files})
        if self.path.endswith("/commit/main"):
            return self._answer(200, {"commitUrl": f"{host}/me/x/commit/{'a' * 40}",
                                      "commitOid": "a" * 40})  # fmt: skip
        return self._answer(200, {"url": f"{host}/me/x"})

    def _answer(self, status: int, found: dict[str, Any]) -> None:
        data = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Hub]]:
    handler = type("OneHub", (Hub,), {"asked": [], "refuse": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT",
                        f"http://127.0.0.1:{server.server_port}")  # fmt: skip
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.hf_api, "is_xet_available", lambda: False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    yield handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What an export leaves, as far as uploading looks at it."""
    out = tmp_path / "exported"
    out.mkdir()
    (out / "README.md").write_text(CARD, encoding="utf-8")
    (out / "config.json").write_text('{"model_type": "vlm_forensics"}', encoding="utf-8")
    (out / adapters.BASE).write_text('{"model": "vlmf-mini"}', encoding="utf-8")
    (out / "lora").mkdir()
    (out / "lora" / "adapter_config.json").write_text('{"r": 2}', encoding="utf-8")
    assembly.seal(out)
    return out


def test_a_plan_lists_every_file_and_uses_no_network(folder: Path, hub: type[Hub]) -> None:
    upload = publishing.plan(folder, "me/x")
    listed = {item.name: item.bytes for item in upload.files}
    assert listed == {path.relative_to(folder).as_posix(): path.stat().st_size
                      for path in folder.rglob("*") if path.is_file()}  # fmt: skip
    assert upload.bytes == sum(listed.values())
    assert (upload.problems, upload.notes) == ((), ())
    assert not hub.asked


def test_what_others_could_not_use_is_a_problem(folder: Path, tmp_path: Path) -> None:
    (folder / adapters.BASE).write_text(json.dumps({"model": str(tmp_path)}), encoding="utf-8")
    (folder / "training.json").write_text(json.dumps({"data": [str(tmp_path)]}), encoding="utf-8")
    (folder / "README.md").write_text("---\nlanguage: en\n---\n", encoding="utf-8")
    assembly.seal(folder)
    upload = publishing.plan(folder, "me/x")
    assert "--merged" in upload.problems[0]
    assert upload.problems[1] == "training.json names a folder of this machine"
    assert "the card names no license" in upload.notes
    assert str(tmp_path) not in json.dumps(upload.as_json())
    with pytest.raises(InputError) as refused:
        publishing.push(upload)
    assert refused.value.code == "not_publishable"


@pytest.mark.parametrize(
    ("repo", "change", "code"),
    [
        ("not a name", "", "bad_repo"),
        ("a/b/c", "", "bad_repo"),
        ("me/x", "README.md", "bad_card"),
        ("me/x", "config.json", "weights_corrupt"),
        ("me/x", "run.py", "weights_corrupt"),
    ],
)
def test_a_folder_is_refused(folder: Path, repo: str, change: str, code: str) -> None:
    if change:
        (folder / change).write_text("---\n[\n---\n", encoding="utf-8")
    with pytest.raises(VlmfError) as refused:
        publishing.plan(folder, repo)
    assert refused.value.code == code


def test_a_missing_card_and_code_are_refused(folder: Path) -> None:
    (folder / "README.md").unlink()
    with pytest.raises(InputError) as refused:
        publishing.plan(folder, "me/x")
    assert refused.value.code == "bad_card"
    (folder / "run.py").write_text("1", encoding="utf-8")
    assembly.seal(folder)
    with pytest.raises(WeightsError) as unsafe:
        publishing.plan(folder, "me/x")
    assert unsafe.value.code == "weights_unsafe"


def test_an_upload_sends_the_bytes_that_were_planned(folder: Path, hub: type[Hub]) -> None:
    upload = publishing.plan(folder, "me/x")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "secret").write_text("1", encoding="utf-8")
    assert publishing.push(upload, private=True).endswith("a" * 40)
    paths = [path for path, _, _ in hub.asked]
    assert paths[0] == "/api/validate-yaml"
    assert paths[1] == "/api/repos/create"
    made = json.loads(hub.asked[1][2])
    assert (made["name"], made["organization"], made["visibility"]) == ("x", "me", "private")
    sent = [json.loads(line) for line in hub.asked[-1][2].splitlines()]
    files = {one["value"]["path"]: base64.b64decode(one["value"]["content"])
             for one in sent if one["key"] == "file"}  # fmt: skip
    assert files == {item.name: (folder / item.name).read_bytes() for item in upload.files}
    assert {token for path, token, _ in hub.asked if path != "/api/validate-yaml"} == {
        "Bearer hf_test"}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "status", "code"),
    [
        ("validate-yaml", 400, "bad_card"),
        ("repos/create", 401, "hub_unauthorized"),
        ("repos/create", 403, "hub_unauthorized"),
        ("commit", 413, "hub_refused"),
    ],
)
def test_what_the_hub_refuses_is_said(
    folder: Path, hub: type[Hub], place: str, status: int, code: str
) -> None:
    hub.refuse[place] = status
    with pytest.raises(VlmfError) as refused:
        publishing.push(publishing.plan(folder, "me/x"))
    assert refused.value.code == code
    assert refused.value.hint


def test_no_token_and_no_network(
    folder: Path, hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = publishing.plan(folder, "me/x")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError) as refused:
        publishing.push(upload)
    assert refused.value.code == "hub_no_token"
    assert not [path for path, _, _ in hub.asked if "commit" in path]
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError) as refused:
        publishing.push(upload)
    assert refused.value.code == "hub_unreachable"


def finished_run(tiny_folder: Path, tmp_path: Path) -> Path:
    out = tmp_path / "runs" / "sft"
    shutil.copytree(tiny_folder, out / run.MODEL)
    record = {"settings": {"model": str(tmp_path), "data": {
        "train": [str(tmp_path / "train")], "val": [], "cache": str(tmp_path)}}}  # fmt: skip
    (out / run.MODEL / run.RECORD).write_text(json.dumps(record), encoding="utf-8")
    (out / run.MODEL / "README.md").write_text(CARD, encoding="utf-8")
    assembly.seal(out / run.MODEL)
    return out


def test_an_export_forgets_folders(tiny_folder: Path, tmp_path: Path) -> None:
    made = exporting.export(finished_run(tiny_folder, tmp_path), tmp_path / "out", merged=False)
    text = (made / run.RECORD).read_text("utf-8")
    assert str(tmp_path) not in text
    assert json.loads(text)["settings"]["data"]["train"] == ["train"]
    assert publishing.plan(made, "me/x").problems == ()


def test_the_command_tries_and_uploads(tiny_folder: Path, tmp_path: Path, hub: type[Hub]) -> None:
    runner, folder = CliRunner(), str(finished_run(tiny_folder, tmp_path))
    common = ["train", "export", folder, "--push-to-hub", "me/x"]
    tried = runner.invoke(app, [*common, "--dry-run"], catch_exceptions=False)
    assert tried.exit_code == 0, tried.output
    assert "config.json" in tried.stdout
    assert "in all, to me/x" in tried.stdout
    assert "nothing was uploaded" in tried.stdout
    assert not hub.asked
    listed = runner.invoke(app, [*common, "--dry-run", "--json"], catch_exceptions=False)
    assert json.loads(listed.stdout)["dry_run"] is True
    sent = runner.invoke(app, [*common, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert sent.stdout.rstrip().endswith("a" * 40)
    assert (tmp_path / "out" / "config.json").is_file()
    refused = (["--dry-run"], ["--out", str(tmp_path / "y"), "--private"],
               ["--push-to-hub", "me/x", "--offline"])  # fmt: skip
    for arguments in refused:
        missing = runner.invoke(app, ["train", "export", folder, *arguments])
        assert missing.exit_code == 2


def test_front_matter_names_what_it_stands_on(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    tuned = tmp_path / "runs" / "sft" / "model"
    tuned.mkdir(parents=True)
    (tuned / adapters.BASE).write_text('{"model": "vlmf-mini"}', encoding="utf-8")
    figures = {"parse rate": [1.0, 1.0, 1.0]}
    validation = {when: {"figures": figures} for when in ("before", "after")}
    record = {"steps": 3, "examples": {"train": 4, "val": 5}, "versions": {},
              "validation": validation}  # fmt: skip
    for name, model, base in (("laptop-grpo", str(tuned), model_card.LANGUAGE_MODEL),
                              ("laptop-sft", "org/model", "org/model"),
                              ("laptop-sft", str(tmp_path), None)):  # fmt: skip
        found = settings.read(name, [f"model={model}", f"data.cache={tmp_path}"])
        text = model_card.text(found, record)
        card = ModelCard(text)
        assert card.data.get("base_model") == base
        assert card.data["tags"] == ["image-forensics", found.stage]
        assert str(tmp_path) not in text
        assert "# sft after GRPO" in text or found.stage == "sft"
