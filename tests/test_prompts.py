"""Prompt files: what ships, and that the wording covers the taxonomy."""

from __future__ import annotations

import hashlib
import string

import numpy as np
import pytest

from vlm_forensics import prompts
from vlm_forensics.assets import asset
from vlm_forensics.features.clues import CONTRASTS, Clue
from vlm_forensics.forge.annotation import WORDING, claims, grid_box
from vlm_forensics.parsing import compose, parse
from vlm_forensics.taxonomy import OPERATION_ARTIFACT, Artifact, Label, Operation


def test_the_digest_is_that_of_the_file() -> None:
    prompt = prompts.load(prompts.EXPLAIN)
    data = asset("prompts", f"{prompts.EXPLAIN}.txt").read_bytes()
    assert prompt.sha256 == hashlib.sha256(data).hexdigest()
    assert prompt.text == data.decode().removesuffix("\n")
    assert prompt.name == prompts.EXPLAIN


def test_rendering_fills_every_field_and_misses_none() -> None:
    prompt = prompts.load(prompts.EXPLAIN)
    names = {name for _, name, _, _ in string.Formatter().parse(prompt.text) if name}
    assert names == {"image", "evidence", "judged", "measured", "cls"}
    given = {name: f"<{name}>" for name in names}
    assert all(prompt.render(**given).count(value) == 1 for value in given.values())
    for name in names:
        with pytest.raises(KeyError, match=name):
            prompt.render(**{other: value for other, value in given.items() if other != name})


def test_braces_in_a_measurement_stay_as_they_are() -> None:
    prompt = prompts.load(prompts.EXPLAIN)
    assert "{image.__class__}" in prompt.render(
        image="", evidence="", cls="", judged="", measured="{image.__class__}"
    )


def test_unknown_prompts_are_refused() -> None:
    with pytest.raises(FileNotFoundError):
        prompts.load("explain.v0")


def test_every_artifact_has_its_wording() -> None:
    wording = prompts.load_wording(WORDING)
    primary, secondary = set(wording["primary"]), set(wording["secondary"])
    assert primary == {str(artifact) for artifact in OPERATION_ARTIFACT.values()}
    assert secondary == {str(artifact) for _, artifact in CONTRASTS.values()}
    assert primary | secondary == {str(artifact) for artifact in Artifact}
    for variants in (*wording["primary"].values(), *wording["secondary"].values()):
        assert variants
        assert len(set(variants)) == len(variants)


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("seed", range(4))
def test_training_claims_follow_the_grammar(operation: Operation, seed: int) -> None:
    mask = np.zeros((100, 200), bool)
    mask[30:60, 50:100] = True
    if OPERATION_ARTIFACT[operation] is Artifact.GENERATOR_TEXTURE:
        mask[:] = True
    clues = [
        Clue(name, f"{name}.log2_ratio", value, f"{word} x", unusual=True, local=True)
        for value, (name, (word, _)) in enumerate(CONTRASTS.items(), -3)
    ] + [Clue("copy_move", "copy_move.matches", 41.0, "copy move 41", unusual=False, local=False)]
    made = claims(operation, mask, clues, np.random.default_rng(seed))
    assert made[0].artifact is OPERATION_ARTIFACT[operation]
    assert len({claim.artifact for claim in made}) == len(made) <= 3
    assert all(claim.box == (None if mask.all() else (25, 30, 49, 59)) for claim in made)
    assert all("{" not in claim.text for claim in made)
    answer = parse(compose(Label.TAMPERED, made))
    assert answer.status == "ok"  # type: ignore[union-attr]
    assert answer.claims == made  # type: ignore[union-attr]


def test_nothing_unusual_leaves_the_operation_alone() -> None:
    mask = np.zeros((10, 10), bool)
    mask[2, 3] = True
    plain = [Clue("noise_level", "noise_level.log2_ratio", 3.0, "noise", False, True)]
    (only,) = claims(Operation.SPLICE, mask, plain, np.random.default_rng(0))
    assert only.artifact is Artifact.PASTED_OBJECT
    assert "noise" not in only.text
    assert only.box == (30, 20, 30, 20)


def test_a_box_ends_inside_the_grid() -> None:
    mask = np.zeros((7, 13), bool)
    mask[-1, -1] = True
    assert grid_box(mask) == (92, 85, 92, 85)
