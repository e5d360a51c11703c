"""Brings the pictures that `docs/extra.csv` lists, byte for byte, from public repositories.

    python training/extra_sources.py --out DIR [--copies DIR]

Each repository is cloned at its newest commit, without the files that are not wanted; a folder of
bare clones named owner+name can be given instead. A file whose git blob id differs is counted as
missing and never replaced. Writes DIR/index.csv; a second run goes on.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

LIST = Path(__file__).resolve().parents[1] / "docs" / "extra.csv"
COLUMNS = ("path", "label", "split", "source", "generator")
"""Of the index that is written; `vlm_forensics.datasets.indexed` reads it."""


def listed() -> list[dict[str, str]]:
    """The rows of the list, by repository."""
    with LIST.open(newline="", encoding="utf-8") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["repository"])


def clone(repository: str, place: Path) -> Path:
    """A bare clone of `owner/name` that fetches files when they are asked for."""
    url = f"https://github.com/{repository}"
    command = ["git", "clone", "--bare", "--depth", "1", "--filter", "blob:none", url, str(place)]
    subprocess.run(command, check=True)
    return place


def copied(repository: str, copies: Path) -> Path:
    """The bare clone of `owner/name` in a folder of such."""
    found = sorted(copies.joinpath(repository.replace("/", "+")).glob("**/HEAD"))
    if not found:
        raise FileNotFoundError(f"{copies} holds no copy of {repository}")
    return found[0].parent


def blob(git: Path, name: str) -> bytes | None:
    """The file with this git blob id; None when it is absent or differs."""
    command = ["git", "--git-dir", str(git), "cat-file", "blob", name]
    data = subprocess.run(command, capture_output=True, check=False).stdout
    return data if hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == name else None


def bring(rows: list[dict[str, str]], out: Path, copies: Path | None) -> Iterator[dict[str, str]]:
    """Writes the pictures of one repository; yields the rows whose picture lies there."""
    wanted = [row for row in rows if not (out / row["path"]).is_file()]
    with tempfile.TemporaryDirectory() as scratch:
        repository = rows[0]["repository"]
        if wanted:
            git = copied(repository, copies) if copies else clone(repository, Path(scratch))
        for row in wanted:
            data = blob(git, row["blob"])
            if data is not None:
                target = out / row["path"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
    yield from (row for row in rows if (out / row["path"]).is_file())


def main(argv: list[str] | None = None) -> None:
    """Brings everything, writes the index, counts what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--copies", type=Path)
    options = parser.parse_args(argv)
    rows, found, missing = listed(), [], Counter[str]()
    for repository, group in groupby(rows, key=lambda row: row["repository"]):
        mine = list(group)
        try:
            got = list(bring(mine, options.out, options.copies))
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            print(error, file=sys.stderr)
            got = []
        found += got
        missing[repository] += len(mine) - len(got)
    with (options.out / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(found)
    print(f"{len(found)} of {len(rows)} pictures; missing: {dict(+missing)}")


if __name__ == "__main__":
    main()
