"""A photo, a donor and a stand-in for the networks that need weights."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from forge_pictures import picture

from vlm_forensics.forge import networks
from vlm_forensics.forge.base import Rgb


@pytest.fixture
def photo() -> Rgb:
    return picture(1)


@pytest.fixture
def donor() -> Rgb:
    return picture(2)


@pytest.fixture
def tiny_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Re-synthesis by fixed arithmetic: enlarge smoothly; launder by rounding colours."""

    def super_resolve(images: Rgb, network: str = "compact_x4") -> Rgb:
        factor = networks.factor(network)
        return cv2.resize(images, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)

    def autoencode(images: Rgb) -> Rgb:
        return (cv2.blur(images, (3, 3)) // 8 * 8).astype(np.uint8)

    monkeypatch.setattr(networks, "super_resolve", super_resolve)
    monkeypatch.setattr(networks, "autoencode", autoencode)
