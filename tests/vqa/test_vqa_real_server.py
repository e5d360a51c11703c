"""The real server of transformers, with tiny models; without its extra this is skipped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from vqa_models import save, save_parrot
from vqa_server import NOTHING

from vlm_forensics.backbones.llava import FAMILY
from vlm_forensics.endpoint import Access
from vlm_forensics.image import EvidenceImage
from vlm_forensics.taxonomy import Verdict
from vlm_forensics.vqa.engines import EndpointEngine
from vlm_forensics.vqa.examiner import VqaExaminer

STARTS_WITHIN = 120


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """URL of the running server, which loads the folder that a request names."""
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available():
        pytest.skip("pip install 'transformers[serving]'")
    port = free_port()
    command = [str(Path(sys.executable).with_name("transformers")), "serve",
               "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib3.request("GET", url, retries=False, timeout=2.0)
        except urllib3.exceptions.HTTPError:
            time.sleep(0.5)
        else:
            return
    pytest.fail("the server did not start")


def test_babble_of_a_real_server_is_inconclusive(
    served: str, image: EvidenceImage, tmp_path: Path
) -> None:
    folder = save("llava", tmp_path / "tiny-vlm")
    (folder / "chat_template.jinja").write_text(FAMILY.chat_template)
    engine = EndpointEngine(served, str(folder), Access(retries=0), max_tokens=8)
    report = VqaExaminer(engine).examine(image).report
    assert report.verdict is Verdict.INCONCLUSIVE
    assert [reason.code for reason in report.reasons] == ["unparsed"]
    assert report.vqa is not None
    assert report.vqa.stopped == "unreadable"
    assert {a.why for p in report.vqa.probes for a in p.answers} == {"answer_truncated"}
    assert report.vqa.output_tokens == 5 * 8  # the router and four probes
    assert report.vqa.uncounted == 0


def test_answers_of_a_real_server_become_a_verdict(
    served: str, image: EvidenceImage, tmp_path: Path
) -> None:
    folder = save_parrot(NOTHING, tmp_path / "parrot")
    engine = EndpointEngine(served, str(folder), Access(retries=0))
    report = VqaExaminer(engine, sets=["people", "tampering"]).examine(image).report
    assert (report.verdict, report.parse_status) == (Verdict.REAL, "ok")
    assert report.vqa is not None
    assert report.vqa.stopped == "settled"


BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "text_in_image.py"


def benchmark(*words: str) -> str:
    """What the benchmark prints for one payload on one picture."""
    command = [sys.executable, str(BENCHMARK), *words, "--limit", "1", "--payload", "command",
               "--style", "stamp"]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=280).stdout


def test_text_in_pictures_is_tried_on_a_real_server(served: str, tmp_path: Path) -> None:
    out = benchmark("--engine", "endpoint", "--model", f"{save_parrot(NOTHING, tmp_path)}@{served}")
    assert "an answer could be read on 4 of 4 pictures" in out
    assert "| excess over neutral words (at most 0.02) | 0.000" in out


def test_text_in_pictures_says_when_a_model_says_nothing(tmp_path: Path) -> None:
    folder = save("llava", tmp_path / "tiny-vlm")
    out = benchmark("--engine", "vlm", "--model", str(folder), "--max-tokens", "8")
    assert "an answer could be read on 0 of 4 pictures" in out
    assert "the figures say nothing about injections" in out
