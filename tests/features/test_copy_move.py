"""Copy-move: what was copied is found in its place, and honest images have no finding."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from tests.features.test_known_answers import PHOTOGRAPHS, jpeg, measure, photograph
from vlm_forensics.features._cloning import find_clones

Box = tuple[int, int, int, int]


def overlap(found: Box, expected: Box) -> float:
    """Intersection over union."""
    x = min(found[2], expected[2]) - max(found[0], expected[0])
    y = min(found[3], expected[3]) - max(found[1], expected[1])
    both = max(0, x) * max(0, y)
    size = [(box[2] - box[0]) * (box[3] - box[1]) for box in (found, expected)]
    return both / (sum(size) - both)


def found_pair(boxes: tuple[Box, ...], source: Box, copy: Box, least: float) -> bool:
    """Whether the first pair is these two places, in either order."""
    first, second = boxes[:2]
    pairs = ((first, second), (second, first))
    return any(overlap(a, source) > least and overlap(b, copy) > least for a, b in pairs)


@pytest.mark.parametrize("quality", [None, 80])
@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_pasted_block(name: str, quality: int | None) -> None:
    image = photograph(name)
    image[20:100, 30:120] = image[120:200, 200:290]
    image = jpeg(image, quality)[0] if quality else image
    found = measure("copy_move", image)
    assert found.values["matches"] >= 5
    assert found_pair(found.boxes, (200, 120, 290, 200), (30, 20, 120, 100), 0.4)
    assert found.map[:2].max() == 0
    assert found.map.max() > 0


@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_turned_and_enlarged_block(name: str) -> None:
    image = photograph(name)
    turn = cv2.getRotationMatrix2D((70, 70), 20, 1.2)
    piece = cv2.warpAffine(image[100:240, 180:320], turn, (140, 140), flags=cv2.INTER_CUBIC)
    image[195:295, 345:445] = piece[20:120, 20:120]
    found = measure("copy_move", image)
    assert found.values["matches"] >= 5
    assert found_pair(found.boxes, (204, 124, 296, 216), (345, 195, 445, 295), 0.4)


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_small_piece_of_a_small_image(name: str) -> None:
    image = getattr(data, name)()[:256, :256].copy()
    image[10:50, 10:60] = getattr(data, name)()[150:190, 150:200]
    (clone,) = find_clones(image)
    assert found_pair((clone.a, clone.b), (150, 150, 200, 190), (10, 10, 60, 50), 0.6)
    assert clone.area[30, 35]
    assert clone.area[170, 175]
    assert not clone.area[100, 100]


@pytest.mark.parametrize("quality", [None, 75])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_honest_photographs_have_no_finding(name: str, quality: int | None) -> None:
    image = photograph(name)
    image = jpeg(image, quality)[0] if quality else image
    for picture in (image, image[:256, :256], image[-256:, -256:]):
        found = measure("copy_move", picture)
        assert found.values == {"matches": 0.0, "pairs": 0.0}
        assert found.boxes == ()
        assert not found.map.any()


@pytest.mark.parametrize("kind", ["flat", "noise", "stripes", "checks"])
def test_flat_noisy_and_periodic_images_have_no_finding(kind: str) -> None:
    rows, cols = np.indices((256, 256))
    gray = {
        "flat": np.full((256, 256), 128),
        "noise": np.random.default_rng(1).integers(0, 256, (256, 256)),
        "stripes": cols // 8 % 2 * 200,
        "checks": (rows // 16 + cols // 16) % 2 * 200,
    }[kind]
    assert measure("copy_move", np.dstack([gray.astype(np.uint8)] * 3)).values["matches"] == 0
