"""Calibrations that users make: JSON files of one strict form, whatever they hold."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from vlm_forensics.errors import InputError


class KeptPart(BaseModel):
    """A part of such a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Kept(KeptPart):
    """Such a file. A subclass says what it is and how it is made."""

    what: ClassVar[str]
    """As in "FILE is no `what`"."""
    make: ClassVar[str]
    """The hint on how to make one."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """The calibration in this file.

        Raises:
            InputError: not_found, unreadable, bad_calibration.
        """
        try:
            return cls.model_validate_json(path.read_bytes(), strict=True)
        except FileNotFoundError:
            raise InputError("not_found", f"{path.name} does not exist", hint=cls.make) from None
        except OSError:
            hint = "check that it is a file, and its permissions"
            raise InputError("unreadable", f"{path.name} cannot be read", hint=hint) from None
        except ValidationError as error:
            why = f"{path.name} is no {cls.what} of this version"
            raise InputError("bad_calibration", why, hint=cls.make) from error

    @classmethod
    def check_output(cls, out: Path) -> None:
        """Refuses to replace anything but a calibration of this kind.

        Raises:
            InputError: output_conflict.
        """
        if not out.exists():
            return
        try:
            cls.load(out)
        except InputError as error:
            raise InputError("output_conflict", f"{out.name} exists and is no {cls.what}",
                             hint="give another file: --out") from error  # fmt: skip

    def as_file(self) -> bytes:
        """The file's content."""
        return (self.model_dump_json(indent=1) + "\n").encode()
