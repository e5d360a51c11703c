"""Features against their formulas and against images made so that the answer is known."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import pywt
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from vlm_forensics import features
from vlm_forensics.features import (
    dwt_hh,
    ela,
    jpeg_ghost,
    jpeg_quantisation,
    noise_level,
    npr,
    resampling,
    srm,
    texture,
)
from vlm_forensics.features.base import Measurement, PixelArray

Picture = NDArray[np.uint8]
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
RNG_SEED = 7


def photograph(name: str) -> Picture:
    return getattr(data, name)().copy()


def measure(name: str, rgb: Picture) -> Measurement:
    return features.get(name).measure(PixelArray(np.ascontiguousarray(rgb)))


def jpeg(rgb: Picture, quality: int, subsampling: int = 2) -> tuple[Picture, dict]:
    data_ = io.BytesIO()
    Image.fromarray(rgb).save(data_, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(data_) as again:
        tables = {key: tuple(table) for key, table in again.quantization.items()}
        return np.array(again.convert("RGB")), tables


def sides(response: np.ndarray, shape: tuple[int, ...], area: tuple[slice, slice]) -> tuple:
    """Cells of the map inside and outside the area."""
    mask = np.zeros(shape[:2], np.float32)
    mask[area] = 1
    cover = cv2.resize(mask, response.shape[::-1], interpolation=cv2.INTER_AREA)
    return response[cover > 0.9], response[cover < 0.1]


def noisy(shape: tuple[int, int], sigma: float, level: float = 128) -> Picture:
    noise = np.random.default_rng(RNG_SEED).normal(level, sigma, (*shape, 1)).repeat(3, axis=2)
    return np.clip(noise.round(), 0, 255).astype(np.uint8)


class TestNpr:
    @pytest.mark.parametrize("shape", [(8, 8), (33, 46, 3), (50, 51)])
    def test_residual_is_the_formula(self, shape: tuple[int, ...]) -> None:
        x = np.random.default_rng(RNG_SEED).normal(size=shape)
        found = npr.residual(x)
        for row in range(shape[0] // 2 * 2):
            for col in range(shape[1] // 2 * 2):
                expected = x[row, col] - x[row // 2 * 2, col // 2 * 2]
                assert np.allclose(found[row, col], expected)

    def test_measurement_is_the_mean_of_the_residual(self) -> None:
        rgb = photograph("coffee")[:101, :99]
        expected = np.abs(npr.residual(rgb.astype(np.int32))).mean()
        assert measure("npr", rgb).values["mean"] == pytest.approx(expected, rel=1e-6)

    def test_nearest_upsampling_leaves_nothing(self) -> None:
        rgb = photograph("chelsea")[:80, :90].repeat(2, axis=0).repeat(2, axis=1)
        found = measure("npr", rgb)
        assert found.values["mean"] == 0
        assert not found.map.any()


class TestDwtHh:
    @pytest.mark.parametrize("shape", [(32, 32), (33, 47), (50, 41), (35, 36)])
    def test_is_the_band_of_pywavelets(self, shape: tuple[int, int]) -> None:
        x = np.random.default_rng(RNG_SEED).normal(size=shape).astype(np.float32)
        expected = pywt.dwt2(x, "bior1.3", mode="symmetric")[1][2]
        assert np.allclose(dwt_hh.hh(x), expected, atol=1e-5)

    def test_checkerboard_has_the_highest_energy(self) -> None:
        board = (np.indices((64, 64)).sum(axis=0) % 2 * 200).astype(np.uint8)
        stripes = np.tile(board[:1], (64, 1))
        assert measure("dwt_hh", np.dstack([board] * 3)).values["rms"] == 200
        assert measure("dwt_hh", np.dstack([stripes] * 3)).values["rms"] == 0


class TestSrm:
    def test_kernels_predict_planes(self) -> None:
        rows, cols = np.indices((5, 5)) - 2.0
        for kernel in srm.KERNELS:
            assert abs((kernel * (3 * rows + 2 * cols + 7)).sum()) < 1e-5
            assert kernel[2, 2] == -1
        assert srm.KERNELS.dtype == np.float32
        assert srm.KERNELS.shape == (3, 5, 5)

    def test_linear_in_noise(self) -> None:
        levels = [measure("srm", noisy((96, 96), sigma)).values["mean"] for sigma in (3, 6, 12)]
        assert levels[1] / levels[0] == pytest.approx(2, rel=0.1)
        assert levels[2] / levels[1] == pytest.approx(2, rel=0.1)


def test_ela_shows_a_patch_that_was_never_compressed() -> None:
    original = photograph("coffee")
    area = np.s_[200:296, 40:168]
    mixed = jpeg(original, 90)[0]
    mixed[area] = original[area]
    inside, outside = sides(measure("ela", mixed).map, mixed.shape, area)
    before = sides(measure("ela", jpeg(original, 90)[0]).map, mixed.shape, area)[0]
    assert inside.mean() > 3 * outside.mean()
    assert inside.mean() > 3 * before.mean()
    assert ela.error_level(mixed).shape == mixed.shape[:2]


class TestJpegQuantisation:
    @pytest.mark.parametrize("quality", [*range(50, 96, 5), 1, 10, 33, 98, 100])
    def test_quality_of_the_tables(self, quality: int) -> None:
        rgb, tables = jpeg(photograph("chelsea")[:64, :64], quality)
        found = features.get("jpeg_quantisation").measure(PixelArray(rgb, tables))
        assert found.values["quality"] == quality
        assert found.values["standard"] == 1
        assert not found.caveats

    def test_other_tables_are_called_not_standard(self) -> None:
        _, tables = jpeg(photograph("chelsea")[:64, :64], 80)
        changed = {0: (tables[0][0] + 1, *tables[0][1:]), 1: tables[1]}
        assert jpeg_quantisation.match_tables(changed) == (80, False)
        found = features.get("jpeg_quantisation").measure(
            PixelArray(photograph("chelsea")[:64, :64], changed)
        )
        assert "not standard" in found.caveats[0]

    @pytest.mark.parametrize("name", PHOTOGRAPHS)
    @pytest.mark.parametrize("quality", [50, 65, 75, 85, 90])
    def test_earlier_compression_is_read_from_the_pixels(self, name: str, quality: int) -> None:
        found = measure("jpeg_quantisation", jpeg(photograph(name), quality)[0])
        assert abs(found.values["quality"] - quality) <= 1
        assert (found.values["grid_x"], found.values["grid_y"]) == (0, 0)
        assert "no JPEG tables" in found.caveats[0]

    def test_cropping_moves_the_grid(self) -> None:
        found = measure("jpeg_quantisation", jpeg(photograph("chelsea"), 70)[0][3:, 5:])
        assert (found.values["grid_x"], found.values["grid_y"]) == (3, 5)
        assert abs(found.values["quality"] - 70) <= 1

    @pytest.mark.parametrize("name", PHOTOGRAPHS)
    def test_no_compression_no_quality(self, name: str) -> None:
        shrunk = cv2.resize(photograph(name), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        assert measure("jpeg_quantisation", shrunk).values["quality"] == jpeg_quantisation.NEVER


class TestJpegGhost:
    AREA = np.s_[96:224, 96:256]

    @pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
    @pytest.mark.parametrize("quality", [55, 60, 65, 70])
    def test_finds_the_patch_and_its_quality(self, name: str, quality: int) -> None:
        image = photograph(name)
        image[self.AREA] = jpeg(image, quality)[0][self.AREA]
        saved = jpeg(image, 90)[0]
        found = measure("jpeg_ghost", saved)
        inside, outside = sides(found.map, saved.shape, self.AREA)
        assert (inside > jpeg_ghost.DIP).mean() > 0.6
        assert (outside > jpeg_ghost.DIP).mean() < 0.05
        assert abs(found.values["quality"] - quality) <= 2

    @pytest.mark.parametrize("name", PHOTOGRAPHS)
    @pytest.mark.parametrize("quality", [None, 50, 60, 70, 80, 90])
    def test_one_history_has_no_ghost(self, name: str, quality: int | None) -> None:
        image = photograph(name)
        image = jpeg(image, quality)[0] if quality else image
        assert measure("jpeg_ghost", image).values["percent"] < 2.5

    @pytest.mark.parametrize("name", PHOTOGRAPHS)
    def test_the_quality_of_the_file_is_no_ghost(self, name: str) -> None:
        rgb, tables = jpeg(photograph(name), 85)
        found = features.get("jpeg_ghost").measure(PixelArray(rgb, tables))
        assert found.values["percent"] < 1


class TestNoiseLevel:
    @pytest.mark.parametrize("sigma", [1.5, 3, 8])
    def test_measures_sigma(self, sigma: float) -> None:
        assert measure("noise_level", noisy((200, 200), sigma)).values["sigma"] == pytest.approx(
            sigma, rel=0.1
        )

    def test_finds_the_noisier_patch(self) -> None:
        image = noisy((256, 256), 2)
        area = np.s_[64:144, 96:192]
        image[area] = noisy((80, 96), 8)
        found = measure("noise_level", image)
        inside, outside = sides(found.map, image.shape, area)
        assert inside.min() > outside.max()
        assert found.values["outlier_share"] == pytest.approx(80 * 96 / 256**2, abs=0.03)

    def test_brightness_explains_noise(self) -> None:
        """Noise that grows with brightness everywhere is no outlier."""
        dark, bright = noisy((256, 128), 2, 60), noisy((256, 128), 8, 180)
        found = measure("noise_level", np.hstack([dark, bright]))
        assert found.values["outlier_share"] < 0.01

    def test_saturation_is_a_caveat(self) -> None:
        assert measure("noise_level", np.full((64, 64, 3), 255, np.uint8)).caveats
        assert noise_level.block_sigma(np.zeros((1, 16, 16), np.float32)) == 0


class TestResampling:
    @pytest.mark.parametrize("name", PHOTOGRAPHS)
    def test_finds_enlargement_and_its_period(self, name: str) -> None:
        image = photograph(name)
        large = cv2.resize(image, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
        found = measure("resampling", large).values
        assert found["peak"] > 2 * measure("resampling", image).values["peak"]
        assert found["peak"] > 100
        assert found["frequency"] == pytest.approx(1 / 3, abs=0.01)

    def test_survives_mild_compression(self) -> None:
        large = cv2.resize(photograph("coffee"), None, fx=1.5, fy=1.5,
                           interpolation=cv2.INTER_CUBIC)  # fmt: skip
        assert measure("resampling", jpeg(large, 95)[0]).values["peak"] > 20

    @pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket"])
    def test_compression_alone_is_no_resampling(self, name: str) -> None:
        assert measure("resampling", jpeg(photograph(name), 80)[0]).values["peak"] < 12

    @pytest.mark.parametrize("name", PHOTOGRAPHS)
    def test_map_shows_the_enlarged_object(self, name: str) -> None:
        image = photograph(name)
        area = np.s_[64:214, 64:214]
        image[area] = cv2.resize(image[:100, :100], (150, 150), interpolation=cv2.INTER_CUBIC)
        inside, outside = sides(measure("resampling", image).map, image.shape, area)
        assert inside.mean() > 3 * outside.mean()
        assert resampling.PREDICTOR.sum() == 1


class TestTexture:
    def test_diversity_is_the_sum_over_four_directions(self) -> None:
        patch = np.random.default_rng(RNG_SEED).normal(size=(4, 5)).astype(np.float32)
        total = 0.0
        for row in range(4):
            for col in range(5):
                for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    if row + down < 4 and 0 <= col + right < 5:
                        total += abs(patch[row, col] - patch[row + down, col + right])
        assert texture.diversity(patch) == pytest.approx(total, rel=1e-5)

    def test_order_of_flat_smooth_and_rich(self) -> None:
        flat, smooth, rich = noisy((96, 96), 0), noisy((96, 96), 3), noisy((96, 96), 30)
        means = [measure("texture", image).values["mean"] for image in (flat, smooth, rich)]
        assert means[0] == 0
        assert means[0] < means[1] < means[2]

    def test_contrast_needs_two_textures(self) -> None:
        even = measure("texture", noisy((192, 192), 10)).values["contrast"]
        mixed = np.vstack([noisy((96, 192), 2), noisy((96, 192), 20)])
        assert even < 0.3
        assert measure("texture", mixed).values["contrast"] > 2
