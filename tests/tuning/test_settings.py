"""Settings: shipped recipes hold, and a typo is answered with its fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlm_forensics.errors import InputError
from vlm_forensics.tuning import settings


@pytest.mark.parametrize("name", sorted(settings.shipped()))
def test_shipped_recipes_are_valid(name: str) -> None:
    found = settings.read(name)
    assert name.endswith(found.stage)


def test_there_is_a_recipe_for_every_stage() -> None:
    assert {settings.read(name).stage for name in settings.shipped()} == {"sft", "grpo"}


def test_values_are_changed_by_dotted_keys() -> None:
    found = settings.read("laptop-sft", ["training.steps=7", "data.train=[a, b]", "model=x/y"])
    assert (found.training.steps, found.model) == (7, "x/y")
    assert found.data.train == (Path("a"), Path("b"))


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ("training.stesp=3", "training.stesp", "did you mean steps?"),
        ("modle=x", "modle", "did you mean model?"),
        ("rewards={grouding: 1}", "no reward 'grouding', did you mean grounding?", ""),
        ("rewards={format: 0}", "the weight of format must be above 0", ""),
        ("losses={laguage: 1}", "no loss 'laguage', did you mean language?", ""),
        ("sampler=momentum_dificulty", "did you mean momentum_difficulty?", ""),
        ("sampler={name: balanced, most: 2}", "sampler.most", "another stage knows it"),
        ("detection.sampler={name: momentum_difficulty, momentm: 0}", "momentm", "momentum?"),
        ("augment.transforms={flpi: {}}", "no transform 'flpi', did you mean flip?", ""),
        ("augment.transforms={flip: {shrae: 1}}", "flip.shrae", ""),
        ("augment.transforms={recompress: {lowest: 90, highest: 80}}", "is above highest", ""),
        ("augment.transforms={patch_mask: {}}", "name it in detection.augment", ""),
        ("augment.transforms={flip: {}, crop: {}}", "name it first", ""),
        ("augment.transforms=[flip]", "as in {flip: {}}", ""),
        ("detection.augment.transforms={clockmix: {}}", "clockmix.sources", ""),
        ("training.steps=0", "training.steps", "validate"),
        ("method=whole", "method: Input should be 'lora' or 'full'", "validate"),
        ("training.steps=many", "training.steps", "validate"),
        ("model.name=x", "holds no further keys", ""),
        ("steps", "is no key=value", "training.steps=20"),
    ],
)
def test_a_typo_is_named(change: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as refused:
        settings.read("laptop-sft", [change])
    assert refused.value.code == "bad_config"
    assert message in refused.value.message
    assert hint in refused.value.hint


def test_transforms_and_samplers_are_written_whole() -> None:
    found = settings.read("laptop-sft", [
        "sampler=momentum_difficulty", "augment.transforms={flip: , recompress: {lowest: 70}}",
        "augment.transforms.recompress.highest=80", "detection.augment.transforms={patch_mask: {}}",
    ])  # fmt: skip
    assert isinstance(found, settings.Sft)
    shown = found.model_dump(mode="json")
    assert shown["sampler"] == {"name": "momentum_difficulty", "momentum": 0.9, "most": 4.0}
    assert list(shown["augment"]["transforms"]) == ["flip", "recompress"]
    assert shown["augment"]["transforms"]["recompress"]["lowest"] == 70
    assert shown["detection"]["augment"]["transforms"]["patch_mask"]["patch"] == 16
    assert settings._ADAPTER.validate_python(shown) == found
    with pytest.raises(InputError) as refused:
        settings.read("laptop-grpo", ["augment.transforms={flip: {}}"])
    assert "another stage" in refused.value.hint


@pytest.mark.parametrize("recipe", ["laptop-sft", "laptop-grpo"])
def test_four_bit_weights_are_not_trained_themselves(recipe: str) -> None:
    assert settings.read(recipe, ["method=full"]).method == "full"
    with pytest.raises(InputError) as refused:
        settings.read(recipe, ["method=full", "lora.four_bit=true"])
    assert refused.value.code == "bad_config"
    assert "take no gradient step" in refused.value.message


def test_an_unknown_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        settings.read("laptop-stf")
    assert refused.value.code == "not_found"
    assert refused.value.hint == "did you mean laptop-sft?"
    for text in ("a: [", "- 1", "\x00"):
        path = tmp_path / "bad.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError) as refused:
            settings.read(str(path))
        assert refused.value.code == "bad_config"
