"""What every reward promises, whatever a model writes and whatever a row holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm_forensics import rewards
from vlm_forensics.errors import InputError
from vlm_forensics.rewards import Completion, Facts, Reward
from vlm_forensics.rewards.scoring import score, trl_function

JUNK: list[object] = [None, "", "real", "nothing", 3, -1, float("nan"), [], [[1], [1, 2]], b"x",
                      {"a": 1}, np.zeros((0, 4)), np.ones((4, 4)), [["a"]], object()]  # fmt: skip
COPIED = "<answer>tampered [SEG]\nduplicated_region | 1 2 3 4 | Copied.</answer>"
ANSWERS = ["<answer>real</answer>", "<answer>synthetic", COPIED, "<think>so</think><answer>real"]
DOCS = Path(__file__).parents[2] / "docs" / "rewards.md"

every = pytest.mark.parametrize("name", rewards.names())


def in_range(value: float | None) -> bool:
    return value is None or (isinstance(value, float) and 0 <= value <= 1)


def test_all_eight_are_found() -> None:
    assert set(rewards.names()) == {"box", "brevity", "consistency", "format", "grounding", "mask",
                                    "thinking", "verdict"}  # fmt: skip


@every
def test_a_reward_is_its_module(name: str) -> None:
    reward = rewards.get(name)
    assert isinstance(reward, Reward)
    assert reward.name == name
    assert reward.formula in DOCS.read_text(encoding="utf-8"), "docs/rewards.md is stale"


@every
@given(
    text=st.one_of(st.text(max_size=200), st.sampled_from(ANSWERS)),
    row=st.dictionaries(st.sampled_from(rewards.COLUMNS), st.sampled_from(JUNK)),
)
def test_junk_never_raises(name: str, text: str, row: dict[str, object]) -> None:
    reward = rewards.get(name)
    first = reward(Completion(text), Facts.of(row))
    assert in_range(first)
    assert first == reward(Completion(text), Facts.of(row))


@every
@pytest.mark.parametrize("text", ["a" * 2**20, "<answer>" * 100_000, "<think>" * 100_000, "\ud800"])
def test_a_megabyte_is_wrong_and_not_fatal(name: str, text: str) -> None:
    value = rewards.get(name)(Completion(text), Facts.of({"label": "real", "difficulty": 0.9}))
    assert in_range(value)
    assert name in {"brevity", "thinking"} or not value


@every
def test_trl_gets_a_number_or_nothing_for_every_completion(name: str) -> None:
    function = trl_function(name)
    assert function.__name__ == name
    chat = [{"role": "assistant", "content": ANSWERS[0]}]
    given = function(
        completions=[ANSWERS[0], chat, None], prompts=["p"] * 3, label=["real"] * 3,
        completion_ids=[[1], [1], [1]], trainer_state=object(), mask=None,
    )  # fmt: skip
    assert len(given) == 3
    assert all(in_range(value) for value in given)
    assert given[0] == given[1]


@every
def test_lengths_and_tensors_that_make_no_sense_are_unknown(name: str) -> None:
    torch = pytest.importorskip("torch")
    mask = torch.ones(4, 4, dtype=torch.bfloat16, requires_grad=True)
    given = trl_function(name)([COPIED], completion_ids=[None], label=["tampered"], mask=[mask])
    assert all(in_range(value) for value in given)


@pytest.mark.parametrize("weight", [0, -1.0, float("nan")])
def test_a_weight_that_is_not_positive_is_a_typed_error(weight: float) -> None:
    with pytest.raises(InputError) as caught:
        score("", {}, {"format": weight})
    assert caught.value.code == "bad_weight"


def test_an_unknown_name_is_a_typed_error_with_a_suggestion() -> None:
    with pytest.raises(InputError, match="grouding") as caught:
        score("", {}, {"grouding": 1})
    assert caught.value.code == "unknown_reward"
    assert "grounding" in caught.value.hint
