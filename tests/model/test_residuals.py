"""The network's fixed residuals are those that the report shows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from vlm_forensics.features import dwt_hh, npr, srm
from vlm_forensics.model.low_level import CHANNELS, Residuals

_UNIT, _CLIP = 4.0, 4.0


@pytest.fixture(params=[(64, 96), (128, 128)])
def photo(request: pytest.FixtureRequest) -> np.ndarray:
    height, width = request.param
    soft = cv2.GaussianBlur(data.astronaut(), (0, 0), 1.5)  # residuals below the clip
    return np.ascontiguousarray(soft[40 : 40 + height, 60 : 60 + width])


@pytest.fixture
def channels(photo: np.ndarray) -> np.ndarray:
    found = Residuals()(torch.from_numpy(photo).permute(2, 0, 1)[None].float())
    assert found.shape == (1, CHANNELS, *photo.shape[:2])
    return found[0].numpy()


def clipped(residual: np.ndarray) -> np.ndarray:
    return np.clip(residual / _UNIT, -_CLIP, _CLIP)


def grey(photo: np.ndarray) -> np.ndarray:
    return (photo.astype(np.float32) @ np.float32([0.299, 0.587, 0.114])).astype(np.float32)


def test_rgb_is_scaled(photo: np.ndarray, channels: np.ndarray) -> None:
    assert np.allclose(channels[:3].transpose(1, 2, 0), photo / 127.5 - 1, atol=1e-6)


def test_npr_is_that_of_the_feature(photo: np.ndarray, channels: np.ndarray) -> None:
    expected = npr.residual(photo.astype(np.float32)) * (2 / 3)  # the factor of Tan et al.
    assert np.allclose(channels[3:6].transpose(1, 2, 0), clipped(expected), atol=1e-5)


def test_hh_holds_the_band_of_the_feature(photo: np.ndarray, channels: np.ndarray) -> None:
    """Undecimated: every second value in both directions is the band."""
    band = np.abs(clipped(dwt_hh.hh(grey(photo))[1:-1, 1:-1]))
    ours = np.abs(channels[6])
    cells = [ours[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    inner = band[2:-2, 2:-2]
    height, width = inner.shape
    places = [
        cell[y : y + height, x : x + width]
        for cell in cells
        for y in range(cell.shape[0] - height + 1)
        for x in range(cell.shape[1] - width + 1)
    ]
    assert min(float(np.abs(place - inner).max()) for place in places) < 1e-3


def test_srm_has_the_kernels_of_the_feature(photo: np.ndarray, channels: np.ndarray) -> None:
    for kernel, channel in zip(srm.KERNELS, channels[7:], strict=True):
        expected = cv2.filter2D(grey(photo), -1, kernel)  # mirrored at the border, as ours
        assert np.allclose(channel, clipped(expected), atol=1e-3)


def test_residuals_have_no_weights_and_are_saved() -> None:
    part = Residuals()
    assert not list(part.parameters())
    assert part.state_dict().keys() == {"hh", "srm", "luma"}


def test_strong_residuals_are_cut() -> None:
    board = torch.zeros(1, 3, 32, 32)
    board[..., ::2, ::2] = 255
    found = Residuals()(board)
    assert found[:, 3:].abs().max() == _CLIP
