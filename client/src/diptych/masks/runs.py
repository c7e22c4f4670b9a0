"""Masks as run lengths: the COCO codec, and what can be computed without drawing the mask.

Run lengths ("counts") go column by column, background first; the first may be 0, no other is. In
the compressed string a count becomes chunks of 5 bits, lowest first, each plus 48, with bit 5 set
while more follow; from index 3 on, the difference to the count two before is written instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.uint32]
"""``(runs,)``: canonical run lengths, read-only."""

Positions = NDArray[np.int64]
"""``(positions,)``: column-major pixel positions, ``x * height + y``."""

Size = tuple[int, int]
"""Height and width."""

Window = tuple[int, int, int, int]
"""Left, top, right and bottom, half-open."""

_CHUNK_BITS = 5
_MORE = 0x20
_SIGN = 0x10
_OFFSET = 48
_MAX_CHUNKS = 7  # 35 bits: holds every difference of two 32-bit counts


def encode(counts: Counts) -> bytes:
    """Write run lengths, ``(runs,)``, as a compressed string."""
    values = counts.astype(np.int64)
    values[3:] -= counts[1:-2].astype(np.int64)
    lengths = np.ones(len(values), np.int64)
    for chunks in range(1, _MAX_CHUNKS):
        # A value fits when all bits from its sign bit up are equal: 0 or -1 after the shift.
        rest = values >> (_CHUNK_BITS * chunks - 1)
        too_long = (rest != 0) & (rest != -1)
        if not too_long.any():
            break
        lengths += too_long
    column = np.arange(lengths.max(initial=0))
    grid = (values[:, None] >> (_CHUNK_BITS * column)) & 0x1F
    grid |= np.where(column < lengths[:, None] - 1, _MORE, 0)
    kept: NDArray[np.int64] = grid[column < lengths[:, None]]
    return (kept + _OFFSET).astype(np.uint8).tobytes()


def decode(data: bytes, pixels: int) -> Counts:
    """Read the ``(runs,)`` run lengths of a compressed string for a mask of so many pixels.

    Raises ``ValueError`` for strings that no mask of that size has.
    """
    chunks = np.frombuffer(data, np.uint8) - np.uint8(_OFFSET)
    if not len(chunks):
        raise ValueError("COCO run lengths: expected a string, got nothing")
    if chunks.max() >= 2 * _MORE:  # bytes below the offset have wrapped round to large ones
        raise ValueError("COCO run lengths: expected bytes from '0' to 'o' only, got others")
    if (count := int(np.count_nonzero(chunks < _MORE))) > pixels + 1:
        raise ValueError(f"COCO run lengths: expected at most {pixels + 1}, got too many, {count}")
    last = np.flatnonzero(chunks < _MORE)
    if not len(last) or last[-1] != len(chunks) - 1:
        raise ValueError("COCO run lengths: expected whole numbers, got a string that breaks off")
    lengths = np.diff(last, prepend=-1)
    if lengths.max() > _MAX_CHUNKS:
        raise ValueError("COCO run lengths: expected numbers of up to 35 bits, got a longer one")
    values = chunks[last].astype(np.int64)
    values -= (values & _SIGN) << 1
    for place in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > place)
        values[longer] = values[longer] << _CHUNK_BITS | chunks[last[longer] - place] & 0x1F
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return check(values, pixels)


def check(counts: NDArray[np.integer], pixels: int) -> Counts:
    """Make ``(runs,)`` run lengths that alternate and fill the mask canonical.

    Raises:
        ValueError: they do not, or are no flat array of integers.
    """
    if counts.ndim != 1 or not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(
            f"run lengths: expected a flat array of integers, got {counts.dtype} {counts.shape}"
        )
    if not len(counts):
        raise ValueError(f"run lengths: expected a sum of {pixels} pixels, got no runs")
    smallest, largest = int(counts.min()), int(counts.max())
    if smallest < 0:
        raise ValueError(f"run lengths: expected 0 or more, got {smallest}")
    # Bounding each one first keeps the sum from running over.
    if largest > pixels:
        raise ValueError(f"run lengths: expected a sum of {pixels} pixels, got a run of {largest}")
    total = int(counts.sum(dtype=np.int64))
    if total != pixels:
        raise ValueError(f"run lengths: expected a sum of {pixels} pixels, got {total}")
    if counts[1:].all():
        return frozen(counts)
    return from_toggles(np.cumsum(counts, dtype=np.int64)[:-1], pixels)


def from_toggles(toggles: Positions, pixels: int) -> Counts:
    """Make ``(runs,)`` run lengths of the sorted ``(positions,)`` where a run begins or ends.

    A position that comes twice cancels out, and one at the very end means nothing.
    """
    if len(toggles) and toggles[-1] == pixels:
        toggles = toggles[toggles < pixels]
    if len(toggles) > 1 and (toggles[1:] == toggles[:-1]).any():
        toggles, times = np.unique(toggles, return_counts=True)
        toggles = toggles[times % 2 == 1]
    return frozen(np.diff(toggles, prepend=0, append=pixels))


def frozen(counts: NDArray[np.integer]) -> Counts:
    """Copy ``(runs,)`` run lengths as uint32, read-only."""
    copy = counts.astype(np.uint32)
    copy.setflags(write=False)
    return copy


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
    """Draw the part of the mask in a window: ``(rows, columns)`` bool, row by row in memory."""
    left, top, right, bottom = window
    crop = np.zeros((bottom - top, right - left), np.bool_)
    _draw(counts, height, window, crop)
    return crop


def area(counts: Counts) -> int:
    """Count the object pixels of ``(runs,)`` run lengths."""
    return int(counts[1::2].sum(dtype=np.int64))


def box(counts: Counts, height: int) -> Window | None:
    """Find the smallest box around the object of ``(runs,)``; ``None`` for an empty mask."""
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
    """Count the pixels in both masks, each ``(runs,)``, in O(runs log runs)."""
    if len(a) > len(b):
        a, b = b, a
    starts, ends = spans(a)
    if not len(starts) or len(b) < 2:
        return 0
    return int((_covered(b, ends) - _covered(b, starts)).sum())


def shifted(counts: Counts, dx: int, dy: int, size: Size) -> Counts:
    """Move ``(runs,)`` run lengths by whole pixels; what leaves the image is lost."""
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
    """Make ``(runs,)`` run lengths of the pixels that are in any mask."""
    parts = [spans(counts) for counts in masks]
    starts = np.concatenate([np.zeros(0, np.int64), *(part[0] for part in parts)])
    ends = np.concatenate([np.zeros(0, np.int64), *(part[1] for part in parts)])
    # Starts come before ends at the same place, so runs that touch become one.
    positions = np.concatenate((starts, ends))
    steps = np.repeat(np.array([1, -1]), (len(starts), len(ends)))
    order = np.argsort(positions, kind="stable")
    return from_toggles(turning(positions[order], steps[order]), pixels)


def turning(positions: Positions, steps: NDArray[np.int64]) -> Positions:
    """Pick the sorted ``(positions,)`` where the running sum of steps leaves 0 or comes back."""
    inside = np.cumsum(steps) != 0
    return positions[np.flatnonzero(np.diff(inside, prepend=False))]


def spans(counts: Counts) -> tuple[Positions, Positions]:
    """Find where each object run starts and ends (exclusive): ``(object runs,)`` each."""
    bounds = np.cumsum(counts, dtype=np.int64)
    return bounds[:-1:2], bounds[1::2]


def rings_at_most(counts: Counts, height: int) -> int:
    """How many outlines and holes a mask has at most, by where its runs begin and meet.

    Exact enough to tell smooth masks from noise, in O(runs log runs): nothing is drawn.
    """
    starts, ends = spans(counts)
    # Of each run those that lie beside it in the column before.
    begun = np.searchsorted(starts, ends - height)
    beside = begun - np.searchsorted(ends, starts - height, side="right")
    events = np.where(beside > 0, beside - 1, 1)
    # One that goes on in the next column is two or three there, which may be strangers.
    goes_on = starts // height < (ends - 1) // height
    return int(np.where(goes_on, beside + 3, events).sum())


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
