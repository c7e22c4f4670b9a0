"""Masks as outlines along pixel edges, and outlines back to masks.

Image coordinates: x to the right, y down. "Anticlockwise" is as a person sees the image, so an
outer ring goes down on the left and up on the right of its object, and its shoelace sum
``sum(x[i] * y[i + 1] - x[i + 1] * y[i])`` is negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .runs import Counts, Positions, Size, from_toggles, turning

Ring = NDArray[np.float32]
"""``(points, 2)``: x and y; the last point is joined to the first."""

Points = NDArray[np.float64]
"""``(points, 2)``, as they came."""

_MAX_COORDINATE = 2.0**31
_BLOCK_CROSSINGS = 2**22


def trace(crop: NDArray[np.bool_], x0: int, y0: int) -> list[Ring]:
    """Outlines of the object pixels of a crop, moved by ``(x0, y0)``.

    Corners only. Pixels that touch at a corner alone are separate parts. Rings come in the order
    of their topmost, then leftmost corner, which is also their first point.
    """
    y, x, quads = _corners(crop)
    following = _links(y, x, quads).tolist()
    points = np.stack((x + x0, y + y0), axis=1).astype(np.float32)
    rings: list[Ring] = []
    seen = bytearray(len(following))
    for first in range(len(following)):
        if seen[first]:
            continue
        ring = []
        corner = first
        while not seen[corner]:
            seen[corner] = 1
            ring.append(corner)
            corner = following[corner]
        rings.append(points[ring])
    return rings


def _corners(
    crop: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Grid points where an outline turns, row by row, and the four pixels around each.

    Bit 0 is the pixel above left, 1 above right, 2 below left, 3 below right. Where two parts
    touch (0b1001, 0b0110) the point comes twice.
    """
    rows, columns = crop.shape
    framed = np.zeros((rows + 2, columns + 2), np.uint8)
    framed[1:-1, 1:-1] = crop
    pairs = framed[:, :-1] | framed[:, 1:] << 1
    quads = pairs[:-1] | pairs[1:] << 2
    # An outline goes straight through, or is not there, when two pairs of neighbours are alike.
    turns = np.array([q not in (0b0000, 0b1111, 0b0011, 0b1100, 0b0101, 0b1010) for q in range(16)])
    found = np.flatnonzero(turns[quads])
    around = quads.ravel()[found]
    copies = np.where((around == 0b1001) | (around == 0b0110), 2, 1)
    found, around = np.repeat(found, copies), np.repeat(around, copies)
    y, x = np.divmod(found, columns + 1)
    return y, x, around


def _links(
    y: NDArray[np.int64], x: NDArray[np.int64], quads: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """For each corner the one that follows it, the object being on the left hand."""
    following = np.empty(len(y), np.int64)
    index = np.arange(len(y))

    # Row by row, corners are the left and right ends of horizontal edges in turn; of a corner that
    # comes twice, the first copy ends an edge and the second begins one.
    left, right = index[::2], index[1::2]
    rightwards = (quads[left] & 0b0010) != 0  # the object is above
    following[np.where(rightwards, left, right)] = np.where(rightwards, right, left)

    # Column by column likewise; which copy is the upper one decides that parts stay separate.
    copy = np.zeros(len(y), np.int64)
    copy[1:] = (y[1:] == y[:-1]) & (x[1:] == x[:-1])
    order = np.lexsort((copy ^ (quads == 0b0110), y, x))
    upper, lower = order[::2], order[1::2]
    downwards = (quads[upper] & 0b1000) != 0  # the object is on the right of the image's edge
    following[np.where(downwards, upper, lower)] = np.where(downwards, lower, upper)
    return following


def checked(rings: Iterable[ArrayLike]) -> tuple[Points, ...]:
    """Copy rings as ``(points, 2)`` float64; ``ValueError`` for odd or non-finite coordinates."""
    copies = []
    for index, ring in enumerate(rings):
        flat = np.array(ring, np.float64)
        if flat.size % 2:
            raise ValueError(f"polygons: expected x and y in turn, ring {index} has an odd number")
        if not (np.abs(flat) <= _MAX_COORDINATE).all():
            raise ValueError(
                f"polygons: expected finite coordinates within {_MAX_COORDINATE:.0f} pixels, "
                f"ring {index} has others"
            )
        copies.append(flat.reshape(-1, 2))
    return tuple(copies)


def fill(rings: Sequence[Points], size: Size) -> Counts:
    """Make ``(runs,)`` run lengths of the pixels whose centre lies inside, by the non-zero winding
    rule."""
    height, width = size
    none = np.zeros((0, 2))
    starts = np.concatenate([none, *rings])
    steps = np.concatenate([none, *(np.roll(ring, -1, axis=0) - ring for ring in rings)])
    # Centres have x = column + 0.5; an edge holds those from its left end up to before its right.
    left = starts[:, 0] + np.minimum(steps[:, 0], 0)
    right = starts[:, 0] + np.maximum(steps[:, 0], 0)
    first = np.clip(np.ceil(left - 0.5), 0, width).astype(np.int64)
    stop = np.clip(np.ceil(right - 0.5), 0, width).astype(np.int64)
    crossings = int((stop - first).sum())
    # Twice as many as of outlines: pieces into which a mask was cut have edges in common.
    if crossings > 2 * (height + 1) * width:
        raise ValueError(
            f"polygons: expected outlines that a {height} x {width} mask can have, "
            f"got {crossings} crossings of pixel columns"
        )
    # Blocks of columns bound the memory. No ring is open, so each column ends with winding 0.
    columns = max(1, width * _BLOCK_CROSSINGS // max(crossings, _BLOCK_CROSSINGS))
    toggles = [np.zeros(0, np.int64)]
    for begin in range(0, width, columns):
        low, high = (np.clip(at, begin, begin + columns) for at in (first, stop))
        toggles.append(_crossings(starts, steps, low, high, height))
    return from_toggles(np.concatenate(toggles), height * width)


def _crossings(
    starts: Points, steps: Points, first: Positions, stop: Positions, height: int
) -> Positions:
    """Where runs begin and end, when each edge crosses the columns ``first`` up to ``stop``."""
    lengths = stop - first
    edge = np.repeat(np.arange(len(first)), lengths)
    column = np.arange(len(edge)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + first[edge]
    step = steps[edge]
    y = starts[edge, 1] + (column + 0.5 - starts[edge, 0]) * (step[:, 1] / step[:, 0])
    row = np.clip(np.ceil(y - 0.5), 0, height).astype(np.int64)
    positions = column * height + row
    order = np.argsort(positions, kind="stable")
    return turning(positions[order], np.sign(step[order, 0]).astype(np.int64))
