"""Scripts that print quoted figures: what is planted must come out."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from vlm_forensics.datasets.base import Sample
from vlm_forensics.evaluation.baselines import BASELINES
from vlm_forensics.evaluation.judged import Case, Judged
from vlm_forensics.taxonomy import Label, Verdict
from vlm_forensics.training_free import SCORES
from vlm_forensics.training_free.measured import markdown
from vlm_forensics.training_free.meter import Meter

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


text = script("text_in_image")
training_free = script("training_free")
results = script("results")


def test_twenty_pictures_of_two_kinds_in_turn() -> None:
    names = [name for name, _ in text.bases()]
    assert len(set(names)) == 20
    assert {name.split()[0] == "scene" for name in names[:2]} == {True, False}
    assert all(min(rgb.shape[:2]) >= 256 for _, rgb in text.bases())


@pytest.mark.parametrize("style", text.STYLES.values(), ids=text.STYLES)
@pytest.mark.parametrize("payload", text.PAYLOADS.values(), ids=text.PAYLOADS)
def test_the_twins_cover_the_same_place(style: object, payload: str) -> None:
    base = np.full((text.SIDE, text.SIDE, 3), 90, np.uint8)
    plain = np.asarray(Image.open(io.BytesIO(text.jpeg(Image.fromarray(base)))), int)
    boxes = []
    for wording in text.WORDINGS:
        data = text.drawn(base, style, payload, wording)
        rows, columns = np.nonzero(np.abs(np.asarray(Image.open(io.BytesIO(data)), int) - plain)
                                   .max(2) > 60)  # fmt: skip
        boxes.append((columns.min(), rows.min(), columns.max(), rows.max()))
        assert columns.max() - columns.min() < text.SIDE
    apart = np.abs(np.subtract(boxes[1:], boxes[0])).max()
    assert apart <= 20, "as far apart as one letter is wide"


def test_flips_beyond_the_twin_are_found() -> None:
    real, forged = Verdict.REAL, Verdict.SYNTHETIC
    found = [text.Case(f"b{n % 5}", "s", "p", forged, real if n < 30 else forged,
                       real if n < 10 else forged, real if n < 25 else forged)
             for n in range(100)]  # fmt: skip
    figures = text.overall(found)
    assert figures["flipped by a payload"].value == pytest.approx(0.3)
    assert figures["flipped by neutral words"].value == pytest.approx(0.1)
    assert text.excess(found).value == pytest.approx(0.2)
    assert text.excess(found, 2).value == pytest.approx(0.05)
    assert figures["turned to real by a payload"].value == pytest.approx(0.3)
    assert figures["payload and words judged differently"].value == pytest.approx(0.2)
    assert figures["words and letters judged differently"].value == pytest.approx(0.15)


@pytest.mark.parametrize("payload", text.PAYLOADS.values(), ids=text.PAYLOADS)
def test_shuffled_letters_are_the_same_and_say_nothing(payload: str) -> None:
    other = text.shuffled(payload)
    assert other != payload
    assert sorted(other) == sorted(payload)
    assert [n for n, x in enumerate(other) if x == " "] == [n for n, x in enumerate(payload)
                                                            if x == " "]  # fmt: skip
    assert not {"real", "synthetic", "tampered"} & set(other.lower().split())


def test_every_case_is_judged_with_and_without_the_payload() -> None:
    asked: list[bytes] = []

    def judge(data: bytes) -> Verdict:
        asked.append(data)
        return Verdict.REAL

    chosen = list(text.bases())[:1]
    found = text.cases(chosen, judge)
    assert len(found) == len(text.STYLES) * len(text.PAYLOADS)
    assert len(set(asked)) == len(asked) > 1 + len(found)


def case(n: int, label: Label, split: str) -> Case:
    """The first score ranks perfectly, and the others not at all."""
    shift = 100.0 * (label is not Label.REAL)
    names = [baseline.name for baseline in BASELINES if not baseline.calls]
    values = {name: (float(n % 7),) for name in names} | {names[0]: (n + shift,)}
    sample = Sample(path=Path(f"{n}.png"), label=label, split=split, source="s")
    return Case(sample, Judged(classes=(0.5, 0.5, 0.0), baselines=values))


def test_a_perfect_score_has_auc_one_and_is_flagged() -> None:
    cases = {split: [case(n, label, split) for label in Label for n in range(40)]
             for split in ("val", "test")}  # fmt: skip
    found = training_free.measured(cases, "python script", Meter(None))
    test = found.splits[1]
    rows = {row.name: row for row in test.rows}
    assert rows.keys() == {score.name for score in SCORES} | {"combined", "vlmf-mini"}
    best, other = rows[SCORES[0].name], rows[SCORES[1].name]
    assert best.auc["synthetic"].value == 1
    assert best.flagged["synthetic"].value == 1
    assert best.flagged["real"].value <= 0.05
    assert other.auc["synthetic"].value == pytest.approx(0.5)
    assert other.flagged["synthetic"].value <= 0.05
    assert markdown(found).count(f"`{SCORES[0].name}`") == 2


def test_a_second_run_that_prints_another_table_is_noticed(monkeypatch, capsys) -> None:
    def planted(request):
        return f"{request.split} again" if request.fresh and request.split == "test" else "same"

    monkeypatch.setattr(results, "table", planted)
    with pytest.raises(SystemExit, match="another table: test"):
        results.main(["--data", ".", "--check"])
    monkeypatch.setattr(results, "table", lambda _: "same")
    results.main(["--data", ".", "--check"])
    assert "printed the same" in capsys.readouterr().out
