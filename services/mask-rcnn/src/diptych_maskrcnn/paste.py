"""From the mask head's small probability map to run lengths, only ever inside the box.

torchvision pastes every mask into a float image of its own: 100 masks of 12 megapixels take
4.8 GB. The same numbers are computed here for the pixels of the box alone, a band of rows at a
time, and thresholded at once: per mask one byte for each pixel of the box.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from diptych import Mask

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

THRESHOLD = np.float32(0.5)
_PADDING = 1  # cells around the map, so that a mask can end inside its box
_BAND_ROWS = 64


def placements(boxes: Floats, cells: int) -> Ints:
    """Find the pixels that each padded probability map covers, which may lie partly outside the
    image.

    Args:
        boxes: ``(N, 4)`` left, top, right, bottom in pixels of the image.
        cells: Side of the map without padding.

    Returns:
        ``(N, 4)`` first column, first row, last column, last row, as torchvision's
        ``expand_boxes`` rounds them.
    """
    scale = (cells + 2 * _PADDING) / cells
    half = (boxes[:, 2:] - boxes[:, :2]) * np.float32(0.5)
    centre = (boxes[:, 2:] + boxes[:, :2]) * np.float32(0.5)
    half = half * np.float32(scale)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.int64)


def paste(probabilities: Floats, placement: Ints, size: tuple[int, int]) -> Mask:
    """Paste the mask of one box into an image.

    Args:
        probabilities: ``(M, M)``, range [0, 1].
        placement: One row of ``placements``.
        size: Height and width of the image.
    """
    left, top, right, bottom = (int(edge) for edge in placement)
    x0, x1 = max(left, 0), min(right + 1, size[1])
    y0, y1 = max(top, 0), min(bottom + 1, size[0])
    if x0 >= x1 or y0 >= y1:
        return Mask.from_counts([size[0] * size[1]], size)
    padded = np.pad(probabilities, _PADDING)
    columns = _Taps(np.arange(x0, x1) - left, right - left + 1, padded.shape[1])
    wide = padded[:, columns.low] * columns.low_share + padded[:, columns.high] * columns.high_share
    crop = np.empty((y1 - y0, x1 - x0), dtype=np.bool_)
    for first in range(y0, y1, _BAND_ROWS):
        last = min(first + _BAND_ROWS, y1)
        rows = _Taps(np.arange(first, last) - top, bottom - top + 1, padded.shape[0])
        band = wide[rows.low] * rows.low_share[:, None]
        band += wide[rows.high] * rows.high_share[:, None]
        np.greater(band, THRESHOLD, out=crop[first - y0 : last - y0])
    return Mask.from_crop(crop, x0, y0, size)


def covers(probabilities: Floats, placement: Ints, columns: Ints, rows: Ints) -> Bools:
    """Tell which of some pixels the mask that ``paste`` would make has.

    Args:
        probabilities: As for ``paste``.
        placement: As for ``paste``.
        columns: ``(N,)``, in the image.
        rows: ``(N,)``, in the image.

    Returns:
        ``(N,)``, in the order of the pixels.
    """
    left, top, right, bottom = (int(edge) for edge in placement)
    inside = (left <= columns) & (columns <= right) & (top <= rows) & (rows <= bottom)
    padded = np.pad(probabilities, _PADDING)
    x = _Taps(columns[inside] - left, right - left + 1, padded.shape[1])
    y = _Taps(rows[inside] - top, bottom - top + 1, padded.shape[0])
    upper = padded[y.low, x.low] * x.low_share + padded[y.low, x.high] * x.high_share
    lower = padded[y.high, x.low] * x.low_share + padded[y.high, x.high] * x.high_share
    inside[inside] = upper * y.low_share + lower * y.high_share > THRESHOLD
    return inside


class _Taps:
    """Which two cells a pixel lies between and how much of each it takes.

    Bilinear, pixel centres aligned (``align_corners=False``), in float32 as torch computes it.
    """

    def __init__(self, pixels: Ints, pixel_count: int, cell_count: int) -> None:
        scale = np.float32(cell_count) / np.float32(pixel_count)
        position = scale * (pixels.astype(np.float32) + np.float32(0.5)) - np.float32(0.5)
        position = np.maximum(position, np.float32(0))
        self.low = np.minimum(position.astype(np.int64), cell_count - 1)
        self.high = np.minimum(self.low + 1, cell_count - 1)
        self.high_share = np.clip(position - self.low.astype(np.float32), 0, 1).astype(np.float32)
        self.low_share = np.float32(1) - self.high_share
