"""The grammar of answers: what is read, what is repaired, and that nothing is ever guessed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm_forensics.parsing import GRID, MAX_CLAIMS, Answer, ParsedClaim, Unparsed, compose, parse
from vlm_forensics.taxonomy import Artifact, Label

PASTED = "pasted_object | 10 20 30 40 | Content from another picture."
NOISE = "noise_mismatch | all | Its noise is lower than around it."


def read(text: str) -> Answer:
    found = parse(text)
    assert isinstance(found, Answer), found
    return found


@pytest.mark.parametrize("label", list(Label))
def test_a_bare_verdict_is_an_answer(label: Label) -> None:
    assert read(f"<answer>{label}</answer>") == Answer(label, False, (), "ok")


def test_claims_are_read_in_order() -> None:
    found = read(f"<think>hm | x</think>\n<answer>tampered [SEG]\n{PASTED}\n{NOISE}</answer>\n")
    assert (found.verdict, found.segmented, found.status) == (Label.TAMPERED, True, "ok")
    assert found.claims == (
        ParsedClaim(Artifact.PASTED_OBJECT, (10, 20, 30, 40), "Content from another picture."),
        ParsedClaim(Artifact.NOISE_MISMATCH, None, "Its noise is lower than around it."),
    )


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([PASTED, "no claim at all"], 1),
        ([PASTED, "unknown_artifact | all | It is odd."], 1),
        ([PASTED, PASTED], 1),
        ([PASTED, "noise_mismatch | 30 20 10 40 | The box is inside out."], 1),
        ([PASTED, "noise_mismatch | 1 2 3 | Three numbers."], 1),
        ([PASTED, "noise_mismatch | 1 2 3 100 | Beyond the grid."], 1),
        ([PASTED, "noise_mismatch | \u0661 \u0662 \u0663 \u0664 | Other digits."], 1),
        ([PASTED, "noise_mismatch | all | "], 1),
        ([f"noise_mismatch | all | Reason {n}." for n in range(9)], MAX_CLAIMS),
    ],
)
def test_bad_claims_are_dropped(lines: list[str], kept: int) -> None:
    found = read("<answer>tampered\n" + "\n".join(lines) + "</answer>")
    assert len(found.claims) == kept
    assert found.status == "repaired"


def test_a_missing_end_drops_the_line_that_may_be_cut() -> None:
    found = read(f"<answer>tampered [SEG]\n{PASTED}\n{NOISE[:-8]}")
    assert [claim.artifact for claim in found.claims] == [Artifact.PASTED_OBJECT]
    assert found.status == "repaired"
    assert read("<answer>synthetic").status == "repaired"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "real",
        "The picture is real.",
        "unreal",
        "<answer></answer>",
        "<answer>unreal</answer>",
        "<answer>not real</answer>",
        "<answer>real or tampered</answer>",
        "<answer>looks real but is fake</answer>",
        "<answer>realistic</answer>",
        "<answer>Real</answer>",
        "<answer>inconclusive</answer>",
        "<answer>tampered [SE",
        "<answer>tampered[SEG]</answer>",
        "<answer>real<answer>tampered</answer>",
        "<answer><answer>real</answer></answer>",
        "<answer>real</answer><answer>tampered</answer>",
        "<answer>real</answer> or not",
        "I say <answer>real</answer>",
        "<think>it is <answer>real</answer>",
        "<think>cut off",
        f"<answer>\n{PASTED}</answer>",
    ],
)
def test_anything_else_is_unparsed(text: str) -> None:
    assert isinstance(parse(text), Unparsed)


def test_a_verdict_inside_a_thought_does_not_count() -> None:
    text = "<think><answer>real</answer> no</think><answer>tampered</answer>"
    assert read(text).verdict is Label.TAMPERED


PIECES = ("<answer>", "</answer>", "<think>", "</think>", "real", "tampered", " [SEG]", "\n",
          " | ", "all", "1 2 3 4", "noise_mismatch", "\0", "\u2028")  # fmt: skip


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=30).map("".join)))
def test_parsing_never_raises(text: str) -> None:
    found = parse(text)
    if isinstance(found, Answer):
        assert len(found.claims) <= MAX_CLAIMS
        assert "<answer>" in text
        assert str(found.verdict) in text


number = st.integers(0, GRID - 1)
box = st.none() | st.tuples(number, number, number, number).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
sentence = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1).filter(
    lambda text: text.strip() == text and "</answer>" not in text
)
claim = st.builds(ParsedClaim, st.sampled_from(Artifact), box, sentence)


@given(st.sampled_from(Label), st.lists(claim, max_size=MAX_CLAIMS, unique=True).map(tuple))
def test_what_is_composed_comes_back(label: Label, claims: tuple[ParsedClaim, ...]) -> None:
    assert read(compose(label, claims)) == Answer(label, label is Label.TAMPERED, claims, "ok")


@pytest.mark.parametrize(
    "text",
    [
        "<answer>real" + "x" * 1_000_000,
        "<think>" + "</think> " * 110_000,
        "<answer>tampered\n" + "noise_mismatch | " * 60_000,
        "<answer>tampered\n" + "a |\n" * 250_000,
        "<answer>tampered" + " " * 1_000_000 + "x",
        " " * 1_000_000,
    ],
    ids=["word", "thoughts", "line", "lines", "spaces", "blank"],
)
def test_a_megabyte_is_read_at_once(text: str) -> None:
    started = time.perf_counter()
    parse(text)
    assert time.perf_counter() - started < 2
