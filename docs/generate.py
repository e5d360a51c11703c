"""Write the generated pages of this folder: `cli.md`, `report.schema.json`, `training_free.md`.

Of the last only the tables are generated, between their marks; the text is written by hand.

python docs/generate.py          write them
python docs/generate.py --check  fail if one is not current
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

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
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        add([name])
        for inner in getattr(command, "commands", {}):
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

    page = (HERE / "training_free.md").read_text(encoding="utf-8")
    for mark, table in (("scores", as_markdown()), ("figures", markdown(Measured.load()))):
        before, found, rest = page.partition(f"<!-- {mark} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        page = f"{before}{found}\n{table}\n{end}{after}"
    return page


PAGES = {"cli.md": cli_page, "report.schema.json": schema, "training_free.md": training_free}


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
