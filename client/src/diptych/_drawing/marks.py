"""Masks, labels and text on pixels: numpy, and Pillow for text. Fast enough for each frame."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._types.geometry import Box
from ..masks import runs
from ..masks.mask import Mask
from ..masks.runs import Window
from .palette import text_color

if TYPE_CHECKING:
    import PIL.Image

Pixels = NDArray[np.uint8]
"""``(height, width, 3)`` RGB."""

GROUND = "#ffffff"
_STRIP_ROWS = 64
_ALPHA_OF_256 = 107  # 0.42, as figures of still images have


def outline_px(pixels: Pixels) -> int:
    """How thick outlines are on a picture of this size."""
    return max(1, round(_shorter_side(pixels) / 300))


def draw_mask(canvas: Pixels, mask: Mask, ink: str, thickness: int) -> None:
    """Tint the pixels of a mask, and draw its outline inside of it."""
    window = runs.box(mask.counts, mask.size[0])
    if window is None:
        return
    left, top, right, bottom = window
    inside = runs.to_crop(mask.counts, mask.size[0], window)
    region = canvas[top:bottom, left:right]
    rgb = np.array(_rgb(ink), np.uint16)
    tint = rgb * np.uint16(_ALPHA_OF_256)
    # Where it is not inside is computed for nothing: choosing pixels takes ten times as long.
    for first in range(0, len(region), _STRIP_ROWS):
        rows = region[first : first + _STRIP_ROWS]
        # In 256ths and 16 bits: floats would take three times as long.
        mixed = (rows * np.uint16(256 - _ALPHA_OF_256) + tint) >> 8
        where = inside[first : first + _STRIP_ROWS, :, None]
        np.copyto(rows, mixed, where=where, casting="unsafe")
    core = inside
    for _ in range(thickness):
        core = _eroded(core)
    np.copyto(region, rgb.astype(np.uint8), where=(inside & ~core)[:, :, None])


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the pixels that have one outside above, below or beside them."""
    core = np.zeros_like(mask)
    core[1:-1, 1:-1] = (
        mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    )
    return core


def draw_label(canvas: Pixels, text: str, ink: str, box: Box, placed: list[Window]) -> None:
    """Draw the label of what is in a box where none that is ``placed`` is, and add it to them."""
    label = _label(text, ink, text_px(canvas))
    height, width, _ = canvas.shape
    rows, columns, _ = label.shape
    # Above the object, or inside at its top where there is no room above.
    top = int(box.y_min) - rows
    top = min(top if top >= 0 else int(box.y_min), max(0, height - rows))
    left = min(max(0, int(box.x_min)), max(0, width - columns))
    for x0, y0, x1, y1 in sorted(placed, key=lambda other: other[1]):
        beside = left >= x1 or left + columns <= x0 or top >= y1 or top + rows <= y0
        if not beside and y1 + rows <= height:
            top = y1
    placed.append((left, top, left + columns, top + rows))
    room = canvas[top : top + rows, left : left + columns]
    room[:] = label[: room.shape[0], : room.shape[1]]


def text_px(pixels: Pixels) -> int:
    """How high text is on a picture of this size."""
    return min(28, max(10, round(_shorter_side(pixels) / 36)))


def _shorter_side(pixels: Pixels) -> int:
    height, width, _ = pixels.shape
    return int(min(height, width))


@lru_cache(maxsize=512)
def _label(text: str, ground: str, size_px: int) -> Pixels:
    pad = max(2, size_px // 5)
    image = text_pixels(text, size_px, text_color(ground), ground)
    height, width, _ = image.shape
    label = np.full((height + 2 * pad, width + 2 * pad, 3), _rgb(ground), np.uint8)
    label[pad:-pad, pad:-pad] = image
    return label


def paste(canvas: Pixels, image: Pixels, top: int, left: int) -> None:
    """Put one picture onto another; what leaves it is cut off."""
    top, left = max(0, top), max(0, left)
    room = canvas[top : top + image.shape[0], left : left + image.shape[1]]
    room[:] = image[: room.shape[0], : room.shape[1]]


def text_pixels(text: str, size_px: int, ink: str, ground: str | None) -> Pixels:
    """Write lines of text: ``(height, width, 3)`` on a ground, white without one."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size_px)
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    _, _, right, bottom = draw.multiline_textbbox((0, 0), text, font=font)
    # All lines of one size are equally high, whatever letters are in them.
    lowest = draw.multiline_textbbox((0, 0), text + "gj", font=font)[3]
    size = (max(1, round(right)), max(1, round(max(bottom, lowest))))
    image: PIL.Image.Image = Image.new("RGB", size, ground or GROUND)
    ImageDraw.Draw(image).multiline_text((0, 0), text, fill=ink, font=font)
    return np.asarray(image)


def _rgb(ink: str) -> tuple[int, int, int]:
    return int(ink[1:3], 16), int(ink[3:5], 16), int(ink[5:7], 16)
