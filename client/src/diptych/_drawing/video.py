"""Results drawn on frames, fast enough for every frame of a clip: numpy, and Pillow for text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._video.frames import FrameLike, frame_pixels
from ..masks import runs
from ..masks.mask import Mask
from ..masks.runs import Window
from .palette import color, text_color

if TYPE_CHECKING:
    import PIL.Image

    from .._types.video import VideoFrameResult, VideoObject

Pixels = NDArray[np.uint8]

SERVER_IDS = 2**30
"""Objects that the server found by itself have ids from here on."""
_ALPHA_OF_256 = 107  # 0.42, as figures of still images have
_GROUND, _INK, _FAINT, _ALARM = "#ffffff", "#1a1a1a", "#666666", "#b00020"
_GAP_PX = 4


@dataclass(frozen=True)
class VideoPanel:
    """One column of ``side_by_side``."""

    title: str
    """Such as the model's id."""
    pixels: Pixels = field(repr=False)
    """``(height, width, 3)`` RGB uint8."""
    note: str = ""
    """Small, at the right of the title."""
    error: str = ""
    """Why there is no answer: written over the paled image."""


def draw_result(result: VideoFrameResult, frame: FrameLike) -> Pixels:
    """Draw a result on its frame: ``(height, width, 3)``. See ``VideoFrameResult.draw``."""
    pixels = frame_pixels(frame)
    if pixels.shape[:2] != result.image_size:
        height, width = result.image_size
        raise ValueError(
            f"frame: expected the frame of the result, {width}x{height} px, "
            f"got {pixels.shape[1]}x{pixels.shape[0]} px"
        )
    canvas = pixels.copy()
    thickness = _outline_px(canvas)
    # Small objects last, so that large ones do not cover them.
    for found in sorted(result.objects, key=lambda one: (-one.segment.area, one.object_id)):
        if found.segment.mask is not None:
            _draw_mask(canvas, found.segment.mask, color(found.object_id), thickness)
    placed: list[Window] = []
    for found in result.objects:
        _draw_label(canvas, found, placed)
    return canvas


def side_by_side(panels: Sequence[VideoPanel]) -> Pixels:
    """Put panels from left to right, each under a strip with its title: ``(height, width, 3)`` RGB.

    The tallest sets the height.

    Raises:
        ValueError: there is no panel.
    """
    if not panels:
        raise ValueError("panels: expected at least one, got none")
    height = max(panel.pixels.shape[0] for panel in panels)
    strip = max(20, round(height / 16))
    width = sum(panel.pixels.shape[1] for panel in panels) + _GAP_PX * (len(panels) - 1)
    canvas = np.full((strip + height, width, 3), 255, np.uint8)
    left = 0
    for panel in panels:
        rows, columns, _ = panel.pixels.shape
        canvas[:strip, left : left + columns] = _title(panel.title, panel.note, columns, strip)
        canvas[strip : strip + rows, left : left + columns] = _body(panel)
        left += columns + _GAP_PX
    return canvas


def object_name(object_id: int) -> str:
    """How an object is called: its id, or the number that the server gave it."""
    return f"auto {object_id - SERVER_IDS}" if object_id >= SERVER_IDS else str(object_id)


def _outline_px(pixels: Pixels) -> int:
    return max(1, round(_shorter_side(pixels) / 300))


def _draw_mask(canvas: Pixels, mask: Mask, ink: str, thickness: int) -> None:
    window = runs.box(mask.counts, mask.size[0])
    if window is None:
        return
    left, top, right, bottom = window
    inside = runs.to_crop(mask.counts, mask.size[0], window)
    region = canvas[top:bottom, left:right]
    rgb = np.array(_rgb(ink), np.uint16)
    below = region[inside]
    # In 256ths and 16 bits: floats would take three times as long.
    mixed = (below * np.uint16(256 - _ALPHA_OF_256) + rgb * np.uint16(_ALPHA_OF_256)) >> 8
    region[inside] = mixed.astype(np.uint8)
    core = inside
    for _ in range(thickness):
        core = _eroded(core)
    region[inside & ~core] = rgb.astype(np.uint8)


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the pixels that have one outside above, below or beside them."""
    core = np.zeros_like(mask)
    core[1:-1, 1:-1] = (
        mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    )
    return core


def _draw_label(canvas: Pixels, found: VideoObject, placed: list[Window]) -> None:
    """Draws an object's label where none of those that are ``placed`` is, and adds it to them."""
    box = found.segment.box
    if box is None:
        return
    name = [object_name(found.object_id), found.segment.label, f"{found.presence:.2f}"]
    text = " ".join(part for part in name if part)
    label = _label(text, color(found.object_id), _text_px(canvas))
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


def _text_px(pixels: Pixels) -> int:
    return min(28, max(10, round(_shorter_side(pixels) / 36)))


def _shorter_side(pixels: Pixels) -> int:
    height, width, _ = pixels.shape
    return int(min(height, width))


@lru_cache(maxsize=512)
def _label(text: str, ground: str, size_px: int) -> Pixels:
    pad = max(2, size_px // 5)
    image = _text(text, size_px, text_color(ground), ground)
    return np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="edge")


def _title(title: str, note: str, width: int, height: int) -> Pixels:
    strip = np.full((height, width, 3), 255, np.uint8)
    size_px = round(height * 0.6)
    pad = max(2, height // 6)
    right = width
    if note:
        image = _text(note, round(size_px * 0.8), _FAINT, _GROUND)
        right = max(0, width - image.shape[1] - pad)
        _paste(strip, image, (height - image.shape[0]) // 2, right)
    image = _text(title, size_px, _INK, _GROUND)[:, : max(0, right - 2 * pad)]
    _paste(strip, image, (height - image.shape[0]) // 2, pad)
    return strip


def _body(panel: VideoPanel) -> Pixels:
    if not panel.error:
        return panel.pixels
    pale = (255 - (255 - panel.pixels.astype(np.uint16)) // 5).astype(np.uint8)
    height, width, _ = pale.shape
    size_px = _text_px(pale)
    lines = textwrap.wrap(panel.error, max(8, round(width * 1.7 / size_px)))
    image = _text("\n".join(lines[: max(1, height // (2 * size_px))]), size_px, _ALARM, None)
    _paste(pale, image, (height - image.shape[0]) // 2, (width - image.shape[1]) // 2)
    return pale


def _paste(canvas: Pixels, image: Pixels, top: int, left: int) -> None:
    top, left = max(0, top), max(0, left)
    room = canvas[top : top + image.shape[0], left : left + image.shape[1]]
    room[:] = image[: room.shape[0], : room.shape[1]]


def _text(text: str, size_px: int, ink: str, ground: str | None) -> Pixels:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size_px)
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    _, _, right, bottom = draw.multiline_textbbox((0, 0), text, font=font)
    # All lines of one size are equally high, whatever letters are in them.
    lowest = draw.multiline_textbbox((0, 0), text + "gj", font=font)[3]
    size = (max(1, round(right)), max(1, round(max(bottom, lowest))))
    image: PIL.Image.Image = Image.new("RGB", size, ground or _GROUND)
    ImageDraw.Draw(image).multiline_text((0, 0), text, fill=ink, font=font)
    return np.asarray(image)


def _rgb(ink: str) -> tuple[int, int, int]:
    return int(ink[1:3], 16), int(ink[3:5], 16), int(ink[5:7], 16)
