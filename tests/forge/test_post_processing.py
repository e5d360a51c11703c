"""What happens to a picture after it was forged, whatever it shows."""

from __future__ import annotations

import io
import json
from collections import Counter

import cv2
import numpy as np
import pytest
from forge_pictures import picture
from PIL import Image

from vlm_forensics.forge.dataset import post_processing
from vlm_forensics.forge.dataset.post_processing import CHAIN_ODDS, MIN_SIDE, Chain


def chains(count: int = 60) -> list[Chain]:
    return [post_processing.draw(np.random.default_rng([0, n])) for n in range(count)]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_every_kind_of_chain_is_drawn_about_as_often_as_stated() -> None:
    counts = Counter(chain.kind for chain in chains(1000))
    for kind, share in CHAIN_ODDS.items():
        assert counts[kind] == pytest.approx(1000 * share, rel=0.3)


def test_a_chain_is_the_same_for_the_same_draw_and_plain_data() -> None:
    assert chains() == chains()
    for chain in chains():
        facts = json.loads(json.dumps(chain.facts()))
        assert facts["steps"][-1]["step"] == "encode"


def test_files_have_the_format_of_their_suffix_and_no_metadata() -> None:
    rgb, mask = picture(1, 140, 170), np.ones((140, 170), bool)
    formats = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
    for chain in chains():
        data, moved = post_processing.apply(chain, rgb, mask)
        image = opened(data)
        assert image.format == formats[chain.suffix]
        assert image.size == moved.shape[::-1]
        assert not image.getexif()
        assert "icc_profile" not in image.info


def test_the_mask_moves_with_every_resize() -> None:
    rgb = np.zeros((300, 400, 3), np.uint8)
    disc = cv2.circle(np.zeros((300, 400), np.uint8), (150, 120), 60, 1, cv2.FILLED).astype(bool)
    rgb[disc] = 255
    resized = 0
    for chain in chains():
        data, mask = post_processing.apply(chain, rgb, disc)
        bright = np.asarray(opened(data).convert("L")) > 127
        assert (bright & mask).sum() / (bright | mask).sum() > 0.97
        resized += mask.shape != disc.shape
    assert resized > 10


@pytest.mark.parametrize("value", [True, False])
def test_a_full_mask_stays_full_and_an_empty_one_empty(value: bool) -> None:
    for chain in chains(20):
        _, mask = post_processing.apply(chain, picture(1, 150, 190), np.full((150, 190), value))
        assert (mask == value).all()


def test_no_step_makes_a_picture_too_small() -> None:
    for size in ((MIN_SIDE, 200), (90, 100), (400, 500)):
        for chain in chains(20):
            _, mask = post_processing.apply(chain, picture(1, *size), np.zeros(size, bool))
            assert min(mask.shape) >= min(MIN_SIDE, *size)
