"""What each stage of training earned, as Markdown, from the records of finished runs.

    python benchmarks/training_stages.py runs/sft runs/grpo

Rows are what the runs measured on their own validation pictures; compare runs with the same ones.
A run's model is merged and rounded when the next one loads it, so it stands there once more.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vlm_forensics.evaluation.metrics import Figure, markdown

SHOWN = ("parse rate", "verdict: balanced accuracy over the classes",
         "detector alone: balanced accuracy", "reals called forged by the text",
         "detector alone: reals called forged", "reals with a claim", "grounding",
         "detector alone: grounding", "grounding of forged", "detector alone: grounding of forged",
         "box", "mask")  # fmt: skip


def columns(run: Path) -> list[tuple[str, dict[str, Any]]]:
    """The start of a run and its end, each with a heading."""
    record = json.loads((run / "model" / "training.json").read_text("utf-8"))
    settings, found = record["settings"], record["validation"]
    model = Path(settings["model"])
    start = f"{model.parent.name}, loaded" if model.name == "model" else model.name
    steps = f"{run.name}: {settings['stage']}, {record['steps']} steps"
    return [(start, found["before"]["figures"]), (steps, found["after"]["figures"])]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    found = [column for run in parser.parse_args().runs for column in columns(run)]
    kept = dict(found)  # runs with the same start measured it alike
    rows = [(name, *(shown(figures.get(name)) for figures in kept.values())) for name in SHOWN]
    print(markdown(("figure", *kept), rows), end="")


def shown(figure: list[float] | None) -> str:
    """A figure with its interval, or a dash."""
    return "–" if figure is None else str(Figure(*figure))


if __name__ == "__main__":
    main()
