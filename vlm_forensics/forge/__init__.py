"""Training samples whose forgery is known: a photograph in, an altered one with its mask out.

Example:
    >>> sample = forge(photo, donor, Operation.SPLICE, seed=7)
    >>> sample.mask.mean(), sample.params["scale"]
"""

from __future__ import annotations

import zlib
from functools import cache

import numpy as np

from vlm_forensics.forge.base import ForgedSample, ForgeOperation, NothingAlteredError, Rgb
from vlm_forensics.registry import Registry
from vlm_forensics.taxonomy import Operation

__all__ = [
    "ForgeOperation",
    "ForgedSample",
    "NothingAlteredError",
    "all_operations",
    "forge",
    "get",
]


@cache
def all_operations() -> tuple[ForgeOperation, ...]:
    """Every operation that has a file in this folder, in the order of the taxonomy."""
    modules = Registry[ForgeOperation](__name__, ForgeOperation, "operation")
    for name in modules.names:
        modules.module(name)
    # Subclasses made elsewhere, a test's for one, are not members of the folder.
    own = [cls for cls in ForgeOperation.__subclasses__() if cls.__module__.startswith(__name__)]
    found = {cls.operation: cls() for cls in own}
    return tuple(found[operation] for operation in Operation if operation in found)


def get(operation: Operation) -> ForgeOperation:
    """The operation of this name.

    Raises:
        KeyError: the forge cannot make it (`full_generation` needs real generators).
    """
    for candidate in all_operations():
        if candidate.operation is operation:
            return candidate
    known = ", ".join(candidate.operation for candidate in all_operations())
    raise KeyError(f"the forge has no operation {operation}; it has {known}")


def forge(photo: Rgb, donor: Rgb, operation: Operation, seed: int) -> ForgedSample:
    """One altered copy of `photo`; the same arguments give the same bytes.

    Args:
        photo: `[H, W, 3]` uint8, at least 32 px a side.
        donor: another photograph of any size, for operations that need foreign pixels.
        operation: what to do; any but `full_generation`.
        seed: ≥ 0; each operation draws its own stream from it.

    Raises:
        NothingAlteredError: the photo is too flat for this operation; take another.
        WeightsError: the operation needs a network whose weights are missing.
    """
    rng = np.random.default_rng([seed, zlib.crc32(operation.encode())])
    return get(operation).apply(photo, donor, rng)
