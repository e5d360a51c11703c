"""After `equalise`, size, format and JPEG tables tell nothing about the class."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data
from sklearn.linear_model import LogisticRegression

from vlm_forensics.datasets.equalise import SIDE, Square, centre_square, equalise, recompress, take
from vlm_forensics.features.base import PixelArray


@pytest.mark.parametrize("shape", [(40, 60), (256, 256), (301, 700), (900, 512)])
def test_any_input_comes_out_alike(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = equalise(rgb)
    assert found.rgb.shape == (SIDE, SIDE, 3)
    assert found.rgb.dtype == np.uint8
    assert found.quantization == equalise(data.chelsea()).quantization
    assert found.quantization is not None
    assert all(len(table) == 64 for table in found.quantization.values())


def test_the_square_is_centred_and_the_largest() -> None:
    assert centre_square(100, 300) == Square(100, 0, 100)
    assert centre_square(301, 100) == Square(0, 100, 100)
    rgb = np.zeros((100, 300, 3), np.uint8)
    rgb[:, 100:200] = 200
    assert (take(rgb, centre_square(100, 300)) == 200).all()


def test_shrinking_averages_what_it_leaves_out() -> None:
    board = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)
    small = take(np.repeat(board[..., None], 3, 2), Square(0, 0, 512))
    assert abs(int(small.mean()) - 127) <= 1
    assert int(small.max()) - int(small.min()) <= 1


def test_recompressing_uses_the_tables_of_the_quality() -> None:
    photo = np.ascontiguousarray(data.astronaut()[:256, :256])
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=70, subsampling="4:2:0")
    with Image.open(buffer) as image:
        expected = {k: tuple(v) for k, v in image.quantization.items()}  # type: ignore[attr-defined]
        assert np.array_equal(recompress(photo, 70).rgb, np.asarray(image))
    assert recompress(photo, 70).quantization == expected != recompress(photo, 90).quantization


def shortcuts(found: PixelArray) -> list[float]:
    """What a file says without its pixels."""
    tables = found.quantization or {}
    return [*found.rgb.shape[:2], float(len(tables)), *(float(sum(t)) for t in tables.values())]


def test_a_classifier_of_size_and_compression_learns_nothing() -> None:
    """Reals as small JPEGs of quality 95, forgeries as large uncompressed pictures."""
    photos = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()] * 2
    crops = [photo[n * 9 : n * 9 + 270, : 290 + n] for n, photo in enumerate(photos)]
    reals = [recompress(np.ascontiguousarray(crop), 95) for crop in crops]
    forged = [PixelArray(np.kron(crop, np.ones((2, 2, 1), np.uint8))) for crop in crops]
    labels = np.repeat([0, 1], len(crops))

    def accuracy(rows: list[list[float]]) -> float:
        width = max(map(len, rows))
        x = np.array([row + [0.0] * (width - len(row)) for row in rows])
        return float(LogisticRegression(max_iter=1000).fit(x, labels).score(x, labels))

    raw = [shortcuts(found) for found in (*reals, *forged)]
    equal = [shortcuts(equalise(found.rgb)) for found in (*reals, *forged)]
    assert accuracy(raw) == 1
    assert accuracy(equal) == 0.5
