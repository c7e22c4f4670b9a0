"""Outlines with fewer corners: Douglas and Peucker's algorithm, never with an invalid polygon.

Douglas, Peucker: Algorithms for the reduction of the number of points required to represent a
digitized line or its caricature. Cartographica 10 (1973).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .polygons import Ring
from .rings import doubled_area

Floats = NDArray[np.float64]
Indexes = NDArray[np.int64]

_TRIES = 6
_MANY = 500  # rings of one part, which is noise then
_FEW = 6  # corners, of which nothing can be gained
_BLOCK_PAIRS = 2**22


def simplify(rings: Sequence[Ring], tolerance: float) -> list[Ring]:
    """Leave corners away, so that none is further than ``tolerance`` pixels from what remains.

    The rings are those of one part. Where the result would cross or touch itself, or a ring would
    vanish, the part keeps more of its corners, up to all; a part with hundreds of holes keeps all.
    """
    if len(rings) > _MANY or all(len(ring) <= _FEW for ring in rings):
        return list(rings)
    for _ in range(_TRIES if tolerance > 0 else 0):
        fewer = [ring[_kept(ring.astype(np.float64), tolerance)] for ring in rings]
        whole = all(_still_one(new, old) for new, old in zip(fewer, rings, strict=True))
        if whole and not crosses(fewer):
            return fewer
        tolerance /= 2
    return list(rings)


def _still_one(new: Ring, old: Ring) -> bool:
    return len(new) > 2 and doubled_area(new) * doubled_area(old) > 0


def _kept(ring: Floats, tolerance: float) -> Indexes:
    """Which corners remain, all segments of a level at a time."""
    closed = np.concatenate((ring, ring[:1]))
    far = int(((ring - ring[0]) ** 2).sum(axis=1).argmax())
    kept = np.zeros(len(closed), np.bool_)
    kept[[0, far]] = True
    starts, ends = np.array([0, far]), np.array([far, len(ring)])
    while True:
        some = ends - starts > 1
        starts, ends = starts[some], ends[some]
        if not len(starts):
            return np.flatnonzero(kept[:-1])
        lengths = ends - starts - 1
        offsets = np.cumsum(lengths) - lengths
        segment = np.repeat(np.arange(len(starts)), lengths)
        inside = np.arange(lengths.sum()) - offsets[segment] + starts[segment] + 1
        far_away = _distances(closed[inside], closed[starts[segment]], closed[ends[segment]])
        most = np.maximum.reduceat(far_away, offsets)
        # Of several that are equally far the first one.
        at_most = np.flatnonzero(far_away == most[segment])
        _, first = np.unique(segment[at_most], return_index=True)
        split = inside[at_most[first]]
        wanted = most > tolerance
        kept[split[wanted]] = True
        starts, ends, split = starts[wanted], ends[wanted], split[wanted]
        starts, ends = np.concatenate((starts, split)), np.concatenate((split, ends))


def _distances(points: Floats, starts: Floats, ends: Floats) -> Floats:
    """From points to segments."""
    along = ends - starts
    squared = (along**2).sum(axis=1)
    share = ((points - starts) * along).sum(axis=1) / np.where(squared > 0, squared, 1.0)
    nearest = starts + np.clip(share, 0.0, 1.0)[:, None] * along
    found: Floats = np.hypot(*(points - nearest).T)
    return found


def crosses(rings: Sequence[Ring]) -> bool:
    """Whether any two edges have a point in common that is no corner between them."""
    points = [ring.astype(np.float64) for ring in rings]
    starts = np.concatenate(points)
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in points])
    sizes = np.array([len(ring) for ring in points])
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    following = first + (np.arange(len(starts)) - first + 1) % np.repeat(sizes, sizes)
    low, high = np.minimum(starts, ends), np.maximum(starts, ends)
    order = np.argsort(low[:, 0], kind="stable")
    stops = np.searchsorted(low[order, 0], high[order, 0], side="right")
    counts = np.maximum(stops - np.arange(len(order)) - 1, 0)
    for begin, end in _blocks(counts):
        one = np.repeat(np.arange(begin, end), counts[begin:end])
        within = np.arange(len(one)) - np.repeat(
            np.cumsum(counts[begin:end]) - counts[begin:end], counts[begin:end]
        )
        a, b = order[one], order[one + 1 + within]
        near = (low[a, 1] <= high[b, 1]) & (low[b, 1] <= high[a, 1])
        if _any_meet(starts, ends, following, a[near], b[near]):
            return True
    return False


def _blocks(counts: Indexes) -> list[tuple[int, int]]:
    """Ranges of edges that have few enough pairs together."""
    total = np.cumsum(counts)
    places = np.arange(_BLOCK_PAIRS, total[-1] + _BLOCK_PAIRS, _BLOCK_PAIRS)
    bounds = np.unique([0, *np.searchsorted(total, places, side="right"), len(counts)])
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))


def _any_meet(starts: Floats, ends: Floats, following: Indexes, a: Indexes, b: Indexes) -> bool:
    next_to = (following[a] == b) | (following[b] == a)
    side = [
        np.sign(_turn(starts[a], ends[a], starts[b])),
        np.sign(_turn(starts[a], ends[a], ends[b])),
        np.sign(_turn(starts[b], ends[b], starts[a])),
        np.sign(_turn(starts[b], ends[b], ends[a])),
    ]
    meet = (side[0] * side[1] <= 0) & (side[2] * side[3] <= 0)
    # Neighbours have a corner in common; they lie on each other if one turns back on the other.
    flat = (side[0] == 0) & (side[1] == 0)
    back = ((ends[a] - starts[a]) * (ends[b] - starts[b])).sum(axis=1) < 0
    # On one line, boxes that overlap are edges that do: that was looked at before.
    return bool((meet & ~next_to).any() or (flat & back & next_to).any())


def _turn(start: Floats, end: Floats, point: Floats) -> Floats:
    one, other = end - start, point - start
    turned: Floats = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return turned
