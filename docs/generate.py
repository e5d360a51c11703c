"""Write the generated pages: `cli.md`, `report.schema.json`, and tables in three written pages.

In `training.md`, `training_free.md` and the README only what lies between marks is generated; the
README's result tables are those of `results/`, which `benchmarks/results.py --write` keeps.

python docs/generate.py          write them
python docs/generate.py --check  fail if one is not current
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))


def cli_page() -> str:
    """The help of every command, as the command line prints it."""
    os.environ["COLUMNS"] = "80"
    import typer
    from typer.testing import CliRunner

    from vlm_forensics.cli import app

    runner = CliRunner()
    parts = ["# Command line\n\nGenerated from `--help` by `python docs/generate.py`.\n"]

    def add(words: list[str]) -> None:
        text = runner.invoke(app, [*words, "--help"], prog_name="vlmf").output.rstrip()
        parts.append(f"\n## {' '.join(['vlmf', *words])}\n\n```text\n{text}\n```\n")

    add([])
    group: Any = typer.main.get_command(app)
    for name in group.commands:
        add([name])
        for inner in getattr(group.get_command(None, name), "commands", {}):
            add([name, inner])
    return "".join(parts)


def schema() -> str:
    """The JSON Schema of the report."""
    from vlm_forensics.report import json_schema

    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


def training_free() -> str:
    """The page as it is, with the tables of scores and of measured figures renewed."""
    from vlm_forensics.training_free.measured import Measured, markdown
    from vlm_forensics.training_free.scores import as_markdown

    figures = markdown(Measured.load())
    return renewed("training_free.md", {"scores": as_markdown(), "scores measured": figures})


def training() -> str:
    """The page as it is, with the table of transforms renewed."""
    from vlm_forensics.transforms import as_markdown

    return renewed("training.md", {"transforms": as_markdown()})


SHOWN = {
    "val": ("Methods",),
    "test": ("Methods", "Verdicts and probabilities", "Masks, end to end", "Masks of baselines",
             "Shortcut probe"),
}  # fmt: skip
"""The parts of the result tables that the README shows."""


def readme() -> str:
    """The README as it is, with its figures renewed."""
    from vlm_forensics.training_free.measured import Measured, markdown

    tables = {"training-free": markdown(Measured.load(), "test")}
    tables |= {f"results {split}": results(split, titles) for split, titles in SHOWN.items()}
    return renewed("../README.md", tables)


def results(split: str, titles: tuple[str, ...]) -> str:
    """These parts of what `benchmarks/results.py` printed, one level deeper, with its headline."""
    page = (HERE / "results" / f"{split}.md").read_text(encoding="utf-8")
    headline, *parts = page.split("\n## ")
    found = {part.partition("\n")[0]: part.rstrip() for part in parts}
    facts = [line for line in headline.splitlines()[1:] if line]
    return "\n\n".join([*facts, *(f"#### {found[title]}" for title in titles)]) + "\n"


def renewed(page: str, tables: dict[str, str]) -> str:
    """A page with everything between `<!-- NAME -->` and `<!-- end NAME -->` replaced."""
    text = (HERE / page).read_text(encoding="utf-8")
    for name, table in tables.items():
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end {name} -->")
        assert start, f"{page} has no place for {name}"
        assert end, f"{page} has no end of {name}"
        text = f"{before}{start}{table}{end}{after}"
    return text


PAGES = {"cli.md": cli_page, "report.schema.json": schema, "training_free.md": training_free,
         "training.md": training, "../README.md": readme}  # fmt: skip


def stale() -> list[str]:
    """Names of the generated pages that are not current."""
    return [
        name
        for name, make in PAGES.items()
        if not (HERE / name).is_file() or (HERE / name).read_text(encoding="utf-8") != make()
    ]


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(f"not current: {', '.join(stale())}" if stale() else 0)
    for page, content in PAGES.items():
        (HERE / page).write_text(content(), encoding="utf-8")
