"""`vlmf explain --mode`: which way an image is examined, and what the report says about it."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from vqa_models import save
from vqa_server import NOTHING, SIGN, Server, fails, says

from vlm_forensics import cli
from vlm_forensics.cli import console
from vlm_forensics.errors import ModelError, WeightsError
from vlm_forensics.report import Report, json_schema
from vlm_forensics.taxonomy import Verdict
from vlm_forensics.vqa.choosing import Wish, choose

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def vlmf(
    tmp_path: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    console.set_verbosity(0, quiet=False)
    (tmp_path / "photo.jpg").write_bytes(photo)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vlmf", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capfd.readouterr()
        code: Any = left.value.code
        return code or 0, out, err

    return run


def asking(server: Server, *more: str) -> tuple[str, ...]:
    words = ("explain", "photo.jpg", "--mode", "vqa", "--url", server.url)
    return (*words, "--vlm-model", "tiny-vlm", *more)


def test_an_endpoint_is_asked_end_to_end(vlmf: Run, server: Server) -> None:
    server.shows = "E"
    server.say = lambda asked: SIGN if "fingers" in asked or "arm" in asked else NOTHING
    code, out, _ = vlmf(*asking(server, "--json", "--exit-code"))
    assert code == 10
    report = Report.from_json(out)
    jsonschema.validate(json.loads(out), json_schema())
    assert report.verdict is Verdict.SYNTHETIC
    assert (report.mode.asked, report.mode.ran, report.mode.why) == ("vqa", "vqa", "asked for")


def test_text_and_page_say_what_was_asked(vlmf: Run, server: Server) -> None:
    server.say = lambda asked: SIGN if "fingers" in asked or "arm" in asked else NOTHING
    code, out, err = vlmf(*asking(server, "--probes", "people, tampering", "--html", "r.html"))
    assert (code, err) == (0, "wrote r.html\n")
    text = " ".join(out.split())
    assert text.startswith("SYNTHETIC Evidence that the image is synthetic")
    for words in ("questions to a vision-language model that was not tuned for this (asked for)",
                  "signs looked for (people, tampering)", "“six fingers”",
                  "The vision-language model sees a hand with the wrong number"):  # fmt: skip
        assert words in text
    page = Path("r.html").read_text()
    assert "What was asked and answered" in page
    assert "said, not measured" in page


def test_a_local_folder_is_asked(vlmf: Run, tmp_path: Path) -> None:
    folder = save("llava", tmp_path / "tiny-vlm")
    code, out, _ = vlmf("explain", "photo.jpg", "--mode", "vqa", "--vlm", folder, "--json")
    report = Report.from_json(out)
    assert (code, report.verdict, report.parse_status) == (0, Verdict.INCONCLUSIVE, "unparsed")
    assert report.model.id.startswith("tiny-vlm@")


def test_without_a_model_it_measures_and_says_so(vlmf: Run) -> None:
    code, out, _ = vlmf("explain", "photo.jpg", "--mode", "vqa")
    assert code == 0
    text = " ".join(out.split())
    assert text.startswith("INCONCLUSIVE")
    assert "low-level measurements alone (asked for, and no vision-language model is given)" in text
    report = Report.from_json(vlmf("explain", "photo.jpg", "--mode", "vqa", "--json")[1])
    assert report.mode.ran == "measurements"
    assert report.evidence


def test_a_calibration_that_is_none_is_refused(vlmf: Run) -> None:
    code, out, err = vlmf("explain", "photo.jpg", "--mode", "vqa", "--reals", "none.json")
    assert (code, out) == (3, "")
    assert "error[not_found] none.json does not exist" in err


def test_auto_falls_back_in_the_documented_order(vlmf: Run, server: Server) -> None:
    code, out, err = vlmf("explain", "photo.jpg", "--offline", "--json")
    report = Report.from_json(out)
    assert (code, report.verdict) == (0, Verdict.INCONCLUSIVE)
    assert (report.mode.asked, report.mode.ran) == ("auto", "measurements")
    assert "weights_missing" in report.mode.why
    assert err.startswith("measurements: the tuned model cannot be had (weights_missing: ")
    assert vlmf("explain", "photo.jpg", "--offline", "--mode", "model")[0] == 4
    assert vlmf("explain", "photo.jpg", "--model", "none-of-this-name")[0] == 4
    assert not server.requests


def test_answers_are_those_of_the_report(vlmf: Run, server: Server) -> None:
    Path("report.json").write_text(vlmf(*asking(server, "--json"))[1])
    asked = len(server.requests)
    code, out, err = vlmf("verify", "report.json", "photo.jpg")
    assert (code, err) == (0, "")
    assert "states of probes" in out
    assert len(server.requests) == asked
    content = json.loads(Path("report.json").read_text())
    content["vqa"]["probes"][0]["answers"][1]["artifact"] = "present"
    Path("report.json").write_text(json.dumps(content))
    code, _, err = vlmf("verify", "report.json", "photo.jpg")
    assert code == 3
    assert "states of probes" in err


def test_a_report_of_measurements_is_repeated(vlmf: Run) -> None:
    Path("report.json").write_text(vlmf("explain", "photo.jpg", "--mode", "vqa", "--json")[1])
    assert vlmf("verify", "report.json", "photo.jpg")[0] == 0


def test_an_endpoint_that_cannot_be_asked_leaves_with_4(vlmf: Run, server: Server) -> None:
    server.default = fails(401)
    code, out, err = vlmf(*asking(server))
    assert (code, out) == (4, "")
    assert "error[endpoint_unauthorized] photo.jpg: " in err
    assert "hint: " in err


def test_fields_of_requests_can_be_replaced(vlmf: Run, server: Server) -> None:
    extra = '{"max_tokens": null, "max_completion_tokens": 300}'
    assert vlmf(*asking(server, "--json", "--extra", extra))[0] == 0
    assert "max_tokens" not in server.requests[0]
    assert server.requests[0]["max_completion_tokens"] == 300


def test_a_failure_midway_is_a_report_with_its_reason(vlmf: Run, server: Server) -> None:
    server.turns = [says("A"), *[says(NOTHING)] * 3, fails(404)]
    code, out, _ = vlmf(*asking(server, "--json", "--jobs", "1"))
    report = Report.from_json(out)
    assert (code, report.verdict) == (0, Verdict.INCONCLUSIVE)
    assert [reason.code for reason in report.reasons] == ["endpoint_not_found"]


def test_the_key_comes_from_its_variable(
    vlmf: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = vlmf(*asking(server, "--key-env", "NO_SUCH_KEY"))
    assert code == 4
    assert "error[endpoint_no_key]" in err
    monkeypatch.setenv("SOME_KEY", "sk-secret-123")
    code, out, err = vlmf(*asking(server, "--key-env", "SOME_KEY", "--json"))
    assert code == 0
    assert "sk-secret-123" not in out + err


PRICES = ("--price-in", "2", "--price-out", "5")


def test_what_was_spent_is_in_the_report_and_on_the_console(vlmf: Run, server: Server) -> None:
    code, out, err = vlmf(*asking(server, "--json", *PRICES))
    report = Report.from_json(out)
    assert code == 0
    assert report.vqa is not None
    tokens = report.vqa.input_tokens, report.vqa.output_tokens
    assert report.vqa.cost == pytest.approx((2 * tokens[0] + 5 * tokens[1]) / 1e6)
    assert f"cost of this run: {report.vqa.cost:.4g} ({tokens[0]} tokens sent" in err
    again = Report.from_json(vlmf(*asking(server, "--json", *PRICES))[1])
    assert again.vqa is not None
    assert again.vqa.cost == 0  # every answer was kept
    assert "set by hand" in report.limits[0].message


def test_a_limit_of_cost_keeps_what_was_answered(vlmf: Run, server: Server) -> None:
    limit = ("--probes", "people", "--jobs", "1", *PRICES, "--max-cost", "0.008")
    code, out, err = vlmf(*asking(server, "--json", *limit))
    report = Report.from_json(out)
    assert (code, report.verdict) == (0, Verdict.INCONCLUSIVE)
    assert [reason.code for reason in report.reasons] == ["cost_limit"]
    assert report.vqa is not None
    assert (report.vqa.stopped, len(report.vqa.probes)) == ("cost_limit", 1)
    asked = len(server.requests)
    assert asked == 5  # each costs 0.0016
    assert "the limit of cost, 0.008, is reached" in err
    vlmf(*asking(server, "--json", "--probes", "people"))
    assert len(server.requests) == 15
    code, out, err = vlmf(*asking(server, "--probes", "scene", *PRICES, "--max-cost", "0"))
    assert (code, out) == (4, "")
    assert "error[cost_limit] photo.jpg" in err


def test_tokens_that_are_not_counted_cannot_keep_a_limit(vlmf: Run, server: Server) -> None:
    body = {"choices": [{"message": {"content": NOTHING}, "finish_reason": "stop"}]}
    server.default = fails(200, body)
    sets = ("--probes", "people", "--jobs", "1")
    code, _, err = vlmf(*asking(server, *sets, *PRICES, "--max-cost", "9"))
    assert code == 4
    assert "error[cost_unknown]" in err
    out = vlmf(*asking(server, *sets, *PRICES, "--json"))[1]
    report = Report.from_json(out)
    assert report.vqa is not None
    assert report.vqa.uncounted > 0
    assert report.vqa.cost is None


def test_the_judge_may_be_another_model(vlmf: Run, server: Server) -> None:
    server.say = lambda asked: '{"verdict": "real", "probes": [], "why": "nothing"}' \
        if "BEGIN" in asked else NOTHING  # fmt: skip
    judge = ("--judge-url", server.url, "--judge-model", "wise", "--judge-price-in", "100",
             "--judge-price-out", "0")  # fmt: skip
    out = vlmf(*asking(server, "--json", *PRICES, *judge))[1]
    report = Report.from_json(out)
    assert report.verdict is Verdict.REAL
    assert [request["model"] for request in server.requests].count("wise") == 1
    assert report.vqa is not None
    assert report.vqa.judge.startswith("wise@")
    questions = len(server.requests) - 1
    assert report.vqa.cost == pytest.approx((questions * (1400 + 200) + 70_000) / 1e6)


WRONG = [
    ("--vlm", ".", "--price-in", "1", "--price-out", "1"),
    ("--url", "http://x/v1", "--vlm-model", "m", "--price-in", "1"),
    ("--url", "http://x/v1", "--vlm-model", "m", "--max-cost", "1"),
    (
        "--url",
        "http://x/v1",
        "--vlm-model",
        "m",
        *PRICES,
        "--judge-url",
        "http://y/v1",
        "--judge-model",
        "j",
    ),
    ("--judge-url", "http://y/v1", "--judge-model", "j"),
    ("--vlm", ".", "--judge-url", "http://y/v1"),
    ("--vlm", ".", "--judge-vlm", ".", "--judge", "rule"),
    ("--vlm", ".", "--judge-url", "http://y/v1", "--judge-model", "j", "--offline"),
    ("--calibration", "a.json"),
    ("--vlm", ".", "--url", "http://x/v1", "--vlm-model", "m"),
    ("--url", "http://x/v1"),
    ("--vlm-model", "m"),
    ("--key-env", "X"),
    ("--probes", "faces"),
    ("--judge", "vlm"),
    ("--timeout", "5"),
    ("--extra", "{}"),
    ("--jobs", "2"),
    ("--rate", "9"),
    ("--url", "http://x/v1", "--vlm-model", "m", "--extra", "[]"),
    ("--vlm", ".", "--probes", "faces,hands"),
    ("--vlm", ".", "--probes", ","),
    ("--url", "http://x/v1", "--vlm-model", "m", "--offline"),
    ("--url", "http://x/v1", "--vlm-model", "m", "--mode", "model"),
    ("--mode", "vqa", "--no-rationale"),
    ("--mode", "model", "--reals", "reals.json"),
    ("--mode", "magic"),
]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_options_that_do_not_go_together_are_wrong_usage(vlmf: Run, words: tuple[str]) -> None:
    code, out, err = vlmf("explain", "photo.jpg", *words)
    assert (code, out) == (2, "")
    assert re.search("Usage: vlmf", err)


# --- the order of ways ---------------------------------------------------------------------------


class Says:
    def __init__(self, what: str) -> None:
        self.what = what


def wish(mode: Any, *, fails: Exception | None = None, named: bool = False, engine: bool = True):
    def model() -> Any:
        if fails is not None:
            raise fails
        return Says("model")

    return Wish(mode, named=named, model=model, vqa=lambda: Says("vqa"), engine=engine)  # type: ignore[arg-type,return-value]


MISSING = WeightsError("weights_missing", "not here", hint="")
CORRUPT = WeightsError("weights_corrupt", "damaged", hint="")
UNKNOWN = ModelError("model_not_found", "there is none", hint="")


@pytest.mark.parametrize(("asked", "ran", "who"), [
    (wish("model"), "model", "model"),
    (wish("auto"), "model", "model"),
    (wish("auto", engine=False), "model", "model"),
    (wish("vqa"), "vqa", "vqa"),
    (wish("vqa", engine=False), "measurements", "vqa"),
    (wish("auto", fails=MISSING), "vqa", "vqa"),
    (wish("auto", fails=UNKNOWN), "vqa", "vqa"),
    (wish("auto", fails=MISSING, engine=False), "measurements", "vqa"),
])  # fmt: skip
def test_the_table_of_ways(asked: Wish, ran: str, who: str) -> None:
    chosen = choose(asked)
    assert (chosen.mode.ran, chosen.examiner.what) == (ran, who)  # type: ignore[attr-defined]
    assert chosen.mode.asked == asked.mode
    assert chosen.mode.why


@pytest.mark.parametrize("asked", [
    wish("model", fails=MISSING), wish("auto", fails=CORRUPT),
    wish("auto", fails=MISSING, named=True),
])  # fmt: skip
def test_what_must_be_there_is_not_passed_over(asked: Wish) -> None:
    with pytest.raises(WeightsError):
        choose(asked)
