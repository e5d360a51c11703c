"""OmniFake (Wu et al. 2025, arXiv 2509.25682): 45 generators, for attribution to unseen ones.

Layout: `{train,val}/real/` and `{train,val}/<generator>/`. The authors' folds hold out generators,
not pictures; their lists are in the code, not in the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vlm_forensics.datasets.base import DatasetAdapter, Sample, Skipped
from vlm_forensics.datasets.folders import image_files, subfolders
from vlm_forensics.taxonomy import Label

_SPLITS = ("train", "val")
_GENERATORS = (
    "ADM", "BAGEL", "BLIP3_o", "BRIA_3_2", "CogView_2", "CogView_4", "DALLE_2", "DALLE_3",
    "DDIM", "DDPM", "DF_GAN", "DiT_XL", "FLUX_Dev", "GALIP", "GigaGAN", "GLIDE", "GPT4_o",
    "HiDream_I1_Dev", "Hunyuan_DiT", "Ideogram", "IF", "Imagen", "Infinity", "Janus_Pro",
    "Leonardo_Phoenix", "LlamaGen", "Lumina_Image_2_0", "Midjourney_V_4", "Midjourney_V_5",
    "Midjourney_V_6", "Muse", "OmniGen", "OmniGen_2", "Ovis_U_1", "PixArt_Alpha",
    "Playground_V_2_5", "SANA_V_1_5", "SDXL", "Show_O", "Stable_Diffusion_3_Medium",
    "Stable_Diffusion_V_1_5", "StyleGAN_3", "UniWorld_V_1", "VQDM", "VQVAE",
)  # fmt: skip
"""Folder names of the authors' lists, to know the set by."""


class OmniFake(DatasetAdapter):
    """One folder a generator, and one of photographs, in each split."""

    name = "omnifake"
    title = "OmniFake"

    def probe(self, root: Path) -> bool:
        """A split holds photographs, and a generator under the authors' name for it."""
        return any(
            (root / split / "real").is_dir()
            and any((root / split / name).is_dir() for name in _GENERATORS)
            for split in _SPLITS
        )

    def scan(self, root: Path) -> Iterator[Sample | Skipped]:
        """Split by split, generator by generator."""
        for split in _SPLITS:
            for folder in subfolders(root / split):
                for path in image_files(folder):
                    yield _sample(root, path, split, folder.name)


def _sample(root: Path, path: Path, split: str, folder: str) -> Sample:
    real = folder == "real"
    return Sample(
        path=path,
        label=Label.REAL if real else Label.SYNTHETIC,
        split=split,
        source=f"omnifake/{folder}",
        generator="" if real else folder,
        id=path.relative_to(root).as_posix(),
    )
