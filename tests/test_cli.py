import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import doubles
import jsonschema
import numpy as np
import pytest
from PIL import Image

from vlm_forensics import cli, masks
from vlm_forensics.cli import console
from vlm_forensics.errors import ModelError
from vlm_forensics.report import Report, json_schema
from vlm_forensics.taxonomy import Verdict

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def detector(monkeypatch):
    """The command line with the test double in the detector's place."""
    fake = type("Detector", (doubles.Detector,), {})
    module = ModuleType("vlm_forensics.detector")
    module.Detector = fake
    monkeypatch.setitem(sys.modules, "vlm_forensics.detector", module)
    return fake


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("VLMF_MODEL", raising=False)
    console.set_verbosity(0, quiet=False)
    return tmp_path


@pytest.fixture
def vlmf(folder, detector, capfd, monkeypatch):  # noqa: ARG001
    def run(*words, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["vlmf", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capfd.readouterr()
        return left.value.code or 0, out, err

    return run


def picture(path, fill=120, size=(96, 64)):
    Image.fromarray(np.full((size[1], size[0], 3), fill, np.uint8)).save(path)
    return path


# --- explain -----------------------------------------------------------------------------------


def test_summary_on_stdout_and_the_overlay_s_path_on_stderr(vlmf, folder):
    code, out, err = vlmf("explain", picture(folder / "photo.png"))
    assert code == 0
    assert out.lstrip().startswith("TAMPERED")
    assert err == "wrote photo.overlay.png\n"
    assert Image.open("photo.overlay.png").size == (96, 64)


def test_a_file_name_alone_means_explain(vlmf, folder):
    path = picture(folder / "photo.png")
    assert vlmf(path)[:2] == vlmf("explain", path)[:2]
    assert json.loads(vlmf("--json", path)[1])["verdict"] == "tampered"


def test_json_is_one_report_that_satisfies_the_schema(vlmf, folder):
    code, out, err = vlmf("explain", picture(folder / "photo.png"), "--json")
    assert (code, err) == (0, "")
    jsonschema.validate(json.loads(out), json_schema())
    assert list(folder.iterdir()) == [folder / "photo.png"]


def test_standard_input_gives_the_same_report(vlmf, folder):
    path = picture(folder / "photo.png")
    named = json.loads(vlmf("explain", path, "--json")[1])
    piped = json.loads(vlmf("explain", "-", "--json", stdin=path.read_bytes())[1])
    assert piped["image"].pop("name") == "-"
    assert named["image"].pop("name") == "photo.png"
    assert piped == named


def test_several_images_are_json_lines_in_order(vlmf, folder):
    paths = [picture(folder / f"{i}.png", fill=i) for i in range(3)]
    code, out, _ = vlmf("explain", *paths, "--json")
    assert code == 0
    names = [Report.from_json(line).image.name for line in out.splitlines()]
    assert names == ["0.png", "1.png", "2.png"]


def test_one_bad_image_is_named_and_the_rest_goes_on(vlmf, folder):
    good = picture(folder / "good.png")
    (folder / "bad.jpg").write_text("no image at all")
    code, out, err = vlmf("explain", folder / "bad.jpg", good, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 3
    assert lines[0]["error"]["code"] == "unsupported_format"
    assert lines[0]["error"]["name"] == "bad.jpg"
    assert lines[1]["image"]["name"] == "good.png"
    assert re.fullmatch(r"error\[unsupported_format\] bad\.jpg .+\nhint: .+\n", err)


def test_a_model_that_fails_on_an_image_leaves_with_4(vlmf, folder, detector, monkeypatch):
    def fail(*_):
        raise ModelError("out_of_memory", "not enough memory", hint="close something")

    monkeypatch.setattr(detector, "examine", fail)
    code, out, err = vlmf("explain", picture(folder / "photo.png"))
    assert (code, out) == (4, "")
    assert err.startswith("error[out_of_memory] photo.png: not enough memory\nhint: ")


def test_missing_weights_stop_everything_with_4(vlmf, folder, monkeypatch, detector):
    monkeypatch.setattr(detector, "broken", True)
    paths = [picture(folder / f"{i}.png") for i in range(2)]
    code, out, err = vlmf("explain", *paths, "--mode", "model")
    assert (code, out) == (4, "")
    assert err == "error[weights_missing] the weights are not here\nhint: fetch them\n"


def test_a_refused_image_costs_no_model(vlmf, folder, detector, monkeypatch):
    monkeypatch.setattr(detector, "broken", True)
    code, _, err = vlmf("explain", folder / "missing.jpg")
    assert code == 3
    assert err.startswith("error[not_found]")


@pytest.mark.parametrize("at_hand", [True, False])
def test_what_cannot_be_decoded_says_so_whatever_the_weights(
    vlmf, folder, detector, monkeypatch, at_hand
):
    monkeypatch.setattr("vlm_forensics.assembly.at_hand", lambda _: at_hand)
    monkeypatch.setattr(detector, "broken", True)
    path = picture(folder / "cut.png")
    path.write_bytes(path.read_bytes()[:60])
    code, out, err = vlmf("explain", path)
    assert (code, out) == (3, "")
    assert err.startswith("error[truncated] cut.png")


@pytest.mark.parametrize(("at_hand", "codes"), [(True, [0, 3]), (False, [0])])
def test_loading_starts_early_only_when_nothing_is_fetched(
    vlmf, folder, detector, monkeypatch, at_hand, codes
):
    loads = []
    monkeypatch.setattr("vlm_forensics.assembly.at_hand", lambda _: at_hand)
    load = detector.from_pretrained
    monkeypatch.setattr(
        detector, "from_pretrained", lambda *a, **k: loads.append(a) or load(*a, **k)
    )
    good, cut = picture(folder / "good.png"), folder / "cut.png"
    cut.write_bytes(good.read_bytes()[:60])
    left = []
    for path in (good, cut):
        loads.clear()
        code = vlmf("explain", path, "--quiet")[0]
        left += [code] * len(loads)
    assert left == codes


@pytest.mark.parametrize(("verdict", "expected"), [
    (Verdict.TAMPERED, 10), (Verdict.SYNTHETIC, 10), (Verdict.REAL, 0), (Verdict.INCONCLUSIVE, 0)
])  # fmt: skip
def test_exit_code_is_opt_in(vlmf, folder, detector, verdict, expected):
    detector.verdict = verdict
    path = picture(folder / "photo.png")
    assert vlmf("explain", path, "--json", "--exit-code")[0] == expected
    assert vlmf("explain", path, "--json")[0] == 0


def test_a_failed_input_outranks_the_verdict_s_exit_code(vlmf, folder):
    path = picture(folder / "photo.png")
    assert vlmf("explain", path, "missing.png", "--json", "--exit-code")[0] == 3


def test_output_mask_and_html_are_written_where_asked(vlmf, folder):
    code, _, err = vlmf("explain", picture(folder / "p.png"), "--output", "out", "--mask", "m.png",
                        "--html", "r.html")  # fmt: skip
    assert code == 0
    (written,) = Path("out").glob("p-????????.json")
    report = Report.from_json(written.read_bytes())
    assert (np.asarray(Image.open("m.png")) == masks.decode(report.mask) * 255).all()
    assert "Strong evidence" in Path("r.html").read_text()
    assert err.count("wrote ") == 6
    assert not Path("p.overlay.png").exists()


def test_images_of_one_name_do_not_overwrite_each_other(vlmf, folder):
    for side in ("a", "b"):
        (folder / side).mkdir()
    paths = [picture(folder / s / "x.png", fill=f) for s, f in (("a", 1), ("b", 2))]
    assert vlmf("explain", *paths)[0] == 0
    assert len(list(folder.glob("x-*.overlay.png"))) == 2


def test_an_output_that_cannot_be_written_is_a_typed_error(vlmf, folder):
    (folder / "file").write_text("")
    code, _, err = vlmf("explain", picture(folder / "p.png"), "--mask", "file/m.png")
    assert code == 1
    assert "error[output_unwritable] m.png cannot be written" in err
    assert "Traceback" not in err


def test_quiet_says_nothing_and_still_writes(vlmf, folder):
    code, _, err = vlmf("explain", picture(folder / "p.png"), "--quiet")
    assert (code, err) == (0, "")
    assert Path("p.overlay.png").exists()


def test_no_rationale_reaches_the_detector(vlmf, folder):
    out = vlmf("explain", picture(folder / "p.png"), "--no-rationale", "--json")[1]
    assert json.loads(out)["parse_status"] == "not_asked"


@pytest.mark.parametrize("words", [
    ("explain",), ("explain", "a.png", "b.png", "--mask", "m.png"), ("explain", "-", "-"),
    ("explain", "a.png", "--nonsense"), ("verify", "only-one"),
])  # fmt: skip
def test_wrong_usage_leaves_with_2(vlmf, words):
    code, out, err = vlmf(*words)
    assert (code, out) == (2, "")
    assert "Usage: vlmf" in err


def test_a_defect_is_one_line_and_a_traceback_only_when_asked(vlmf, folder, detector, monkeypatch):
    monkeypatch.setattr(detector, "examine", lambda *_: 1 / 0)
    path = picture(folder / "p.png")
    code, _, err = vlmf("explain", path)
    assert code == 1
    assert err.startswith("error[unexpected] ZeroDivisionError: division by zero\nhint: ")
    assert "Traceback" in vlmf("explain", path, "-vv")[2]


def test_an_interrupt_leaves_with_130(vlmf, folder, detector, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(detector, "examine", interrupt)
    code, _, err = vlmf("explain", picture(folder / "p.png"))
    assert code == 130
    assert "Traceback" not in err


def test_names_with_escape_sequences_are_printed_harmless(vlmf):
    code, out, err = vlmf("explain", "evil\x1b]0;title\x07\u202egpj.png", "--json")
    assert code == 3
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", err)
    assert json.loads(out)["error"]["code"] == "not_found"


# --- verify ------------------------------------------------------------------------------------


@pytest.fixture
def written(vlmf, folder):
    path = picture(folder / "photo.png")
    (folder / "report.json").write_text(vlmf("explain", path, "--json")[1])
    return folder / "report.json"


def altered(path, **changes):
    """The report with dotted keys replaced, e.g. `image.bytes`."""
    content = json.loads(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        inner = content
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    path.write_text(json.dumps(content))
    return path


def test_an_untouched_report_holds(vlmf, written):
    code, out, err = vlmf("verify", written, "photo.png")
    assert (code, err) == (0, "")
    assert "FAILS" not in out
    for name in ("sha256", "digest of stub.safetensors", "verdict", "probability", "mask"):
        assert name in out


@pytest.mark.parametrize(("change", "named"), [
    ({"probability": 0.8}, "probability"),
    ({"verdict": "synthetic"}, "verdict"),
    ({"mask": None}, "mask"),
    ({"model__digests": {"stub.safetensors": "cd" * 32}}, "digest of stub.safetensors"),
    ({"image__bytes": 7}, "bytes"),
])  # fmt: skip
def test_each_alteration_is_named(vlmf, written, change, named):
    code, out, err = vlmf("verify", altered(written, **change), "photo.png")
    assert code == 3
    assert re.search(rf"error\[bad_report\] 1 of \d+ checks do not hold: {re.escape(named)}\n", err)
    assert out.count("FAILS") == 1


def test_a_probability_within_the_tolerance_holds(vlmf, written):
    assert vlmf("verify", altered(written, probability=0.87), "photo.png")[0] == 0


def test_another_image_does_not_match(vlmf, written, folder):
    code, _, err = vlmf("verify", written, picture(folder / "other.png", fill=9), "--no-rerun")
    assert code == 3
    assert "sha256" in err


def test_a_mask_that_lies_about_its_size_is_never_unpacked(vlmf, written):
    bomb = {"size": [10**6, 10**6], "counts": [10**12], "threshold": 0.5, "area_fraction": 0}
    code, _, err = vlmf("verify", altered(written, mask=bomb), "photo.png")
    assert code == 3
    assert "mask" in err


def test_no_rerun_needs_no_model(vlmf, written, detector):
    detector.broken = True
    assert vlmf("verify", written, "photo.png", "--no-rerun")[0] == 0
    assert vlmf("verify", written, "photo.png")[0] == 4


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"schema_version": "0.1"}', "\x00\xff"])
def test_what_is_no_report_is_one_line(vlmf, folder, text):
    picture(folder / "photo.png")
    (folder / "report.json").write_text(text)
    code, out, err = vlmf("verify", "report.json", "photo.png")
    assert (code, out) == (3, "")
    assert err.startswith("error[bad_report] report.json is not a report")
    assert err.count("\n") == 2


# --- the process -------------------------------------------------------------------------------


def process(*words, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    command = [sys.executable, *words]
    return subprocess.run(
        command, capture_output=True, check=False, env=environment, timeout=60, **options
    )


def test_help_imports_nothing_heavy():
    done = process("-X", "importtime", "-m", "vlm_forensics.cli", "--help", text=True)
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    heavy = {"torch", "transformers", "numpy", "cv2", "PIL", "scipy", "pydantic", "rich", "gradio"}
    assert done.returncode == 0
    assert imported & heavy == set()


def test_help_lists_every_command_as_its_own_help_says():
    import typer

    group = typer.main.get_command(cli.app)
    modules = {path.stem for path in (ROOT / "vlm_forensics" / "cli").iterdir()}
    helpers = {"__init__", "__main__", "__pycache__", "console", "vlm", "vlm_options"}
    assert modules - helpers == set(cli.COMMANDS)
    for name, says in cli.COMMANDS.items():
        assert group.get_command(None, name).help.split("\n\n")[0].replace("\n", " ") == says
    assert group.get_command(None, "nonsense") is None


def test_version_and_public_names():
    done = process("-m", "vlm_forensics.cli", "--version", text=True)
    assert re.fullmatch(r"vlmf \d+\.\d+\.\d+\S*\n", done.stdout)
    code = "import vlm_forensics as v; print(v.Verdict.REAL, v.Report.__name__, 'Label' in dir(v))"
    assert process("-c", code, text=True).stdout == "real Report True\n"


def test_an_unknown_public_name_is_an_attribute_error():
    import vlm_forensics

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        vlm_forensics.nonsense  # noqa: B018


def test_a_closed_pipe_is_silent():
    line = f"{sys.executable} -m vlm_forensics.cli --help | true"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, check=False, cwd=ROOT, timeout=60
    )
    assert done.stderr == b""


def test_the_exit_codes_in_help_are_those_of_the_errors(vlmf):
    from vlm_forensics import errors

    listed = set(map(int, re.findall(r"^\s+(\d+)  ", vlmf("--help")[1], re.M)))
    used = {error.exit_code for error in vars(errors).values() if hasattr(error, "exit_code")}
    assert used | {0, 2, 10, 130} == listed


def test_every_help_ends_with_examples():
    page = (ROOT / "docs" / "cli.md").read_text()
    for block in re.findall(r"## (vlmf(?: \w+)?)\n\n```text\n(.*?)```", page, re.S):
        assert "Examples:\n" in block[1], block[0]
