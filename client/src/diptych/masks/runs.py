"""What can be computed on run lengths without drawing the mask."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .rle import Counts, Positions, from_toggles

Size = tuple[int, int]
"""Height and width."""

Window = tuple[int, int, int, int]
"""Left, top, right and bottom, half-open."""


def from_crop(crop: NDArray[np.bool_], x0: int, y0: int, size: Size) -> Counts:
    """Run lengths of a mask that is empty but for ``crop`` with its top left at ``(x0, y0)``."""
    height, width = size
    rows, columns = crop.shape
    framed = np.zeros((rows + 2, columns), np.bool_)
    framed[1:-1] = crop
    # Changes are looked for row by row, as the array lies in memory; sorting the few that there
    # are is much cheaper than transposing all pixels.
    changed = np.flatnonzero(framed[1:] != framed[:-1])
    y, x = np.divmod(changed, max(columns, 1))
    toggles = (x + x0) * height + (y + y0)
    toggles.sort()
    return from_toggles(toggles, height * width)


def to_array(counts: Counts, size: Size) -> NDArray[np.bool_]:
    """``(height, width)`` bool, row by row in memory."""
    array = np.zeros(size, np.bool_)
    window = box(counts, size[0])
    if window is not None:
        left, top, right, bottom = window
        _draw(counts, size[0], window, array[top:bottom, left:right])
    return array


def to_crop(counts: Counts, height: int, window: Window) -> NDArray[np.bool_]:
    """The part of the mask in a window, as bool, row by row in memory."""
    left, top, right, bottom = window
    crop = np.zeros((bottom - top, right - left), np.bool_)
    _draw(counts, height, window, crop)
    return crop


def area(counts: Counts) -> int:
    """Object pixels."""
    return int(counts[1::2].sum(dtype=np.int64))


def box(counts: Counts, height: int) -> Window | None:
    """The smallest box around the object; ``None`` for an empty mask."""
    starts, ends = spans(counts)
    if not len(starts):
        return None
    first, top = np.divmod(starts, height)
    last, bottom = np.divmod(ends - 1, height)
    left, right = int(first.min()), int(last.max()) + 1
    if (first != last).any():
        # Such a run holds the bottom of one column and the top of the next.
        return left, 0, right, height
    return left, int(top.min()), right, int(bottom.max()) + 1


def intersection(a: Counts, b: Counts) -> int:
    """Pixels that are in both masks, in O(runs log runs)."""
    if len(a) > len(b):
        a, b = b, a
    starts, ends = spans(a)
    if not len(starts) or len(b) < 2:
        return 0
    return int((_covered(b, ends) - _covered(b, starts)).sum())


def shifted(counts: Counts, dx: int, dy: int, size: Size) -> Counts:
    """Run lengths of the mask moved by whole pixels, without what leaves the picture."""
    height, width = size
    starts, ends = spans(counts)
    first = starts // height
    pieces = (ends - 1) // height - first + 1
    # A run that goes on in the next column is cut there: its parts no longer touch.
    nth = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    column = np.repeat(first, pieces) + nth
    top = np.maximum(np.repeat(starts, pieces) - column * height, 0)
    bottom = np.minimum(np.repeat(ends, pieces) - column * height, height)
    column = column + dx
    top, bottom = np.clip(top + dy, 0, height), np.clip(bottom + dy, 0, height)
    kept = (column >= 0) & (column < width) & (top < bottom)
    heads = column[kept] * height
    toggles = np.stack((heads + top[kept], heads + bottom[kept]), axis=1).ravel()
    return from_toggles(toggles, height * width)


def union(masks: Sequence[Counts], pixels: int) -> Counts:
    """Run lengths of the pixels that are in any mask."""
    parts = [spans(counts) for counts in masks]
    starts = np.concatenate([np.zeros(0, np.int64), *(part[0] for part in parts)])
    ends = np.concatenate([np.zeros(0, np.int64), *(part[1] for part in parts)])
    # Starts come before ends at the same place, so runs that touch become one.
    positions = np.concatenate((starts, ends))
    steps = np.repeat(np.array([1, -1]), (len(starts), len(ends)))
    order = np.argsort(positions, kind="stable")
    return from_toggles(turning(positions[order], steps[order]), pixels)


def turning(positions: Positions, steps: NDArray[np.int64]) -> Positions:
    """Of sorted positions those where the running sum of steps leaves 0 or comes back to it."""
    inside = np.cumsum(steps) != 0
    return positions[np.flatnonzero(np.diff(inside, prepend=False))]


def spans(counts: Counts) -> tuple[Positions, Positions]:
    """Where each object run starts, and where it ends (exclusive)."""
    bounds = np.cumsum(counts, dtype=np.int64)
    return bounds[:-1:2], bounds[1::2]


def _draw(counts: Counts, height: int, window: Window, into: NDArray[np.bool_]) -> None:
    """Draw the part of the mask in a window into an array of zeros of that size."""
    left, top, right, bottom = window
    toggles = _toggles(counts)
    x, y = np.divmod(toggles, height)
    within = (left <= x) & (x < right) & (top < y) & (y < bottom)
    into[y[within] - top, x[within] - left] = True
    # A column begins with what the runs say there, whatever the column before ended with.
    heads = np.arange(left, right) * height + top
    into[0] = np.searchsorted(toggles, heads, side="right") % 2
    # A loop over whole rows: logical_xor.accumulate would do the same about ten times slower.
    for above, row in pairwise(into):
        row ^= above


def _toggles(counts: Counts) -> Positions:
    return np.cumsum(counts, dtype=np.int64)[:-1]


def _covered(counts: Counts, positions: Positions) -> Positions:
    """Object pixels before each position."""
    starts, ends = spans(counts)
    before = np.concatenate(([0], np.cumsum(ends - starts)))
    run = np.searchsorted(starts, positions, side="right")
    # Of the last run begun, only the part up to the position counts; run 0 is "none begun".
    excess = np.maximum(np.concatenate(([0], ends))[run] - positions, 0)
    covered: Positions = before[run] - np.where(run > 0, excess, 0)
    return covered
