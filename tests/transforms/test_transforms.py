"""Every transform moves pixels, mask and label together; the table of them is what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlm_forensics import transforms
from vlm_forensics.datasets.base import Sample
from vlm_forensics.datasets.equalise import SIDE
from vlm_forensics.errors import InputError
from vlm_forensics.fitting import copies, views
from vlm_forensics.taxonomy import Label
from vlm_forensics.transforms import Picture, Scene, Transform
from vlm_forensics.transforms.clockmix import sector

REQUIRED = {"clockmix": {"sources": ("faces",)}}
MAGENTA = (250, 10, 240)


def of(name: str, **settings: object) -> Transform:
    return transforms.transform(name, REQUIRED.get(name, {}) | settings)


def picture(side: int = SIDE, label: Label = Label.TAMPERED, seed: int = 0) -> Picture:
    """Grey noise with a magenta block, which is what the mask marks."""
    rgb = np.random.default_rng(seed).integers(60, 180, (side, side, 3)).astype(np.uint8)
    rgb[..., 1:] = rgb[..., :1]
    mask = np.zeros((side, side), bool)
    if label is Label.TAMPERED:
        top = side // 4 + 8 * seed
        mask[top : top + side // 4, side // 3 : side // 2] = True
        rgb[mask] = MAGENTA
    return Picture(rgb, mask, label, "faces", label is Label.TAMPERED, "splice")


def scene(stored: Picture | None = None) -> Scene:
    return Scene(stored or picture(), (picture(seed=1),))


@pytest.mark.parametrize("name", transforms.names())
def test_the_mask_stays_on_what_it_marks(name: str) -> None:
    before = picture()
    for seed in range(4):
        after = of(name, share=1.0)(before, scene(), np.random.default_rng(seed))
        assert after.rgb.shape == before.rgb.shape
        assert after.rgb.dtype == np.uint8
        assert after.rgb.flags.c_contiguous
        assert after.mask.dtype == bool
        red, green = (after.rgb[..., n].astype(int) for n in (0, 1))
        coloured = red - green > 60
        # Colours run a little over edges in a 4:2:0 save, and jitter may take the colour away.
        if name != "colour_jitter":
            assert (coloured == after.mask).mean() > 0.99, seed
        assert before.rgb[before.mask].tolist() == [list(MAGENTA)] * before.mask.sum()


@pytest.mark.parametrize("name", transforms.names())
def test_draws_repeat_and_do_not_look_at_the_label(name: str) -> None:
    change = of(name)
    real = picture(label=Label.REAL)
    other = Picture(real.rgb, real.mask, Label.SYNTHETIC, real.source, mask_known=False)
    first, again, synthetic = (
        change(one, Scene(one, (one,)), np.random.default_rng(5)) for one in (real, real, other)
    )
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.rgb, synthetic.rgb)
    assert (first.label, synthetic.label) == (Label.REAL, Label.SYNTHETIC)


@pytest.mark.parametrize("name", transforms.names())
def test_contract(name: str) -> None:
    change = of(name)
    assert change.name == name
    assert change.does
    assert 0 <= change.share <= 1
    assert f"| `{name}` | {change.does} |" in transforms.as_markdown()
    assert "share" in transforms.fields(name)


def test_blank_pixels_never_reach_the_words() -> None:
    """What leaves black or foreign pixels must not be described."""
    for name in transforms.names():
        change = of(name, share=1.0)
        bright = Picture(np.full((SIDE, SIDE, 3), 200, np.uint8), np.zeros((SIDE, SIDE), bool),
                         Label.REAL, "faces", mask_known=False)  # fmt: skip
        drawn = [change(bright, Scene(bright, (bright,)), np.random.default_rng(n))
                 for n in range(6)]  # fmt: skip
        black = any((one.rgb.max(2) == 0).any() for one in drawn)
        assert not (black and change.describable), name


def test_a_crop_shows_stored_pixels_and_the_altered_area() -> None:
    stored = picture(3 * SIDE)
    shrunk = picture()
    for seed in range(8):
        cut = of("crop")(shrunk, scene(stored), np.random.default_rng(seed))
        rows = np.lib.stride_tricks.sliding_window_view(stored.rgb[..., 0], (1, SIDE))[:, :, 0]
        assert (rows == cut.rgb[0, :, 0]).all(2).any(), "it was resampled"
        assert cut.mask.any()
    small = picture(SIDE // 2)
    assert of("crop")(shrunk, scene(small), np.random.default_rng(0)) is shrunk


def test_patches_are_black_and_leave_the_mask() -> None:
    before = picture()
    after = of("patch_mask", patch=16, most=0.75)(before, scene(), np.random.default_rng(3))
    gone = after.rgb.max(2) == 0
    cells = gone.reshape(16, 16, 16, 16).mean((1, 3))
    assert set(np.unique(cells)) == {0.0, 1.0}
    assert not (after.mask & gone).any()
    assert np.array_equal(after.mask, before.mask & ~gone)
    shares = [(of("patch_mask")(before, scene(), np.random.default_rng(n)).rgb.max(2) == 0).mean()
              for n in range(40)]  # fmt: skip
    assert max(shares) <= 0.75
    assert np.mean(shares) == pytest.approx(0.375, abs=0.1)


def test_rotation_mixes_no_pixels() -> None:
    before = picture()
    after = of("rotate")(before, scene(), np.random.default_rng(1))
    known = {tuple(pixel) for pixel in before.rgb.reshape(-1, 3).tolist()} | {(0, 0, 0)}
    assert {tuple(pixel) for pixel in after.rgb.reshape(-1, 3).tolist()} <= known


def test_a_clock_mixture_takes_a_sector_of_the_same_class() -> None:
    before, other = picture(), picture(seed=1)
    after = of("clockmix")(before, Scene(before, (other,)), np.random.default_rng(2))
    foreign = (after.rgb != before.rgb).any(2)
    assert np.array_equal(after.rgb[foreign], other.rgb[foreign])
    assert after.label is Label.TAMPERED
    assert after.operation == "splice"
    assert 0.1 < foreign.mean() < 0.9
    unlike = Picture(
        other.rgb, other.mask, other.label, "faces", mask_known=False, operation="blending"
    )
    mixed = of("clockmix")(before, Scene(before, (unlike,)), np.random.default_rng(2))
    assert (mixed.operation, mixed.mask_known) == ("", False)
    elsewhere = of("clockmix", sources=("others",))
    assert elsewhere(before, Scene(before, (other,)), np.random.default_rng(2)) is before
    assert of("clockmix")(before, Scene(before, ()), np.random.default_rng(2)) is before


def test_a_sector_begins_at_twelve_and_has_its_size() -> None:
    quarter = sector(100, 0.25)
    assert quarter[:50, 50:].all()
    assert quarter.sum() == 2500
    assert sector(100, 0.6).mean() == pytest.approx(0.6, abs=0.01)


@pytest.fixture
def samples(tmp_path: Path) -> Callable[..., list[Sample]]:
    def write(labels: list[Label]) -> list[Sample]:
        found = []
        for n, label in enumerate(labels):
            one = picture(300, label, seed=n % 2)
            Image.fromarray(one.rgb).save(tmp_path / f"{n}.png")
            masks = ()
            if label is Label.TAMPERED:
                Image.fromarray(one.mask).save(tmp_path / f"{n}_mask.png")
                masks = (tmp_path / f"{n}_mask.png",)
            found.append(Sample(tmp_path / f"{n}.png", label, "train", "faces", "splice" if masks
                                else "", masks, id=str(n)))  # fmt: skip
        return found

    return write


def test_copies_follow_their_originals(
    samples: Callable[[list[Label]], list[Sample]], tmp_path: Path
) -> None:
    listed = samples([Label.REAL, Label.TAMPERED, Label.SYNTHETIC, Label.TAMPERED])
    changes = [of("turn", share=1.0), of("clockmix", share=1.0)]
    found = copies.build(listed, tmp_path / "a", changes, copies=2, seed=0)
    plain = views.build(listed, tmp_path / "plain", per_image=1, seed=0)
    assert len(found) == 12
    assert np.array_equal(found.rgb[::3], plain.rgb)
    assert found.label.tolist() == np.repeat(plain.label, 3).tolist()
    assert not (found.rgb[1::3] == found.rgb[::3]).all((1, 2, 3)).any()
    again = copies.build(listed, tmp_path / "b", changes, copies=2, seed=0)
    assert np.array_equal(found.rgb, again.rgb)


def test_a_copy_whose_altered_area_is_gone_is_real(
    samples: Callable[[list[Label]], list[Sample]], tmp_path: Path
) -> None:
    class Blank(Transform):
        name = "blank"
        does = "nothing is left"
        describable = False
        share: float = 1.0

        def __call__(self, picture: Picture, *_: object) -> Picture:
            return picture.with_pixels(picture.rgb * 0, picture.mask & False)

    found = copies.build(samples([Label.TAMPERED]), tmp_path / "a", [Blank()], copies=1, seed=0)
    assert found.label.tolist() == [Label.TAMPERED, Label.REAL]


def test_unknown_sources_of_faces_are_named(
    samples: Callable[[list[Label]], list[Sample]], tmp_path: Path
) -> None:
    with pytest.raises(InputError) as refused:
        copies.build(samples([Label.REAL]), tmp_path / "a", [of("clockmix", sources=("face",))],
                     copies=1, seed=0)  # fmt: skip
    assert refused.value.hint == "did you mean faces?"
    assert not (tmp_path / "a").exists()
