"""Low-res logits to masks of the image's size, without full-size floats.

One mask of a 12 MP image is 48 MB as floats. Here only the window that a mask can reach is
interpolated, and that in blocks of rows which fit a processor's cache; what remains is one bit for
each pixel of the window, and run lengths of those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diptych import Box, LowResLogits, Mask

LOGIT_LIMIT = 32.0
"""Low-res logits are clipped to plus and minus this before they leave or return."""
_BLOCK_PX = {"cpu": 1 << 18, "cuda": 1 << 26}
"""Pixels of floats that exist at once: 1 MiB stays in a core's cache, a GPU wants large pieces."""


@dataclass(frozen=True)
class MaskWindow:
    """The part of an image in which a mask lies."""

    binary: Tensor
    """``(rows, columns)`` bool: logits over 0."""
    corner: tuple[int, int]
    """x and y of the top left pixel."""
    inner: int
    """Pixels with logits over the offset; 0 without an offset."""
    outer: int
    """Pixels with logits over minus the offset; 0 without an offset."""


@dataclass(frozen=True)
class Shape:
    """A binary mask in the coordinates of an image."""

    mask: Mask
    area: int
    """Pixels of the mask."""
    box: Box | None
    """The smallest box around it, half-open; ``None`` for an empty mask."""


class Upsampler:
    """Bilinear upsampling from ``low`` to ``size``, both (height, width): the values of
    ``torch.nn.functional.interpolate`` with ``align_corners=False``."""

    def __init__(self, low: tuple[int, int], size: tuple[int, int], device: torch.device) -> None:
        self.size = size
        self._rows = _Axis(low[0], size[0], device)
        self._columns = _Axis(low[1], size[1], device)
        self._block = _BLOCK_PX[device.type]

    @torch.inference_mode()
    def window(self, logits: Tensor, offset: float = 0.0) -> MaskWindow:
        """Upsample one mask, and count how many pixels stay when its threshold is shifted.

        Args:
            logits: ``(h, w)`` float32 low-res logits, on the device.
            offset: By how much the threshold is shifted up and down; 0 counts nothing.
        """
        # Interpolation never leaves the range of its neighbours, so where all of them lie below
        # the lowest threshold, nothing can pass it.
        above = logits > -offset
        top, bottom = self._rows.reach(above.any(1))
        left, right = self._columns.reach(above.any(0))
        across = self._columns.interpolate(logits.T, left, right).T.contiguous()
        binary = torch.empty(bottom - top, right - left, dtype=torch.bool, device=logits.device)
        inner = outer = torch.zeros((), dtype=torch.int64, device=logits.device)
        step = max(self._block // max(right - left, 1), 1)
        for start in range(top, bottom, step):
            stop = min(start + step, bottom)
            block = self._rows.interpolate(across, start, stop)
            torch.gt(block, 0, out=binary[start - top : stop - top])
            if offset:
                inner = inner + torch.count_nonzero(block > offset)
                outer = outer + torch.count_nonzero(block > -offset)
        return MaskWindow(binary, (left, top), int(inner), int(outer))


class _Axis:
    """Between which two low-res lines each line of the image lies, and how close to which."""

    def __init__(self, low: int, high: int, device: torch.device) -> None:
        self._high = high
        self._scale = low / high
        # Float32 throughout, as torch itself computes these.
        at = (torch.arange(high, dtype=torch.float32, device=device) + 0.5) * self._scale - 0.5
        at = at.clamp_(min=0)
        self._before = at.long()
        self._after = (self._before + 1).clamp_(max=low - 1)
        self._share = (at - self._before)[:, None]

    def reach(self, lines: Tensor) -> tuple[int, int]:
        """Return the first line of the image that the marked low-res lines, ``(low,)`` bool, can
        touch, and one past the last; equal if none is marked."""
        marked = lines.nonzero().flatten()
        if not len(marked):
            return 0, 0
        first, last = int(marked[0]), int(marked[-1])
        start = math.floor((first - 0.5) / self._scale - 0.5) - 1
        stop = math.ceil((last + 1.5) / self._scale - 0.5) + 1
        return max(start, 0), min(stop, self._high)

    def interpolate(self, lines: Tensor, start: int, stop: int) -> Tensor:
        """Interpolate ``(low, n)`` low-res lines: ``(stop - start, n)`` lines of the image."""
        share = self._share[start:stop]
        before = lines.index_select(0, self._before[start:stop])
        after = lines.index_select(0, self._after[start:stop])
        return before.mul_(1 - share).add_(after.mul_(share))


def shape_of(window: MaskWindow, size: tuple[int, int], corner: tuple[int, int] = (0, 0)) -> Shape:
    """Place a window in an image of ``size`` (height, width); ``corner`` (x, y) is where the crop
    that the window belongs to begins."""
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
    """Clip ``(h, w)`` logits as ``SAM2ImagePredictor`` does, and copy them to the CPU."""
    return LowResLogits.from_numpy(logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).cpu().numpy())
