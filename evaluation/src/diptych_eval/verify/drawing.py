"""Pictures of what moved: before, after and the difference, side by side."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diptych import Box, Segment, VideoFrame, VideoPanel, side_by_side

from .changes import Change, shown_iou
from .replaying import Replayed

Pixels = NDArray[np.uint8]

_BEFORE = (0x1F, 0x77, 0xB4)
_AFTER = (0xE0, 0x7B, 0x00)
_ALPHA = 0.45
_PANEL_PX = (320, 640)
"""Shortest and longest longer side of a panel."""
_MARGIN, _MIN_MARGIN_PX = 0.15, 16


def drawn(replayed: Replayed) -> bytes:
    """A PNG of the part of the picture that changed.

    On the left the segments that changed as they were, then as they are; on the right what only
    the old answer has in blue and what only the new one has in orange.

    Raises:
        DiptychError, OSError, ValueError: the picture cannot be read.
    """
    pixels = VideoFrame(0, 0, replayed.data).pixels
    changes = [change for change in replayed.changes if change.before or change.after]
    window = _window(changes, pixels.shape[:2])
    before = _covered([change.before for change in changes], pixels.shape[:2])
    after = _covered([change.after for change in changes], pixels.shape[:2])
    panels = [
        ("before", _tinted(pixels, before, _BEFORE)),
        ("after", _tinted(pixels, after, _AFTER)),
        ("difference", _difference(pixels, changes)),
    ]
    rows, columns = window
    scale = _scale(rows.stop - rows.start, columns.stop - columns.start)
    ious = [change.iou for change in changes if change.iou is not None]
    notes = ["", "", f"IoU {shown_iou(min(ious))}" if ious else ""]
    shown = [
        VideoPanel(title, _scaled(image[window], scale), note)
        for (title, image), note in zip(panels, notes, strict=True)
    ]
    png = io.BytesIO()
    Image.fromarray(side_by_side(shown)).save(png, "PNG")
    return png.getvalue()


def _covered(segments: Sequence[Segment | None], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixels of the masks; of the edges of boxes and of key points where there are no masks."""
    found = np.zeros(size, bool)
    for segment in segments:
        if segment is None:
            continue
        if segment.mask is not None and segment.mask.size == tuple(size):
            found |= segment.mask.to_array()
        elif segment.box is not None:
            _draw_frame(found, segment.box)
        for point in segment.keypoints:
            x, y = max(0, int(point.x)), max(0, int(point.y))
            found[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = True
    return found


def _draw_frame(found: NDArray[np.bool_], box: Box) -> None:
    height, width = found.shape
    left, right = (min(max(0, round(x)), width - 1) for x in (box.x_min, box.x_max))
    top, bottom = (min(max(0, round(y)), height - 1) for y in (box.y_min, box.y_max))
    found[top : bottom + 1, [left, right]] = True
    found[[top, bottom], left : right + 1] = True


def _window(changes: Sequence[Change], size: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns that hold all that changed, with a margin; everything if nothing is told."""
    height, width = size
    segments = [one for change in changes for one in (change.before, change.after) if one]
    boxes = [one.box.xyxy for one in segments if one.box is not None]
    if not boxes:
        return slice(0, height), slice(0, width)
    corners = np.array(boxes)
    (left, top), (right, bottom) = corners[:, :2].min(0), corners[:, 2:].max(0)
    margin = max(_MIN_MARGIN_PX, _MARGIN * max(right - left, bottom - top))
    rows = slice(int(max(0, top - margin)), int(min(height, bottom + margin + 1)))
    columns = slice(int(max(0, left - margin)), int(min(width, right + margin + 1)))
    if rows.stop - rows.start < 1 or columns.stop - columns.start < 1:
        return slice(0, height), slice(0, width)
    return rows, columns


def _tinted(pixels: Pixels, covered: NDArray[np.bool_], ink: tuple[int, int, int]) -> Pixels:
    found = pixels.copy()
    mixed = found[covered] * (1 - _ALPHA) + np.array(ink) * _ALPHA
    found[covered] = mixed.round().astype(np.uint8)
    return found


def _difference(pixels: Pixels, changes: Sequence[Change]) -> Pixels:
    """Segment by segment: what one lost may be covered by another."""
    grey = 128 + pixels.mean(axis=2, keepdims=True) / 2
    found = np.repeat(grey.astype(np.uint8), 3, axis=2)
    for change in changes:
        before = _covered([change.before], pixels.shape[:2])
        after = _covered([change.after], pixels.shape[:2])
        found[before & ~after] = _BEFORE
        found[after & ~before] = _AFTER
    return found


def _scale(rows: int, columns: int) -> float:
    longer = max(rows, columns)
    shortest, longest = _PANEL_PX
    if longer > longest:
        return longest / longer
    return max(1, math.ceil(shortest / longer))


def _scaled(pixels: Pixels, scale: float) -> Pixels:
    if scale == 1:
        return np.ascontiguousarray(pixels)
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    # Whole pixels where it grows; where it shrinks, none is lost that differs.
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), how))
