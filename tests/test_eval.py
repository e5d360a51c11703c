"""`vlmf eval` end to end with a scripted detector: bugs planted here must change a figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import doubles
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from vlm_forensics import cli, decoding, errors, image
from vlm_forensics.datasets.base import AnnotatedBox, Sample
from vlm_forensics.evaluation import (
    baselines,
    evaluate,
    explanation_level,
    judge,
    metrics,
    plots,
    protocols,
    robustness,
    running,
    writing,
)
from vlm_forensics.evaluation.conditions import CONDITIONS, FILE, SQUARE, WHOLE
from vlm_forensics.evaluation.judged import Case, Explained, Judged, Look
from vlm_forensics.evaluation.results import Cell, Evaluation, Value
from vlm_forensics.image import EvidenceImage
from vlm_forensics.taxonomy import Artifact, Label, Verdict

HEADER = "path,label,split,source,mask,generator,category,explanation,artifacts,boxes"


class Scripted(doubles.Detector):
    """Says what the file's name begins with; `unparsed`, `refused` and `unsure` say nothing."""

    asked: list[str] = []  # noqa: RUF012

    def examine(self, image: EvidenceImage) -> doubles.Examination:
        self.asked.append(image.name)
        word = image.name.split("_")[0]
        if word == "refused":
            raise errors.ModelError("out_of_memory", "too large", hint="")
        verdict = {"unparsed": Verdict.TAMPERED, "unsure": Verdict.INCONCLUSIVE}.get(word)
        found = doubles.examination(image, verdict or Verdict(word))
        if word == "unparsed":
            report = found.report.model_copy(update={"parse_status": "unparsed"})
            return doubles.Examination(image, report, found.heatmap)
        return doubles.Examination(image, found.report, doubles.heatmap_of(image))


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Scripted]:
    monkeypatch.setattr(Scripted, "asked", [])
    monkeypatch.setattr(judge.Judge, "load", lambda _, rationale: judge.Judge(Scripted(rationale)))  # type: ignore[arg-type]
    monkeypatch.setattr(running, "model_digest", lambda _: "digest")
    monkeypatch.setattr(image, "decode_isolated", decoding.decode)  # no process per picture
    monkeypatch.setattr(metrics.bootstrap, "__defaults__", (20, 0))
    monkeypatch.setattr(baselines, "shortcut_scores", lambda _, positive: np.zeros(len(positive)))
    monkeypatch.setenv("VLMF_CACHE", str(tmp_path / "cache"))
    running._loaded.cache_clear()
    return Scripted


def rgb_of(seed: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def blob_mask(path: Path) -> np.ndarray:
    """Where the scripted detector marks this file, stored grid."""
    return np.asarray(doubles.heatmap_of(EvidenceImage.open(path)) >= 0.5)


class Folder:
    """An indexed dataset in the making."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows = [HEADER]
        root.mkdir()

    def add(self, name: str, label: str, **cells: str) -> Path:
        """One picture; `name` is also what the detector will say."""
        path = self.root / name
        Image.fromarray(rgb_of(len(self.rows))).save(path)
        row = {"path": name, "label": label, "split": "test", "source": "s"} | cells
        self.rows.append(",".join(row.get(column, "") for column in HEADER.split(",")))
        self.save()
        return path

    def masked(self, name: str, **cells: str) -> Path:
        """A tampered picture whose mask is exactly what the detector marks."""
        path = self.add(name, "tampered", mask=f"{name}.mask.png", **cells)
        Image.fromarray(blob_mask(path)).save(self.root / f"{name}.mask.png")
        return path

    def save(self) -> None:
        (self.root / "index.csv").write_text("\n".join(self.rows) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data")


def evaluated(folder: Folder, **options: object) -> Evaluation:
    cache = folder.root.parent / "judged.jsonl"
    return evaluate.evaluate(evaluate.Request((folder.root,), cache, **options))  # type: ignore[arg-type]


def figure(found: Evaluation, name: str) -> float | None:
    return found.figures[name].value


def rows_of(found: Evaluation, name: str) -> dict[str, Sequence[Cell]]:
    table = found.table(name)
    assert table is not None
    return {str(row[0]): row[1:] for row in table.rows}


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.app, ["eval", *words])


def test_a_perfect_detector_scores_one(folder: Folder) -> None:
    for label in ("real", "synthetic", "tampered"):
        for n in range(2):
            folder.add(f"{label}_{n}.png", label, generator="" if label == "real" else f"g{n}")
    found = evaluated(folder)
    assert [figure(found, name) for name in ("accuracy", "macro_f1", "auc", "coverage")] == [1] * 4
    assert [figure(found, name) for name in ("risk", "fpr_on_reals", "no_answer")] == [0] * 3
    assert rows_of(found, "confusion")["tampered"] == (0, 0, 2, 0, 0)
    assert rows_of(found, "methods")["majority class"][2] == Value(value=0.5, low=0.5, high=0.5)
    assert set(rows_of(found, "generators")) == {"g0", "g1"}
    assert rows_of(found, "shortcuts")["after: format, size, quantiser"][0].value == 0.5  # type: ignore[union-attr]
    assert found.counts == {"real": 2, "synthetic": 2, "tampered": 2}


def test_planted_swapped_labels_turn_every_figure_round(folder: Folder) -> None:
    for n in range(3):
        folder.add(f"synthetic_{n}.png", "real")
        folder.add(f"real_{n}.png", "synthetic")
    found = evaluated(folder)
    assert [figure(found, name) for name in ("accuracy", "macro_f1", "auc")] == [0] * 3
    assert [figure(found, name) for name in ("risk", "fpr_on_reals")] == [1] * 2


def test_planted_dropped_parse_failure_would_raise_the_accuracy(folder: Folder) -> None:
    for n in range(3):
        folder.add(f"real_{n}.png", "real")
    folder.add("unparsed_0.png", "tampered")  # the class head is right and the text is not
    found = evaluated(folder)
    assert figure(found, "accuracy") == 0.75
    assert figure(found, "balanced_accuracy") == 0.5
    assert figure(found, "no_answer") == 0.25
    assert rows_of(found, "confusion")["tampered"] == (0, 0, 0, 0, 1)


def test_planted_dropped_failure_is_wrong_in_ranking_too(folder: Folder) -> None:
    folder.add("real_0.png", "real")
    folder.masked("tampered_0.png")
    folder.masked("refused_0.png")
    found = evaluated(folder)
    assert found.failed == {"out_of_memory": 1}
    assert found.skipped == ()
    assert figure(found, "auc") == 0.5
    assert figure(found, "accuracy") == pytest.approx(2 / 3, abs=1e-6)
    assert figure(found, "pixel_f1") == 0.5
    assert "counted as wrong: out_of_memory 1" in writing.to_markdown(found)


def test_planted_threshold_of_the_test_split_would_find_verdicts(folder: Folder) -> None:
    for n in range(3):
        folder.add(f"real_{n}.png", "real")
        folder.add(f"unsure_{n}.png", "synthetic")
    found = evaluated(folder)
    assert figure(found, "auc") == 1  # some cut on these pictures separates them
    assert figure(found, "balanced_accuracy") == 0.5  # the shipped thresholds do not
    assert (figure(found, "coverage"), figure(found, "risk")) == (0.5, 0)


def test_cuts_of_maps_come_from_validation_alone(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(baselines, "best_cuts", lambda maps: seen.append(len(maps)) or {"ela": 3})
    for n in range(3):
        folder.masked(f"tampered_{n}.png", split="val" if n == 0 else "test")
    found = evaluated(folder)
    assert seen == [1]
    assert "pixel F1, ela map, validation cut" in rows_of(found, "pixels_baselines")
    for split in ("val", "all"):
        found = evaluated(folder, split=split)
        assert "pixel F1, ela map, validation cut" not in rows_of(found, "pixels_baselines")
        assert evaluate.ON_VAL in found.warnings
    assert seen == [1]


@pytest.mark.parametrize("equalised", [True, False])
def test_planted_exif_rotation_would_shift_the_mask(folder: Folder, equalised: bool) -> None:
    folder.add("real_0.png", "real")
    path = folder.masked("tampered_0.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgb_of(9)).save(path, exif=exif)
    assert EvidenceImage.open(path).orientation == 6
    found = evaluated(folder, equalised=equalised)
    assert figure(found, "pixel_f1") == 1
    assert figure(found, "giou") == 1
    with Image.open(f"{path}.mask.png") as mask:
        mask.transpose(Image.Transpose.ROTATE_270).save(f"{path}.mask.png")
    turned = evaluated(folder, equalised=equalised)
    assert {item.code for item in turned.skipped} == {"mask_size"}


def test_masks_end_to_end_and_by_oracle(folder: Folder) -> None:
    folder.masked("tampered_0.png")
    folder.masked("real_0.png")  # missed, though its heat map is right
    folder.add("real_1.png", "real")
    folder.add("tampered_1.png", "real")  # a mask on a real picture
    found = evaluated(folder)
    assert figure(found, "pixel_f1") == 0.5
    assert figure(found, "giou_tampered") == 0.5
    assert figure(found, "giou") == 0.5
    assert figure(found, "ciou") == pytest.approx(1 / 3, abs=0.001)
    names = rows_of(found, "pixels")
    assert names["share of reals shown a mask"][0].value == 0.5  # type: ignore[union-attr]
    assert names["n tampered"] == (2,)
    assert "oracle" in writing.to_markdown(found).lower()
    assert figure(found, "oracle_pixel_f1") == figure(found, "oracle_ciou") == 1


def test_truth_follows_the_picture_into_the_square(folder: Folder) -> None:
    path = folder.add("real_0.png", "tampered")
    sample = Sample(path, Label.TAMPERED, "test", "s", boxes=(AnnotatedBox(20, 0, 60, 120),))
    square = judge.annotated_places(sample, SQUARE, (256, 256))
    assert square is not None
    assert square[:, :126].all()  # columns 20 to 80 of 160 are the left half of the square
    assert not square[:, 130:].any()
    whole = judge.annotated_places(sample, WHOLE, (120, 160))
    assert whole is not None
    assert whole.sum() == 60 * 120
    assert judge.annotated_places(Sample(path, Label.REAL, "test", "s"), FILE, (9, 9)) is None


def test_results_are_kept_and_a_rerun_is_identical(
    folder: Folder, scripted: type[Scripted]
) -> None:
    folder.add("real_0.png", "real")
    folder.masked("tampered_0.png")
    first = evaluated(folder)
    asked = len(scripted.asked)
    assert evaluated(folder).to_json() == first.to_json()
    assert len(scripted.asked) == asked
    assert evaluated(folder, fresh=True).to_json() == first.to_json()
    assert len(scripted.asked) == 2 * asked
    with (folder.root.parent / "judged.jsonl").open("a") as file:
        file.write('{"key": "cut o')  # an interrupted run
    Image.fromarray(np.zeros((120, 160), bool)).save(folder.root / "tampered_0.png.mask.png")
    changed = evaluated(folder)
    assert [item.code for item in changed.skipped] == ["empty_mask"]
    assert Evaluation.model_validate_json(first.to_json()) == first


def test_robustness_counts_flips(folder: Folder, scripted: type[Scripted]) -> None:
    folder.add("real_0.png", "real")
    folder.add("synthetic_0.png", "synthetic")
    found = evaluated(folder, robustness=True)
    rows = rows_of(found, "robustness")
    assert list(rows) == ["equalised only", *(condition.name for condition in CONDITIONS)]
    assert rows["jpeg_30"][1].value == 0  # type: ignore[union-attr]
    assert len(scripted.asked) == 2 * (1 + len(CONDITIONS))
    flipped = [Case(case.sample, case.judged.model_copy(update={"verdict": Verdict.REAL}))
               for case in CASES]  # fmt: skip
    table = robustness.table(CASES, {"x": flipped})
    assert [row[2].value for row in table.rows] == [0, 0.5]  # type: ignore[union-attr]


def case(label: Label, verdict: Verdict, explained: Explained | None, **facts: object) -> Case:
    sample = Sample(Path("x"), label, "test", "s", **facts)  # type: ignore[arg-type]
    return Case(sample, Judged(verdict=verdict, classes=(0.2, 0.4, 0.4), explained=explained))


SAID = Explained(
    text="the sky is blue",
    artifacts=(Artifact.PASTED_OBJECT, Artifact.INPAINTED_FILL),
    region=None,
)
CASES = [case(Label.REAL, Verdict.REAL, SAID), case(Label.TAMPERED, Verdict.TAMPERED, SAID)]


def test_explanations_by_hand() -> None:
    silent = Explained(text="nothing", artifacts=(), region=None)
    known = {"explanation": "the sky is green", "artifacts": ("pasted_object", "odd_hands")}
    told = case(Label.TAMPERED, Verdict.TAMPERED, SAID, **known)
    unparsed = Case(told.sample, told.judged.model_copy(update={"parse_status": "unparsed"}))
    cases = [told, unparsed, CASES[0], case(Label.REAL, Verdict.REAL, silent)]
    found = explanation_level.figures(cases, "")
    values = {name: (score.value, count) for name, (score, count) in found.items()}
    assert values["rouge_l"] == (pytest.approx(0.75 / 2), 2)
    assert values["claim_precision"] == (0.5, 2)
    assert values["claim_recall"] == (0.5, 2)
    assert values["hallucination_on_reals"] == (0.5, 2)
    assert values["unparsed"] == (0.25, 4)
    assert "cosine" not in values
    assert "region_iou" not in values
    assert "2 annotated artifact names" in explanation_level.table(found, cases, "").note


def test_explanations_of_a_run(folder: Folder) -> None:
    folder.masked(
        "tampered_0.png", explanation="One area repeats another", artifacts="duplicated_region"
    )
    folder.add("real_0.png", "real", explanation="nothing to see")
    found = evaluated(folder, rationale=True)
    assert figure(found, "claim_recall") == 1
    assert figure(found, "claim_precision") == 0.5
    assert figure(found, "hallucination_on_reals") == 0
    assert 0 < (figure(found, "region_iou") or 0) < 1  # a box around the mask
    assert found.table("explanations") is not None
    assert evaluated(folder).table("explanations") is None


@pytest.mark.parametrize("name", protocols.names())
def test_a_protocol_loads_and_names_its_sources(name: str) -> None:
    protocol = protocols.load(name)
    assert protocol.anchors or "no figure of theirs stands here" in protocol.notes
    table = protocols.table(protocol, {"auc": Value(value=0.5, low=0.4, high=0.6)})
    assert len(table.rows) == len(protocol.anchors)
    assert all(row[4] for row in table.rows)


def test_a_protocol_prints_its_anchors_beside_ours(folder: Folder) -> None:
    folder.add("real_0.png", "real")
    folder.add("synthetic_0.png", "synthetic")
    found = evaluated(folder, protocol="genimage", dataset="indexed")
    rows = rows_of(found, "anchors")
    assert rows["NPR"][2] == found.figures["binary_accuracy"]
    assert "secondary source" in str(rows["NPR"])


def test_nothing_is_lost_silently(folder: Folder) -> None:
    folder.add("real_0.png", "real")
    folder.add("synthetic_0.png", "synthetic")
    folder.add("real_1.png", "real").write_bytes(b"no picture")
    folder.add("tampered_0.png", "tampered", mask="nowhere.png")
    folder.add("real_0.png", "real")
    folder.add("real_2.png", "real", boxes="{wrong")
    folder.add("real_3.png", "odd")
    answer = run("--data", str(folder.root), "--json")
    assert answer.exit_code == 3
    skipped = json.loads(answer.stdout)["skipped"]
    assert sorted(item["code"] for item in skipped) == [
        "broken_image", "broken_row", "duplicate_id", "missing_mask", "unknown_label"]  # fmt: skip
    assert json.loads(answer.stdout)["counts"] == {"real": 1, "synthetic": 1, "tampered": 0}
    assert "skipped: 5" in answer.stderr
    assert str(folder.root) not in answer.stdout


def test_the_command_writes_what_it_prints(folder: Folder, tmp_path: Path) -> None:
    folder.add("real_0.png", "real")
    folder.add("synthetic_0.png", "synthetic", generator="<b>g</b>")
    out = tmp_path / "out"
    answer = run("--data", str(folder.root), "-o", str(out), "--robustness")
    assert answer.exit_code == 0, answer.output
    assert answer.stdout == (out / "eval.md").read_text()
    page = (out / "eval.html").read_text()
    assert page == plots.page(Evaluation.model_validate_json((out / "eval.json").read_text()))
    assert page.count("<svg") == 4
    assert "<b>" not in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--protocol", "fakeclu"], "unknown_protocol"),
        (["--dataset", "nothing"], "unknown_dataset"),
        (["--split", "val"], "empty_split"),
    ],
)
def test_unknown_names_are_typed_errors(folder: Folder, words: list[str], code: str) -> None:
    folder.add("real_0.png", "real")
    answer = run("--data", str(folder.root), *words)
    assert isinstance(answer.exception, errors.InputError)
    assert answer.exception.code == code
    assert answer.exception.hint


def test_as_is_warns(folder: Folder) -> None:
    folder.add("real_0.png", "real")
    folder.add("synthetic_0.png", "synthetic")
    answer = run("--data", str(folder.root), "--as-is")
    assert "warning: --as-is" in answer.stderr
    assert "pictures as is" in answer.stdout


def test_a_source_can_be_left_out_of_the_image_level(folder: Folder) -> None:
    folder.add("real_0.png", "real")
    folder.add("synthetic_0.png", "synthetic")
    folder.masked("tampered_0.png", source="padded")
    found = evaluated(folder, left_out=("padded",))
    assert found.counts["tampered"] == 0
    assert figure(found, "pixel_f1") == 1
    assert "by request: padded" in writing.to_markdown(found)


def test_one_look_is_one_key(folder: Folder) -> None:
    sample = Sample(folder.add("real_0.png", "real"), Label.REAL, "test", "s")
    looks = [Look(SQUARE), Look(WHOLE), Look(SQUARE, rationale=True), Look(SQUARE, baselines=True)]
    keys = running._keys([running.Task(sample, look) for look in looks], "digest")
    assert len(set(keys)) == len(keys)
    assert keys == running._keys([running.Task(sample, look) for look in looks], "digest")
    assert not set(keys) & set(running._keys([running.Task(sample, looks[0])], "another"))
