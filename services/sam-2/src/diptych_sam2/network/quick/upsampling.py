"""Low-res logits to masks of the picture's size, without full-size floats.

One mask of a 12 MP picture is 48 MB as floats. Here only the window that a mask can reach is
looked at, and that in blocks of rows which fit a processor's cache; what remains is one bit of
truth for each pixel of the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK_PX = {"cpu": 1 << 18, "cuda": 1 << 26}
"""Pixels of floats that exist at once: 1 MiB stays in a core's cache, a GPU wants large pieces."""


@dataclass(frozen=True)
class Window:
    """The part of a picture in which a mask lies."""

    binary: Tensor
    """``(rows, columns)`` bool: logits over 0."""
    corner: tuple[int, int]
    """x and y of the top left pixel."""
    inner: int
    """Pixels with logits over the offset; 0 without an offset."""
    outer: int
    """Pixels with logits over minus the offset; 0 without an offset."""


class Upsampler:
    """Bilinear upsampling from ``low`` to ``size``, both (height, width): the values of
    ``torch.nn.functional.interpolate`` with ``align_corners=False``."""

    def __init__(self, low: tuple[int, int], size: tuple[int, int], device: torch.device) -> None:
        self.size = size
        self._rows = _Axis(low[0], size[0], device)
        self._columns = _Axis(low[1], size[1], device)
        self._block = _BLOCK_PX[device.type]

    @torch.inference_mode()
    def window(self, logits: Tensor, offset: float = 0.0) -> Window:
        """The mask of ``(h, w)`` low-res logits, and how many pixels stay when the threshold is
        shifted by ``offset`` up or down."""
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
        return Window(binary, (left, top), int(inner), int(outer))


class _Axis:
    """Between which two low-res lines each line of the picture lies, and how close to which."""

    def __init__(self, low: int, high: int, device: torch.device) -> None:
        self._low, self._high = low, high
        self._scale = low / high
        # Float32 throughout, as torch itself computes these.
        at = (torch.arange(high, dtype=torch.float32, device=device) + 0.5) * self._scale - 0.5
        at = at.clamp_(min=0)
        self._before = at.long()
        self._after = (self._before + 1).clamp_(max=low - 1)
        self._share = (at - self._before)[:, None]

    def reach(self, lines: Tensor) -> tuple[int, int]:
        """First line of the picture that the marked low-res lines can touch, and one past the
        last; equal if none is marked."""
        marked = lines.nonzero().flatten()
        if not len(marked):
            return 0, 0
        first, last = int(marked[0]), int(marked[-1])
        start = math.floor((first - 0.5) / self._scale - 0.5) - 1
        stop = math.ceil((last + 1.5) / self._scale - 0.5) + 1
        return max(start, 0), min(stop, self._high)

    def interpolate(self, lines: Tensor, start: int, stop: int) -> Tensor:
        """``(stop - start, n)``: lines of the picture from ``(low, n)`` low-res lines."""
        share = self._share[start:stop]
        before = lines.index_select(0, self._before[start:stop])
        after = lines.index_select(0, self._after[start:stop])
        return before.mul_(1 - share).add_(after.mul_(share))
