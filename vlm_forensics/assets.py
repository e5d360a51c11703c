"""Files shipped beside the package: prompts, training recipes, data cards."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def asset(*parts: str) -> Path:
    """A shipped file or folder: beside the package in a checkout, inside it in a wheel.

    Raises:
        FileNotFoundError: nothing of that name is shipped.
    """
    checkout = _HERE.parent
    root = checkout if (checkout / "pyproject.toml").is_file() else _HERE / "_assets"
    path = root.joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f"{'/'.join(parts)} is not shipped with this installation")
    return path
