"""`vlmf inspect`: low-level measurements of one image, without any model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlm_forensics.cli import console

if TYPE_CHECKING:
    from vlm_forensics.features.base import Measurement
    from vlm_forensics.image import EvidenceImage

EPILOG = """\b
The numbers describe the image; none of them alone shows that it is forged.

\b
Examples:
  vlmf inspect photo.jpg
  vlmf inspect photo.jpg --verbose --features ela,jpeg_ghost
  vlmf inspect photo.jpg --json --output sheet.png
"""


def inspect(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The image; - reads stdin.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Contact sheet, PNG [NAME.inspect.png in this folder]."),
    ] = None,
    chosen: Annotated[
        str | None,
        typer.Option("--features", metavar="A,B", help="Only these features, separated by commas."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Add what to look for and what to ignore.")
    ] = False,
) -> None:
    """Measure low-level traces of compression, noise, resampling and cloning; needs no model.

    Prints the numbers and writes a contact sheet of the maps.
    """
    names = _names(chosen)
    evidence = _open(image)
    from vlm_forensics import features
    from vlm_forensics.exporting import files
    from vlm_forensics.exporting.contact_sheet import contact_sheet

    measured = features.measure_all(evidence, names)
    target = output or Path(f"{files.stem(evidence.facts())}.inspect.png")
    sheet = contact_sheet(evidence.rgb, measured, orientation=evidence.orientation)
    files.write(target, files.png(sheet))
    if as_json:
        console.write(json.dumps(_as_object(evidence, measured), ensure_ascii=False, indent=2))
    else:
        _print(measured, verbose)
    console.note(f"contact sheet: {target}")


def _names(chosen: str | None) -> list[str] | None:
    """The features asked for.

    Raises:
        typer.BadParameter: one is unknown.
    """
    from vlm_forensics import features
    from vlm_forensics.registry import suggestion

    if chosen is None:
        return None
    asked = list(dict.fromkeys(word.strip() for word in chosen.split(",") if word.strip()))
    known = features.names()
    for name in asked:
        if name not in known:
            raise typer.BadParameter(
                f"no feature is called {name!r}; {suggestion(name, known)}", param_hint="FEATURES"
            )
    if not asked:
        raise typer.BadParameter(f"name some of {', '.join(known)}", param_hint="FEATURES")
    return asked


def _open(path: Path) -> EvidenceImage:
    import sys

    from vlm_forensics.image import DEFAULT_LIMITS, EvidenceImage

    if str(path) == "-":
        data = sys.stdin.buffer.read(DEFAULT_LIMITS.max_bytes + 1)
        return EvidenceImage.from_bytes(data, while_decoding=_import_early)
    return EvidenceImage.open(path, while_decoding=_import_early)


def _import_early() -> None:
    """Imports what comes next in the background, while another process decodes."""
    from threading import Thread

    Thread(target=_import_all, daemon=True).start()


def _import_all() -> None:
    import rich.table  # noqa: F401

    from vlm_forensics import features
    from vlm_forensics.exporting import contact_sheet, files  # noqa: F401

    features.all_features()


def _as_object(image: EvidenceImage, measured: Mapping[str, Measurement]) -> dict[str, Any]:
    """What --json prints: image facts and, by feature name, everything but the map."""
    return {
        "image": image.facts().model_dump(mode="json"),
        "features": {
            name: {
                "values": found.values,
                "text": found.text,
                "boxes": found.boxes,
                "caveats": found.caveats,
            }
            for name, found in measured.items()
        },
    }


def _print(measured: Mapping[str, Measurement], verbose: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from vlm_forensics import features

    table = Table(box=None, pad_edge=False, padding=(0, 2, int(verbose), 0))
    table.add_column("feature", no_wrap=True)
    table.add_column("measured")
    for name, found in measured.items():
        feature = features.get(name)
        lines = Text(found.text)
        for caveat in found.caveats:
            lines.append(f"\n({caveat})", "yellow")
        if verbose:
            numbers = ", ".join(f"{key} {value:.4g}" for key, value in found.values.items())
            lines.append(f"\n{numbers}\ndetects: {feature.detects}\nlook for: {feature.look_for}"
                         f"\nignore: {feature.ignore}\ncaution: {feature.caution}",
                         "dim")  # fmt: skip
        table.add_row(Text(f"{feature.title}\n{name}" if verbose else feature.title, "bold"), lines)
    console.stdout().print(table)
