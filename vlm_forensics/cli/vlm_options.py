"""Declarations of the options about a vision-language model, shared by every command that asks one.

`cli.vlm` has what becomes of them.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Judge(StrEnum):
    """Who makes a verdict of the answers."""

    RULE = "rule"
    VLM = "vlm"


Folder = Annotated[
    Path | None,
    typer.Option("--vlm", metavar="DIR", file_okay=False,
                 help="Folder of a vision-language model to ask, safetensors."),
]  # fmt: skip
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Endpoint to ask instead, up to and including /v1."),
]
Name = Annotated[
    str | None, typer.Option("--vlm-model", metavar="NAME", help="As the endpoint names the model.")
]
KeyVariable = Annotated[
    str | None,
    typer.Option("--key-env", metavar="VAR", help="The environment variable that holds the key."),
]
Probes = Annotated[
    str | None,
    typer.Option("--probes", metavar="SETS",
                 help="Sets of questions to ask, such as faces,scene; else those that fit."),
]  # fmt: skip
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", min=0.1, help="For one answer of the endpoint."),
]
Extra = Annotated[
    str | None,
    typer.Option("--extra", metavar="JSON", help="Fields of its requests to add; null removes."),
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", min=1, max=64, help="Its requests at a time.  [default: 4]")
]
Rate = Annotated[
    float | None, typer.Option("--rate", min=0.01, help="Its requests a minute at most.")
]
PriceIn = Annotated[
    float | None, typer.Option("--price-in", min=0, help="Price of a million tokens sent to it.")
]
PriceOut = Annotated[
    float | None, typer.Option("--price-out", min=0, help="Price of a million tokens it answers.")
]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost", min=0, help="Stop asking when this run has cost this.")
]
JudgedBy = Annotated[
    Judge | None,
    typer.Option("--judge", help="The rule alone, or a language model beside it, which must agree: "
                 "the one that is asked, or the one of --judge-url.  [default: rule]"),
]  # fmt: skip
JudgeFolder = Annotated[
    Path | None,
    typer.Option("--judge-vlm", metavar="DIR", file_okay=False,
                 help="Folder of another model as judge; it is shown answers, no picture."),
]  # fmt: skip
JudgeUrl = Annotated[
    str | None,
    typer.Option("--judge-url", metavar="URL", help="Endpoint of another judge."),
]
JudgeName = Annotated[
    str | None, typer.Option("--judge-model", metavar="NAME", help="As that endpoint names it.")
]
JudgeKeyVariable = Annotated[
    str | None, typer.Option("--judge-key-env", metavar="VAR", help="The variable with its key.")
]
JudgePriceIn = Annotated[
    float | None, typer.Option("--judge-price-in", min=0, help="As --price-in, of that endpoint.")
]
JudgePriceOut = Annotated[
    float | None, typer.Option("--judge-price-out", min=0, help="As --price-out, of that endpoint.")
]
Calibrated = Annotated[
    Path | None,
    typer.Option("--calibration", metavar="FILE", dir_okay=False,
                 help="Gives a probability: made for this model by vlmf calibrate --data."),
]  # fmt: skip
