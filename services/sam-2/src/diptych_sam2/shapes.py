"""From windows of pixels to masks as run lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from diptych import Box, LowResLogits, Mask

from .network.image import LOGIT_LIMIT
from .network.quick.upsampling import Window


@dataclass(frozen=True)
class Shape:
    """A binary mask in the coordinates of a picture."""

    mask: Mask
    area: int
    box: Box | None
    """The smallest box around it, half-open; ``None`` for an empty mask."""


def shape_of(window: Window, size: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> Shape:
    """The shape of a window in a picture of ``size`` (height, width); ``corner`` (x, y) is where
    the crop that the window belongs to begins."""
    binary = window.binary.cpu().numpy()
    rows, columns = (np.flatnonzero(binary.any(axis)) for axis in (1, 0))
    if not len(rows):
        return Shape(Mask.from_counts([size[0] * size[1]], size), 0, None)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    x, y = corner[0] + window.corner[0] + left, corner[1] + window.corner[1] + top
    mask = Mask.from_crop(binary[top:bottom, left:right], x, y, size=size)
    return Shape(mask, mask.area, Box(x, y, x + right - left, y + bottom - top))


def returned_logits(logits: Tensor) -> LowResLogits:
    """``(h, w)`` logits as a caller gets them, clipped as ``SAM2ImagePredictor`` clips them."""
    return LowResLogits.from_numpy(logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).cpu().numpy())
