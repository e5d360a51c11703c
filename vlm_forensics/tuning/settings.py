"""Settings of a run: a YAML file, changed by `key=value`; a typo is an error that names its fix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from vlm_forensics import transforms
from vlm_forensics.assets import asset
from vlm_forensics.errors import InputError
from vlm_forensics.registry import suggestion
from vlm_forensics.rewards import names as reward_names
from vlm_forensics.transforms import Transform

LOSSES = ("language", "text_class", "consistency", "mask")
"""Parts of the loss that stage B may weigh; those of the detector are stage A's."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Strict):
    """Folders of any known layout, see `vlmf data list`."""

    train: tuple[Path, ...] = Field(min_length=1)
    """Their `train` split, or all of a folder without one."""
    val: tuple[Path, ...] = Field(min_length=1)
    """Their `val` split, or all of a folder without one."""
    samples: int = Field(default=900, ge=4)
    """Drawn from train."""
    val_samples: int = Field(default=120, ge=4)
    real: float = Field(default=0.5, gt=0, lt=1)
    """Share of real pictures in both draws. Fewer teach a model to accuse; of the others a third
    are synthetic, two thirds tampered."""
    cache: Path | None = None
    """Where cut and measured pictures are kept, for several runs; else in the run's folder."""


class Lora(_Strict):
    """Low-rank adapters on the language model; not read where `method` is full."""

    rank: int = Field(default=16, ge=1, le=512)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    four_bit: bool = False
    """QLoRA: the language model's base weights in 4 bit (nf4), through bitsandbytes."""


class Steps(_Strict):
    """Length and pace of a training."""

    steps: int = Field(ge=1)
    batch: int = Field(default=8, ge=1)
    """Samples at a time on one device."""
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float = Field(gt=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps."""
    save_every: int = Field(default=50, ge=1)
    checkpointing: bool = False
    """Gradient checkpointing: less memory, a third more time."""


class Shuffled(_Strict):
    """Every example once a round."""

    name: Literal["shuffled"] = "shuffled"


class Balanced(_Strict):
    """Classes evenly, with replacement; within a class sources by the root of their size."""

    name: Literal["balanced"] = "balanced"


class MomentumDifficulty(_Strict):
    """As balanced, and within a class harder examples more often (Diffusion Deepfake, 2024)."""

    name: Literal["momentum_difficulty"] = "momentum_difficulty"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Share of an example's average loss that stays with each new loss."""
    most: float = Field(default=4.0, gt=1)
    """At most so many times as often as an example of average loss, and as seldom."""


_SAMPLERS = {kind.model_fields["name"].default: kind
             for kind in (Shuffled, Balanced, MomentumDifficulty)}  # fmt: skip


def _sampler(found: Any) -> Any:
    """A bare name stands for its defaults; an unknown one is an error that names the likeliest."""
    values = {"name": found} if isinstance(found, str) else found
    name = values.get("name") if isinstance(values, dict) else None
    if isinstance(name, str) and name not in _SAMPLERS:
        raise ValueError(f"no sampler {name!r}, {suggestion(name, tuple(_SAMPLERS))}")
    return values


Sampler = Annotated[Shuffled | Balanced | MomentumDifficulty, Field(discriminator="name")]
_Sampler = Annotated[Sampler, BeforeValidator(_sampler)]


class Augment(_Strict):
    """Changed copies beside every training picture, cut and measured like the originals."""

    copies: int = Field(default=1, ge=1, le=16)
    """Of each picture, drawn anew for each."""
    transforms: dict[str, SerializeAsAny[Transform]] = Field(min_length=1)
    """By name with their settings, applied in this order; see the table in docs/training.md."""

    @field_validator("transforms", mode="before")
    @classmethod
    def _typed(cls, found: Any) -> Any:
        if not isinstance(found, dict):
            raise ValueError("name transforms with their settings, as in {flip: {}}")
        if "crop" in found and next(iter(found)) != "crop":
            raise ValueError("crop cuts the stored picture anew: name it first")
        return {name: _transform(str(name), values or {}) for name, values in found.items()}


def views_each(augment: Augment | None) -> int:
    """Views of every picture: itself and its copies."""
    return 1 + augment.copies if augment else 1


def _transform(name: str, values: Any) -> Transform:
    known = transforms.names()
    if name not in known:
        raise ValueError(f"no transform {name!r}, {suggestion(name, known)}")
    try:
        return transforms.transform(name, values)
    except ValidationError as error:
        path, why = _place(error)
        key = path[0] if path else ""
        typo = error.errors()[0]["type"] == "extra_forbidden"
        hint = f", {suggestion(key, transforms.fields(name))}" if typo else ""
        raise ValueError(f"{'.'.join([name, *path])}: {why}{hint}") from None


class Detection(_Strict):
    """Stage A, for a backbone that has no trained detection adapter."""

    steps: int = Field(default=1200, ge=1)
    batch: int = Field(default=24, ge=2)
    learning_rate: float = Field(default=8e-4, gt=0)
    sampler: Annotated[
        Balanced | MomentumDifficulty, Field(discriminator="name"), BeforeValidator(_sampler)
    ] = Balanced()
    augment: Augment | None = None
    """Any transform may serve here."""


class _Run(_Strict):
    model: str = "vlmf-mini"
    """The built-in model, a folder of ours, or hub id or folder of a supported family."""
    method: Literal["lora", "full"] = "lora"
    """A LoRA on the language model, or all of its weights."""
    lora: Lora = Lora()
    data: Data
    seed: int = Field(default=0, ge=0)
    training: Steps
    check_every: int = Field(default=0, ge=0)
    """Steps between two looks at validation; 0 looks at the end only."""
    patience: int = Field(default=2, ge=1)
    """Looks in a row without a better validation reward after which the run stops."""
    rewards: dict[str, float] = Field(
        default={"format": 0.2, "verdict": 1.0, "grounding": 1.0, "box": 0.5, "consistency": 0.2},
        min_length=1,
    )
    """Weights by name; SFT only reports them."""

    @model_validator(mode="after")
    def _trainable(self) -> Self:
        if self.method == "full" and self.lora.four_bit:
            raise ValueError("lora.four_bit and method=full exclude each other: weights rounded to "
                             "16 values take no gradient step; QLoRA trains a LoRA beside them"
                             )  # fmt: skip
        return self

    @field_validator("rewards")
    @classmethod
    def _known(cls, found: dict[str, float]) -> dict[str, float]:
        for name, weight in found.items():
            if name not in reward_names():
                raise ValueError(f"no reward {name!r}, {suggestion(name, reward_names())}")
            if not (math.isfinite(weight) and weight > 0):
                raise ValueError(f"the weight of {name} must be above 0; leave out what is unused")
        return found


class Sft(_Run):
    """Supervised fine-tuning: stage A where it is needed, then stage B."""

    stage: Literal["sft"]
    detection: Detection = Detection()
    sampler: _Sampler = Shuffled()
    """Of stage B."""
    augment: Augment | None = None
    """Of stage B: copies are measured anew, so only transforms that leave measurements true."""
    losses: dict[str, float] = Field(default={"language": 1.0, "text_class": 0.5, "mask": 1.0})

    @field_validator("losses")
    @classmethod
    def _parts(cls, found: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(set(found) - set(LOSSES)):
            raise ValueError(f"no loss {unknown[0]!r}, {suggestion(unknown[0], LOSSES)}")
        return found

    @field_validator("augment")
    @classmethod
    def _describable(cls, found: Augment | None) -> Augment | None:
        for name, transform in found.transforms.items() if found else ():
            if not transform.describable:
                raise ValueError(f"{name} would be measured in the prompts and described in the "
                                 f"answers; name it in detection.augment")  # fmt: skip
        return found


class Grpo(_Run):
    """Group relative policy optimisation (Shao et al. 2024, arXiv 2402.03300) through TRL."""

    stage: Literal["grpo"]
    lora: Lora = Lora(dropout=0.0)
    group: int = Field(default=8, ge=2)
    """Answers to each prompt, whose rewards are compared."""
    kl: float = Field(default=0.04, ge=0)
    """Weight of the distance from the starting model (beta); 0 is free."""
    loss: Literal["grpo", "dapo", "dr_grpo", "bnpo"] = "grpo"
    clip: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float | None = Field(default=None, gt=0, lt=1)
    """Upper clip where it differs (DAPO: 0.28)."""
    temperature: float = Field(default=1.0, gt=0)
    max_tokens: int = Field(default=160, ge=8)
    """Of one answer; a longer one is cut, and then seldom parses."""
    vllm: bool = False
    """Generate with vLLM on the training devices (colocated)."""


Settings = Annotated[Sft | Grpo, Field(discriminator="stage")]
_ADAPTER: TypeAdapter[Sft | Grpo] = TypeAdapter(Settings)


def shipped() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    folder = asset("training", "configs")
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))
            if "stage" in (yaml.safe_load(path.read_text("utf-8")) or {})}  # fmt: skip


def read(config: str, changes: Sequence[str] = ()) -> Sft | Grpo:
    """The settings in a file, or in the shipped recipe of this name, with changes.

    Args:
        config: path of a YAML file, or a name of `shipped()`.
        changes: `key=value`, keys dotted, values as in YAML: `training.steps=20`.

    Raises:
        InputError: no such file, no YAML, an unknown key or a value that is not allowed.
    """
    values = _parsed(_found(config))
    for change in changes:
        _change(values, change)
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        raise InputError("bad_config", _first(error), hint=_hint(error)) from None


def _found(config: str) -> Path:
    path = Path(config)
    if path.is_file():
        return path
    known = shipped()
    if config not in known:
        hint = suggestion(config, tuple(known), "vlmf train list shows the recipes")
        raise InputError("not_found", f"there is no recipe {path.name!r}", hint=hint)
    return known[config]


def _parsed(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise InputError("bad_config", f"{path.name} is no YAML{line}",
                         hint="vlmf train copy gives one to start from") from error  # fmt: skip
    if not isinstance(values, dict):
        raise InputError("bad_config", f"{path.name} holds no settings",
                         hint="vlmf train copy NAME gives one to start from")  # fmt: skip
    return values


def _change(values: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise InputError("bad_config", f"{change!r} is no key=value",
                         hint="for example training.steps=20")  # fmt: skip
    *parents, last = key.split(".")
    place = values
    for name in parents:
        inner = place.setdefault(name, {})
        if not isinstance(inner, dict):
            raise InputError("bad_config", f"{name} in {key} holds no further keys",
                             hint="vlmf train validate shows all settings")  # fmt: skip
        place = inner
    place[last] = yaml.safe_load(text)


_TAGS = {"sft", "grpo", *_SAMPLERS}
"""What pydantic puts into a place to say which kind of a union it tried."""


def _place(error: ValidationError) -> tuple[list[str], str]:
    found = error.errors(include_url=False, include_context=False)[0]
    path = [str(part) for part in found["loc"] if str(part) not in _TAGS]
    return path, str(found["msg"]).removeprefix("Value error, ")


def _first(error: ValidationError) -> str:
    path, why = _place(error)
    more = error.error_count() - 1
    return f"{'.'.join(path) or 'the file'}: {why}" + (f" (and {more} more)" if more else "")


def _hint(error: ValidationError) -> str:
    """The known key that an unknown one resembles."""
    path, _ = _place(error)
    if error.errors()[0]["type"] != "extra_forbidden":
        return "vlmf train validate FILE shows what is allowed"
    known = sorted(_keys())
    if path[-1] in known:
        return "another stage knows it; vlmf train validate NAME shows what belongs here"
    return suggestion(path[-1], known)


def _keys() -> set[str]:
    kinds: tuple[type[BaseModel], ...] = (Sft, Grpo, Data, Lora, Steps, Detection, Augment,
                                          *_SAMPLERS.values())  # fmt: skip
    return {name for kind in kinds for name in kind.model_fields}
