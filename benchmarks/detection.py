"""Detection and localisation of a model on indexed folders, beside simple baselines.

    python benchmarks/detection.py --data DIR [--data DIR] --split test --work WORK -o test.json

What every figure means is in benchmarks/README.md. Results of single pictures are kept in
`runs/benchmarks`, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # works without installation

from vlm_forensics.datasets.base import Sample
from vlm_forensics.datasets.indexed import read_index
from vlm_forensics.evaluation import judging
from vlm_forensics.evaluation.metrics import as_json, markdown
from vlm_forensics.evaluation.summaries import Figures, image_level, localisation, map_thresholds
from vlm_forensics.taxonomy import Label

CACHE = Path("runs", "benchmarks", "detection.jsonl")
NO_IMAGE_LEVEL = {
    "farisha1497_SpliceNoise-Im": "ten reals of another size and camera; localisation only",
    "k1monfared_photoblog": "pictures padded with black or transparency",
}


def limited(samples: list[Sample], limit: int | None) -> list[Sample]:
    """The first `limit` samples of every source and label."""
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for sample in samples:
        seen[sample.source, sample.label] += 1
        if limit is None or seen[sample.source, sample.label] <= limit:
            kept.append(sample)
    return kept


def judged(samples: list[Sample], view: judging.View, run: argparse.Namespace) -> list[judging.Row]:
    """Rows of the pictures that decode, with label and source."""
    rows = judging.judge_all(samples, view, run.model, run.cache, run.workers)
    pairs = zip(rows, samples, strict=True)
    named = [row | {"label": sample.label, "source": sample.source} for row, sample in pairs]
    refused = [row for row in named if "refused" in row]
    if refused:
        print(f"{len(refused)} of {len(named)} pictures refused", file=sys.stderr)
    return [row for row in named if "refused" not in row]


def printed(found: Figures, split: str) -> None:
    """The tables."""
    image = found["image_level"]
    print(f"## Image level, split {split}, equalised ({image['n']})\n")
    aucs = [f"AUC real/{forged}" for forged in ("synthetic", "tampered", "forged")]
    rows = [(name, *figures) for name, figures in image["methods"].items()]
    print(markdown(("method", *aucs, "balanced accuracy"), rows))
    for title in ("verdicts", "sources", "shortcuts"):
        print("\n" + markdown((title, "value (95 % interval)"), image[title].items()))
    for source, why in found["left_out"].items():
        print(f"\nLeft out of the image level: {source} ({why}).")
    for source, local in found["localisation"].items():
        print(f"\n## Localisation, {source} ({local['n']})\n")
        print(markdown(("score", "mean (95 % interval)"), local["figures"].items()))


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--split", choices=("val", "test"), required=True)
    parser.add_argument("--model", default="vlmf-mini")
    parser.add_argument("--work", type=Path, help="training's folder, for the linear probe")
    parser.add_argument("--limit", type=int, help="pictures of each source and label")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Judges, prints the tables, writes the JSON."""
    run = arguments(argv)
    every = [sample for root in run.data for sample in read_index(root)]
    samples = limited([s for s in every if s.split == run.split], run.limit)
    image = [s for s in samples if s.source not in NO_IMAGE_LEVEL]
    present = {sample.source for sample in samples}
    masked = [s for s in every if s.split == "val" and s.label is Label.TAMPERED and s.has_mask]
    thresholds = map_thresholds(judged(limited(masked, run.limit), "whole", run))
    found: Figures = {
        "split": run.split, "model": str(run.model), "digest": judging.model_digest(run.model),
        "image_level": image_level(judged(image, "square", run), run.work), "localisation": {},
        "left_out": {s: NO_IMAGE_LEVEL[s] for s in NO_IMAGE_LEVEL if s in present},
    }  # fmt: skip
    for source in sorted({s.source for s in samples if s.label is Label.TAMPERED and s.has_mask}):
        own = [s for s in samples if s.source == source and (s.has_mask or s.label is Label.REAL)]
        found["localisation"][source] = localisation(judged(own, "whole", run), thresholds)
    printed(found, run.split)
    if run.output:
        run.output.write_text(as_json(found), encoding="utf-8")


if __name__ == "__main__":
    main()
