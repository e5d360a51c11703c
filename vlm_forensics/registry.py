"""Plug-ins by folder scan: one module of a package is one plug-in, named like its file.

Example:
    >>> features = Registry[Feature]("vlm_forensics.features", Feature, "feature")  # doctest: +SKIP
    >>> features.names, features.get("ela")  # doctest: +SKIP
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from vlm_forensics.errors import InputError

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Registry(Generic[Kind]):
    """The plug-ins of one package."""

    package: str
    kind: type[Any]
    """The base class of all of them; it may be abstract, hence not `type[Kind]`."""
    word: str
    """What one of them is called in messages and in the error's code."""
    besides: Collection[str] = ()
    """Public modules that are no plug-ins."""
    otherwise: str = ""
    """The hint for a name that resembles none; by default it lists them."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All names, in alphabetical order; imports none of the modules."""
        folder = import_module(self.package).__path__
        found = {m.name for m in pkgutil.iter_modules(folder) if not m.name.startswith("_")}
        return tuple(sorted(found.difference(self.besides)))

    def module(self, name: str) -> ModuleType:
        """The module of this name.

        Raises:
            InputError: there is none (`unknown_` and the word).
        """
        if name not in self.names:
            hint = suggestion(name, self.names, self.otherwise)
            raise InputError(
                f"unknown_{self.word}", f"no {self.word} is called {name!r}", hint=hint
            )
        return import_module(f"{self.package}.{name}")

    def get(self, name: str) -> Kind:
        """A new instance of the class in the module of this name.

        Raises:
            InputError: there is no such module.
            TypeError: the module holds no subclass of `kind`.
        """
        return self.member(name)()

    def member(self, name: str) -> type[Kind]:
        """The class in the module of this name, for plug-ins that take settings.

        Raises:
            InputError: there is no such module.
            TypeError: the module holds no subclass of `kind`.
        """
        module = self.module(name)
        for _, member in inspect.getmembers(module, inspect.isclass):
            if issubclass(member, self.kind) and member.__module__ == module.__name__:
                return cast(type[Kind], member)
        raise TypeError(f"the module {name!r} holds no {self.word}")


def suggestion(name: str, known: Sequence[str], otherwise: str = "") -> str:
    """What to say to someone who gave an unknown name: the likeliest one, else `otherwise`."""
    if near := get_close_matches(name.lower(), known, 1):
        return f"did you mean {near[0]}?"
    return otherwise or f"there are {', '.join(known)}"
