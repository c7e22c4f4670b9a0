"""Removal of small holes and islands, on run lengths.

The rule is that of the Segment Anything automatic mask generators, which need OpenCV for it:
regions are joined over corners, first the small holes are filled, then the small islands removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diptych import Mask

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Pieces:
    """Vertical pieces of one column each, column by column from the top, alternating within a
    column between background and foreground."""

    column: Ints
    top: Ints
    bottom: Ints
    """One past the last row."""
    inside: NDArray[np.bool_]
    """Whether the piece belongs to the mask."""

    @property
    def length(self) -> Ints:
        return self.bottom - self.top


def without_small_regions(mask: Mask, min_area: int) -> tuple[Mask, bool]:
    """Remove holes and islands of fewer than ``min_area`` pixels; return whether there were any
    too.

    Background that touches the border of the image counts as a hole too. If every island is
    too small, the largest stays.
    """
    pieces = _pieces(np.asarray(mask.counts, np.int64), mask.size[0])
    small = _small(pieces, ~pieces.inside, min_area)
    filled = _merged(pieces, pieces.inside | small)
    kept = filled.inside & ~_small(filled, filled.inside, min_area, keep_largest=True)
    if not small.any() and np.array_equal(kept, filled.inside):
        return mask, False
    return Mask.from_counts(_counts(filled, kept), mask.size), True


def _pieces(counts: Ints, height: int) -> _Pieces:
    """Run lengths, down each column in turn, cut where a column ends."""
    ends = counts.cumsum()
    total = int(ends[-1])
    column_starts = np.arange(0, total, height)
    starts = np.union1d(column_starts, np.concatenate([[0], ends[:-1]]))
    starts = starts[starts < total]
    stops = np.append(starts[1:], total)
    # A run is found by where a piece starts; runs of odd index are foreground.
    run = np.searchsorted(ends, starts, side="right")
    column = starts // height
    return _Pieces(column, starts - column * height, stops - column * height, run % 2 == 1)


def _counts(pieces: _Pieces, inside: NDArray[np.bool_]) -> Ints:
    """Run lengths of pieces of which ``inside`` belong to the mask, background first."""
    change = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    bounds = np.concatenate([[0], change])
    runs = np.add.reduceat(pieces.length, bounds)
    return np.concatenate([[0], runs]) if inside[0] else runs


def _merged(pieces: _Pieces, inside: NDArray[np.bool_]) -> _Pieces:
    """The same pieces after some changed sides."""
    height = int(pieces.bottom.max())
    return _pieces(_counts(pieces, inside), height)


def _small(
    pieces: _Pieces, chosen: NDArray[np.bool_], min_area: int, *, keep_largest: bool = False
) -> NDArray[np.bool_]:
    """Which pieces belong to regions of chosen pieces with fewer than ``min_area`` pixels."""
    small = np.zeros(len(chosen), np.bool_)
    indices = np.flatnonzero(chosen)
    if not len(indices):
        return small
    region = _regions(pieces.column[indices], pieces.top[indices], pieces.bottom[indices])
    areas = np.bincount(region, weights=pieces.length[indices]).astype(np.int64)
    too_small = areas < min_area
    if keep_largest and too_small[np.unique(region)].all():
        too_small[areas.argmax()] = False
    small[indices] = too_small[region]
    return small


def _regions(column: Ints, top: Ints, bottom: Ints) -> Ints:
    """A number for each piece, equal for pieces that are connected over sides or corners."""
    # One sorted axis for all columns: rows of neighbouring columns are a stride apart.
    stride = int(bottom.max()) + 2
    first = np.searchsorted(column * stride + bottom, (column + 1) * stride + top, side="left")
    last = np.searchsorted(column * stride + top, (column + 1) * stride + bottom, side="right")
    touching = np.maximum(last - first, 0)
    left = np.repeat(np.arange(len(column)), touching)
    offset = np.arange(len(left)) - np.repeat(touching.cumsum() - touching, touching)
    return _joined(len(column), left, np.repeat(first, touching) + offset)


def _joined(count: int, left: Ints, right: Ints) -> Ints:
    """Union-find over the edges from ``left`` to ``right``: each node's smallest companion."""
    root: Ints = np.arange(count)
    while True:
        a, b = root[left], root[right]
        if np.array_equal(a, b):
            return root
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(root, root[root]):
            root = root[root]
