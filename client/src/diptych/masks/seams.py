"""A mask as one ring, for formats in which an object is one polygon."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .polygons import Ring, trace
from .rings import LEFT_TOP, Crop, Seam, inset, parts_by_parent, seams
from .simplify import simplify

_LOOKED_AT = 256


def one_ring(crop: Crop, x0: int, y0: int, tolerance: float = 0.0) -> Ring:
    """One ring that goes around all of a mask, moved inwards as ``inset`` says.

    A seam leads from a hole to what is around it, there and back, along pixels of the object; and
    one from part to part over pixels that are not. Simplified outlines have seams between corners.
    No points for an empty mask.
    """
    rings = trace(crop, x0, y0)
    moved = [inset(ring) for ring in rings]
    found = np.zeros((0, 2), np.float32)
    for members, holes in parts_by_parent(seams(rings)):
        part = [moved[number] for number in members]
        if tolerance > 0:
            part = simplify(part, tolerance)
            whole = part[0]
            for hole in part[1:]:
                whole = _joined(whole, hole)
        else:
            whole = _sewn(part, holes)
        found = whole if not len(found) else _joined(found, whole)
    return found


def _sewn(part: Sequence[Ring], holes: Sequence[Seam]) -> Ring:
    """Make one ring of a part, whose holes, from its second ring on, have these seams."""
    loops: list[list[list[float]]] = [[] for _ in part]
    inserts: list[list[tuple[int, float, int, float]]] = [[] for _ in part]
    # A hole's parent is before it, so from the end on all that is sewn to a ring is done.
    for number in range(len(part) - 1, -1, -1):
        points = part[number].tolist()
        at: dict[int, list[tuple[float, int, float]]] = {}
        for edge, y, child, x in inserts[number]:
            at.setdefault(edge, []).append((y, child, x))
        for edge, point in enumerate(points):
            loops[number].append(point)
            for y, child, x in sorted(at.get(edge, ())):
                loop = loops[child]
                loops[number] += [[x, y], *loop, loop[0], [x, y]]
                loops[child] = []
        if number:
            parent, edge, column = holes[number - 1]
            x, y = column + LEFT_TOP, points[0][1]
            inserts[parent].append((edge, y, number, x))
    return np.array(loops[0], np.float32)


def _joined(one: Ring, other: Ring) -> Ring:
    """Two rings and a seam between corners that are near each other."""
    near, of_other = _some(len(one)), _some(len(other))
    away = ((one[near][:, None] - other[of_other][None]) ** 2).sum(axis=2)
    first, second = np.unravel_index(int(away.argmin()), away.shape)
    start, turn = int(near[first]), int(of_other[second])
    around = np.roll(other, -turn, axis=0)
    return np.concatenate((one[: start + 1], around, around[:1], one[start:]))


def _some(count: int) -> NDArray[np.int64]:
    step = -(-count // _LOOKED_AT)
    return np.arange(0, count, step)
