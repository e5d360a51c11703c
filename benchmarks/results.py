"""The README's tables of results: the shipped default and the baselines, on val and on test.

    python benchmarks/results.py --data DIR [--data DIR] [--check] [--write]

Prints what `vlmf eval` prints for both splits. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without installation

from vlm_forensics.evaluation import evaluate as evaluation
from vlm_forensics.evaluation import writing
from vlm_forensics.weights import cache_folder

SPLITS = ("val", "test")
PAGES = Path(__file__).resolve().parents[1] / "docs" / "results"


def table(request: evaluation.Request) -> str:
    """What `vlmf eval` prints for this request."""
    return writing.to_markdown(evaluation.evaluate(request))


def differing(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """The splits whose tables are not the same text."""
    return [split for split in first if first[split] != second[split]]


def main(argv: list[str] | None = None) -> None:
    """Prints, compares and writes the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--limit", type=int, help="pictures of each source, label and split")
    parser.add_argument("--leave-out", action="append", default=[], metavar="SOURCE")
    parser.add_argument("--model", default="vlmf-mini")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="fail if a second run differs")
    parser.add_argument("--write", action="store_true", help="keep the tables in docs/results/")
    run = parser.parse_args(argv)
    request = evaluation.Request(
        data=tuple(run.data), cache=cache_folder() / "evaluation" / "judged.jsonl",
        model=run.model, limit=run.limit, left_out=tuple(run.leave_out), workers=run.workers,
    )  # fmt: skip
    found = {split: table(replace(request, split=split)) for split in SPLITS}
    for split, text in found.items():
        print(text)
        if run.write:
            (PAGES / f"{split}.md").write_text(text, encoding="utf-8")
    if run.check:
        again = {split: table(replace(request, split=split, fresh=True)) for split in SPLITS}
        if changed := differing(found, again):
            sys.exit(f"a second run printed another table: {', '.join(changed)}")
        print("A second run, which judged every picture again, printed the same.")


if __name__ == "__main__":
    main()
