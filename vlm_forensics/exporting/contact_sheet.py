"""A picture of all feature maps side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vlm_forensics import features
from vlm_forensics.features._sampling import number
from vlm_forensics.features.base import FloatMap, Measurement
from vlm_forensics.image import display_transform

Picture = NDArray[np.uint8]

_PANEL = 380
_MARGIN = 14
_HEAD = 30
_FOOT = 46
_COLUMNS = 4
_BAR = 8
_INK, _SOFT, _PAPER = (28, 28, 30), (95, 95, 100), (250, 250, 250)
_BOX_COLOURS = ((255, 64, 64), (64, 200, 255), (255, 190, 40), (160, 110, 255))
_EVEN = 0.02
"""A span below this is no difference in any feature's unit and is not stretched to look so."""
_SHOWS = 0.65
"""Opacity of a map over the grey picture, enough of which stays to find one's way."""


class _Panel(NamedTuple):
    """One cell of the sheet."""

    title: str
    shown: Picture
    limits: tuple[float, float] | None
    """Values at both ends of the colours; None without a map."""
    note: str

    def turned(self, orientation: int) -> _Panel:
        shown = np.ascontiguousarray(display_transform(self.shown, orientation))
        return self._replace(shown=shown)


def contact_sheet(
    rgb: Picture, measurements: Mapping[str, Measurement], *, orientation: int = 1
) -> Picture:
    """The picture and one titled panel for each measurement.

    Maps are stretched from their 1st to their 99th percentile, in a colour scale of even steps
    (viridis: dark blue low, yellow high); the numbers at the bar are those limits.

    Args:
        rgb: `[H, W, 3]`, stored grid.
        measurements: By feature name, as `features.measure_all` returns them.
        orientation: EXIF orientation; panels are turned as a viewer turns the picture.

    Returns:
        `[h, w, 3]`.
    """
    thumbnail = _thumbnail(rgb)
    scale = thumbnail.shape[1] / rgb.shape[1]
    boxed = any(found.boxes for found in measurements.values())
    note = "boxes: copied areas" if boxed else ""
    panels = [_Panel("Picture", _with_boxes(thumbnail, measurements, scale), None, note)]
    for name, found in measurements.items():
        shown, limits = _map_panel(thumbnail, found.map)
        panels.append(_Panel(features.get(name).title, shown, limits, headline(found)))
    return _sheet([panel.turned(orientation) for panel in panels])


def headline(measurement: Measurement) -> str:
    """The first value with its name, such as `mean 2.68`; a dash if nothing was measured."""
    for name, value in measurement.values.items():
        return f"{name.replace('_', ' ')} {number(value)}"
    return "- not measured"


def _thumbnail(rgb: Picture) -> Picture:
    height, width = rgb.shape[:2]
    scale = _PANEL / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Enlarged pixels stay visible as such; blending them would draw detail that is not there.
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(rgb, size, interpolation=how), np.uint8)


def _with_boxes(
    thumbnail: Picture, measurements: Mapping[str, Measurement], scale: float
) -> Picture:
    shown = thumbnail.copy()
    for found in measurements.values():
        for index, box in enumerate(found.boxes):
            x0, y0, x1, y1 = (round(edge * scale) for edge in box)
            colour = _BOX_COLOURS[index // 2 % len(_BOX_COLOURS)]
            cv2.rectangle(shown, (x0, y0), (x1 - 1, y1 - 1), colour, 2)
    return shown


def _map_panel(
    thumbnail: Picture, response: FloatMap | None
) -> tuple[Picture, tuple[float, float] | None]:
    """The map over the grey picture, and the values at both ends of its colours."""
    gray = cv2.cvtColor(cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if response is None:
        return np.asarray(gray // 2 + 100, np.uint8), None
    low, high = (float(limit) for limit in np.percentile(response, (1, 99)))
    if high - low < _EVEN:  # a few cells out of many, or a map of one value
        low, high = float(response.min()), float(response.max())
    high = max(high, low + _EVEN)
    level = np.clip((response - low) / (high - low), 0, 1)
    size = thumbnail.shape[1], thumbnail.shape[0]
    small = cv2.resize(np.uint8(np.round(255 * level)), size, interpolation=cv2.INTER_NEAREST)
    colour = cv2.cvtColor(cv2.applyColorMap(small, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.addWeighted(colour, _SHOWS, gray, 1 - _SHOWS, 0), np.uint8), (low, high)


def _sheet(panels: list[_Panel]) -> Picture:
    height, width = panels[0].shown.shape[:2]
    cell_width, cell_height = _PANEL + _MARGIN, _HEAD + height + _FOOT
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    canvas = Image.new(
        "RGB", (columns * cell_width + _MARGIN, rows * cell_height + _MARGIN), _PAPER
    )
    draw = ImageDraw.Draw(canvas)
    for index, (title, shown, limits, note) in enumerate(panels):
        x = _MARGIN + index % columns * cell_width
        y = _MARGIN // 2 + index // columns * cell_height
        draw.text((x, y + 4), title, _INK, _font(18))
        canvas.paste(Image.fromarray(shown), (x + (_PANEL - width) // 2, y + _HEAD))
        _legend(canvas, (x, y + _HEAD + height + 5), limits, note)
    return np.asarray(canvas, np.uint8)


def _legend(
    canvas: Image.Image, corner: tuple[int, int], limits: tuple[float, float] | None, note: str
) -> None:
    """The colour bar with its limits on the left, the headline on the right."""
    draw, (x, y) = ImageDraw.Draw(canvas), corner
    draw.text((x + _PANEL, y), note, _INK, _font(15), anchor="ra")
    if limits is None:
        return
    ramp = np.tile(np.linspace(0, 255, 110).astype(np.uint8), (_BAR, 1))
    bar = cv2.cvtColor(cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    low, high = map(number, limits)
    draw.text((x, y), low, _SOFT, _font(14))
    start = x + int(draw.textlength(low, _font(14))) + 5
    canvas.paste(Image.fromarray(np.asarray(bar, np.uint8)), (start, y + 5))
    draw.text((start + 115, y), high, _SOFT, _font(14))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
