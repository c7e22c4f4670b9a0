"""Results drawn on frames, fast enough for every frame of a clip: numpy, and Pillow for text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .._video.frames import FrameLike, frame_pixels
from ..limits import SERVER_IDS
from ..masks.runs import Window
from .marks import (
    GROUND,
    Pixels,
    draw_label,
    draw_mask,
    outline_px,
    paste,
    text_pixels,
    text_px,
)
from .palette import color

if TYPE_CHECKING:
    from .._types.video import VideoFrameResult

_INK, _FAINT, _ALARM = "#1a1a1a", "#666666", "#b00020"
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
    thickness = outline_px(canvas)
    # Small objects last, so that large ones do not cover them.
    for found in sorted(result.objects, key=lambda one: (-one.segment.area, one.object_id)):
        if found.segment.mask is not None:
            draw_mask(canvas, found.segment.mask, color(found.object_id), thickness)
    placed: list[Window] = []
    for found in result.objects:
        if found.segment.box is not None:
            name = [object_name(found.object_id), found.segment.label, f"{found.presence:.2f}"]
            text = " ".join(part for part in name if part)
            draw_label(canvas, text, color(found.object_id), found.segment.box, placed)
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


def _title(title: str, note: str, width: int, height: int) -> Pixels:
    strip = np.full((height, width, 3), 255, np.uint8)
    size_px = round(height * 0.6)
    pad = max(2, height // 6)
    right = width
    if note:
        image = text_pixels(note, round(size_px * 0.8), _FAINT, GROUND)
        right = max(0, width - image.shape[1] - pad)
        paste(strip, image, (height - image.shape[0]) // 2, right)
    image = text_pixels(title, size_px, _INK, GROUND)[:, : max(0, right - 2 * pad)]
    paste(strip, image, (height - image.shape[0]) // 2, pad)
    return strip


def _body(panel: VideoPanel) -> Pixels:
    if not panel.error:
        return panel.pixels
    pale = (255 - (255 - panel.pixels.astype(np.uint16)) // 5).astype(np.uint8)
    height, width, _ = pale.shape
    size_px = text_px(pale)
    lines = textwrap.wrap(panel.error, max(8, round(width * 1.7 / size_px)))
    image = text_pixels("\n".join(lines[: max(1, height // (2 * size_px))]), size_px, _ALARM, None)
    paste(pale, image, (height - image.shape[0]) // 2, (width - image.shape[1]) // 2)
    return pale
