"""Pictures of a report: the image as viewers show it, with heat map, mask outline and regions.

Reports keep everything in the stored grid. Only here are picture, map, mask and boxes turned
together by the EXIF orientation, because that is how a person sees the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vlm_forensics import masks
from vlm_forensics.image import display_transform
from vlm_forensics.report import ImageFacts, Region, Report

if TYPE_CHECKING:
    from vlm_forensics.detector import Examination

MAX_SIDE = 1600
"""Longest side of a picture on a page, pixels."""
FILE_SIDE = 1024
"""Longest side of an overlay written as a file of its own, pixels."""
Box = tuple[int, int, int, int]

_FLOOR = 0.15
"""Heat below this is not painted: it would veil the picture without meaning."""
_OPACITY = 0.7
_WHITE, _BLACK = (255, 255, 255, 255), (0, 0, 0, 255)


def display_size(facts: ImageFacts, max_side: int = MAX_SIDE) -> tuple[int, int]:
    """`(width, height)` of the picture after turning and scaling down, never up."""
    width, height = facts.width, facts.height
    if facts.orientation >= 5:
        width, height = height, width
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def display_box(box: Box, facts: ImageFacts, max_side: int = MAX_SIDE) -> Box:
    """A half-open stored-grid box, turned and scaled as the picture is."""
    x0, y0, x1, y1 = box
    width, height = facts.width, facts.height
    if facts.orientation >= 5:
        x0, y0, x1, y1, width, height = y0, x0, y1, x1, height, width
    if facts.orientation in (2, 3, 6, 7):
        x0, x1 = width - x1, width - x0
    if facts.orientation in (3, 4, 7, 8):
        y0, y1 = height - y1, height - y0
    shown = display_size(facts, max_side)
    fx, fy = shown[0] / width, shown[1] / height
    return round(x0 * fx), round(y0 * fy), round(x1 * fx), round(y1 * fy)


def picture(examination: Examination, max_side: int = MAX_SIDE) -> NDArray[np.uint8]:
    """The image as viewers show it, `[h, w, 3]`, scaled down to `max_side`."""
    facts = examination.report.image
    turned = np.ascontiguousarray(display_transform(examination.image.rgb, facts.orientation))
    shown = cv2.resize(turned, display_size(facts, max_side), interpolation=cv2.INTER_AREA)
    return np.asarray(shown, dtype=np.uint8)


def layer(examination: Examination, max_side: int = MAX_SIDE) -> NDArray[np.uint8]:
    """What is laid over the picture: heat and the mask's outline.

    The colours are inferno, whose lightness rises with the value, so the order survives printing
    in grey and colour blindness; opacity rises with it too.

    Returns:
        `[h, w, 4]` RGBA on the display grid; fully transparent where nothing was marked.
    """
    report = examination.report
    inside = _mask(report, max_side)
    heat = inside.astype(np.float32)
    if examination.heatmap is not None:
        heat = _to_display(examination.heatmap.astype(np.float32), report.image, max_side)
    heat = np.clip(np.nan_to_num(heat), 0, 1)
    levels = np.rint(heat * 255).astype(np.uint8)
    painted = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGBA)
    # A flat mask without a map is tinted lightly, so that the picture under it stays readable.
    opacity = _OPACITY if examination.heatmap is not None else _OPACITY / 2
    above = np.clip((heat - _FLOOR) / (1 - _FLOOR), 0, 1)
    painted[..., 3] = np.rint(above * opacity * 255)
    painted[painted[..., 3] == 0] = 0  # equal invisible pixels make a small PNG
    return _outlined(painted, inside)


def overlay(examination: Examination, max_side: int = MAX_SIDE) -> NDArray[np.uint8]:
    """One flat picture `[h, w, 3]`: image, heat, mask outline, region boxes with their ids."""
    base = Image.fromarray(picture(examination, max_side)).convert("RGBA")
    base.alpha_composite(Image.fromarray(layer(examination, max_side), "RGBA"))
    facts = examination.report.image
    boxes = [display_box(region.box, facts, max_side) for region in examination.report.regions]
    _draw_regions(base, examination.report.regions, boxes)
    return np.asarray(base.convert("RGB"))


def _mask(report: Report, max_side: int) -> NDArray[np.bool_]:
    """The mask on the display grid; a region smaller than a display pixel keeps one."""
    width, height = display_size(report.image, max_side)
    if report.mask is None:
        return np.zeros((height, width), dtype=bool)
    stored = masks.decode(report.mask).astype(np.float32)
    return _to_display(stored, report.image, max_side) > 0


def _to_display(
    array: NDArray[np.float32], facts: ImageFacts, max_side: int
) -> NDArray[np.float32]:
    turned = np.ascontiguousarray(display_transform(array, facts.orientation))
    shown = cv2.resize(turned, display_size(facts, max_side), interpolation=cv2.INTER_AREA)
    return np.asarray(shown, dtype=np.float32)


def _outlined(painted: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The layer with the mask's edge in white on black, seen on any background."""
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    thin = max(1, round(max(inside.shape) / 800))
    for colour, thickness in ((_BLACK, 3 * thin), (_WHITE, thin)):
        cv2.drawContours(painted, contours, -1, colour, thickness)
    return painted


def _draw_regions(canvas: Image.Image, regions: Sequence[Region], boxes: Sequence[Box]) -> None:
    draw = ImageDraw.Draw(canvas)
    size = max(12, round(max(canvas.size) / 55))
    font = ImageFont.load_default(size)
    line = max(1, round(max(canvas.size) / 600))
    for region, (x0, y0, x1, y1) in zip(regions, boxes, strict=True):
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=_BLACK, width=3 * line)
        draw.rectangle(
            (x0 + line, y0 + line, max(x0 + line, x1 - 1 - line), max(y0 + line, y1 - 1 - line)),
            outline=_WHITE,
            width=line,
        )
        top = y0 - size - 6 if y0 > size + 6 else y0
        text_width = round(draw.textlength(region.id, font=font))
        draw.rectangle((x0, top, x0 + text_width + 10, top + size + 6), fill=_BLACK)
        draw.text((x0 + 5, top + 1), region.id, font=font, fill=_WHITE)
