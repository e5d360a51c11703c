"""Every supported family runs the mode as a tiny random model; its babble is never an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_families import BUILDERS
from vqa_contract import check_engine
from vqa_models import save, save_parrot
from vqa_server import NOTHING, SIGN

from vlm_forensics.endpoint import AnswerError
from vlm_forensics.errors import ModelError, WeightsError
from vlm_forensics.image import EvidenceImage
from vlm_forensics.taxonomy import Verdict
from vlm_forensics.vqa.engines import LocalEngine
from vlm_forensics.vqa.examiner import VqaExaminer
from vlm_forensics.vqa.pictures import picture

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # PaliGemma's, inside


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(request.param, tmp_path_factory.mktemp(request.param) / "tiny-vlm")


def test_babble_is_unparsed_and_inconclusive(folder: Path, image: EvidenceImage) -> None:
    engine = LocalEngine.load(folder, max_tokens=6)
    report = VqaExaminer(engine).examine(image).report
    assert report.verdict is Verdict.INCONCLUSIVE
    assert [reason.code for reason in report.reasons] == ["unparsed"]
    assert report.parse_status == "unparsed"
    assert report.probability is report.score is None
    assert report.vqa is not None
    assert (report.vqa.stopped, report.vqa.chosen_by) == ("unreadable", "fallback")
    assert all(probe.state == "unparsed" for probe in report.vqa.probes)
    assert report.vqa.output_tokens > 0
    assert {"model.safetensors", "config.json"} <= report.model.digests.keys()
    assert type(report).from_json(report.to_json()) == report


def test_the_question_and_the_picture_reach_the_model(folder: Path, image: EvidenceImage) -> None:
    engine = LocalEngine.load(folder)
    shown = picture(image)
    given = engine._inputs("Is it real?", shown)
    assert given["pixel_values"].numel() > 0
    text = engine._tokenizer.decode(given["input_ids"][0])
    assert text.count("Is it real?") == 1
    bos = engine._tokenizer.bos_token
    assert not text.removeprefix(bos).startswith(bos)
    with torch.inference_mode():
        one = engine._model(**given).logits[0, -1]
        other = engine._model(**given | {"pixel_values": 0.1 * given["pixel_values"]}).logits[0, -1]
    assert not torch.equal(one, other)


def test_a_question_about_text_alone_needs_no_picture(folder: Path) -> None:
    engine = LocalEngine.load(folder, max_tokens=3)
    with pytest.raises(AnswerError) as caught:
        engine.answer("Decide.", None)
    assert caught.value.code in {"answer_truncated", "answer_empty"}


@pytest.mark.parametrize(("answer", "sets", "verdict"), [
    (NOTHING, ("people", "tampering"), Verdict.REAL),
    (SIGN, ("people",), Verdict.SYNTHETIC),
    (SIGN, ("people", "tampering"), Verdict.INCONCLUSIVE),
])  # fmt: skip
def test_answers_of_a_local_model_become_a_verdict(
    tmp_path: Path, image: EvidenceImage, answer: str, sets: tuple[str], verdict: Verdict
) -> None:
    engine = LocalEngine.load(save_parrot(answer, tmp_path / "parrot"))
    check_engine(engine, image)
    assert engine.usage.output == 6  # each time the answer and the end
    assert engine.answer("Is it real?", picture(image)) == answer
    report = VqaExaminer(engine, sets=sets).examine(image).report
    assert (report.verdict, report.parse_status) == (verdict, "ok")


def test_the_folder_s_own_template_is_used(tmp_path: Path, image: EvidenceImage) -> None:
    folder = save("llava", tmp_path / "tiny-vlm")
    own = ("{% for part in messages[0]['content'] %}{% if part['type'] == 'image' %}<image>"
           "{% else %}[[{{ part['text'] }}]]{% endif %}{% endfor %}")  # fmt: skip
    (folder / "chat_template.jinja").write_text(own)
    engine = LocalEngine.load(folder)
    assert engine._turn("Real?", with_picture=True) == "<image>[[Real?]]"
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")  # of a text model
    plain = LocalEngine.load(folder)
    assert plain._turn("Real?", with_picture=True).startswith("USER: <image>")
    assert plain._inputs("Real?", picture(image))["pixel_values"].numel() > 0


def test_what_cannot_be_loaded_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        LocalEngine.load(tmp_path / "none")
    assert caught.value.code == "weights_missing"
    (tmp_path / "config.json").write_text('{"model_type": "unheard_of"}')
    with pytest.raises(ModelError) as unsupported:
        LocalEngine.load(tmp_path)
    assert unsupported.value.code == "model_unsupported"
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(WeightsError) as unsafe:
        LocalEngine.load(tmp_path)
    assert unsafe.value.code == "weights_unsafe"
