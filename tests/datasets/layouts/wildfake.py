"""WildFake: tables of the total split, zips unpacked where they lie."""

from __future__ import annotations

from pathlib import Path

from vlm_forensics.datasets.base import SkipCode
from vlm_forensics.taxonomy import Label

from . import Expected, image_bytes, loses, put

HEADER = "Generator,Architecture,Weight,Category,IsAdvanced,IsFake,Image_path,Num"
GAN = "GAN_based,styleGAN,official,ffhq,0,1,./GAN_based/Typical/styleGAN/ffhq/img000000.jpg,1"
BARE = "Diffusion_based,Midjourney,MJ,mj_v5,1,1,./Diffusion_based/Midjourney/Advanced/mj_v5/a.png,2"
PHOTO = "Real,coco,coco,coco,0,0,./Real/coco/coco2017/test2017/img000000.jpg,3"


def make(root: Path) -> list[Expected]:
    put(root / "Images/GAN_based/Typical/styleGAN/ffhq/img000000.jpg", image_bytes(0, "JPEG"))
    put(root / "Images/Diffusion_based/Midjourney/Advanced/a.png", image_bytes(1))
    put(root / "Images/Real/coco/coco2017/test2017/img000000.jpg", image_bytes(2, "JPEG"))
    _table(root, "train", GAN, BARE)
    _table(root, "test", PHOTO)
    return [
        Expected(Label.SYNTHETIC, "train", generator="GAN_based/styleGAN/official/ffhq"),
        Expected(Label.SYNTHETIC, "train", generator="Diffusion_based/Midjourney/MJ/mj_v5"),
        Expected(Label.REAL, "test"),
    ]


def _table(root: Path, split: str, *rows: str) -> None:
    folder = root / "split_train_test/csv_file/total_split"
    put(folder / f"{split}_metadata.csv", "\n".join((HEADER, *rows)))


def broken_image(root: Path) -> SkipCode:
    put(root / "Images/Real/coco/coco2017/test2017/img000000.jpg", b"no image")
    return SkipCode.BROKEN_IMAGE


def missing_image(root: Path) -> SkipCode:
    (root / "Images/Diffusion_based/Midjourney/Advanced/a.png").unlink()
    return SkipCode.MISSING_IMAGE


def short_row(root: Path) -> SkipCode:
    _table(root, "test", "Real,coco")
    return SkipCode.BROKEN_ROW


def unknown_label(root: Path) -> SkipCode:
    _table(root, "test", PHOTO.replace("0,0,./", "0,2,./"))
    return SkipCode.UNKNOWN_LABEL


@loses(0)
def row_of_a_packed_zip(root: Path) -> SkipCode:
    _table(root, "test", PHOTO, "Real,wukong,,,0,0,./Real/wukong/img000000.jpg,4")
    return SkipCode.MISSING_IMAGE


DAMAGES = (broken_image, missing_image, short_row, unknown_label, row_of_a_packed_zip)
