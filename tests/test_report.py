"""The report's schema is a contract: it changes only together with its golden files."""

import importlib.util
import io
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from doubles import examination
from PIL import Image
from pydantic import ValidationError

from vlm_forensics.image import EvidenceImage
from vlm_forensics.report import Report, json_schema
from vlm_forensics.taxonomy import Verdict

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "report.json"
DOCS = HERE.parent / "docs"


@pytest.fixture(scope="module")
def image():
    y, x = np.mgrid[0:48, 0:64]
    pixels = np.stack([x * 4, y * 5, (x * y) % 256], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")  # no encoder version decides these bytes
    return EvidenceImage.from_bytes(buffer.getvalue(), "ramp.bmp")


def test_a_report_is_written_as_the_golden_file_says(image):
    report = examination(image).report
    assert json.loads(report.to_json()) == json.loads(GOLDEN.read_text())


def test_the_golden_file_reads_back_unchanged():
    text = GOLDEN.read_text().strip()
    assert Report.from_json(text).to_json() == text


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_satisfies_the_published_schema(image, verdict):
    published = json.loads((DOCS / "report.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.validate(json.loads(examination(image, verdict).report.to_json()), published)


def test_the_published_schema_is_current():
    assert json.loads((DOCS / "report.schema.json").read_text()) == json_schema()


def test_the_generated_pages_are_current():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.stale() == [], "run: python docs/generate.py"


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": "9.9"},
        {"verdict": "fake"},
        {"surprise": 1},
        {"image": {"name": "x"}},
    ],
)
def test_what_is_not_a_report_of_this_schema_is_refused(change):
    broken = json.loads(GOLDEN.read_text()) | change
    with pytest.raises(ValidationError):
        Report.from_json(json.dumps(broken))


def test_the_sentence_names_strength_and_probability_and_never_claims_proof(image):
    sentences = {v: examination(image, v).report.sentence() for v in Verdict}
    assert "strong evidence that the image is tampered" in sentences[Verdict.TAMPERED]
    assert "86%" in sentences[Verdict.TAMPERED]
    assert "no evidence of forgery found" in sentences[Verdict.REAL]
    assert "It lies between the thresholds." in sentences[Verdict.INCONCLUSIVE]
    assert not any(word in " ".join(sentences.values()) for word in ("fake", "prove"))
