"""Number formats that pay on the processor at hand."""

from __future__ import annotations

from typing import Any

import torch


def bfloat16_pays() -> bool:
    """Whether products in bfloat16 are quicker than in float32; below AVX-512 tenfold slower."""
    return torch.cuda.is_available() or torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def mixed() -> Any:
    """bfloat16 products within float32 weights for a `with`, on processors where that pays."""
    enabled = bfloat16_pays() and not torch.cuda.is_available()
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)
