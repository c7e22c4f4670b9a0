"""What belongs to what among outlines, and the changes that formats want of them.

Rings are those of ``polygons.trace``: corners along pixel edges, the object on the left hand, so
that outlines have a negative shoelace sum and holes a positive one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .polygons import Ring, trace

Crop = NDArray[np.bool_]
Numbers = NDArray[np.int64]

_MANY_HOLES = 16
"""From so many on a part is cut at all of them at once, into more pieces but in a hundredth of the
time: a mask of noise has thousands."""

LEFT_TOP, RIGHT_BOTTOM = 0.1, 0.6
"""How far corners go inwards so that readers that draw a polygon with its border draw the pixels of
the mask, whether they cut coordinates off or round them; a line one pixel wide stays a polygon."""


def doubled_area(ring: NDArray[np.floating]) -> float:
    """Twice the area; negative for an outline, positive for a hole."""
    points = ring.astype(np.float64) - ring[0]
    x, y = points.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


class Seam(NamedTuple):
    """Where the pixels of the object end that are above and left of a hole's first corner."""

    ring: int
    """Which comes before the hole, and is the outline around it or another hole of that."""
    edge: int
    """The edge of that ring that begins at this corner of it, which goes down."""
    x: int
    """Of that edge."""


def seams(rings: Sequence[Ring]) -> list[Seam | None]:
    """For each hole what is next on its left; ``None`` for outlines.

    Rings have to be in the order of ``trace``.
    """
    keys, owners, edges, width = _run_starts(rings)
    found: list[Seam | None] = []
    for ring in rings:
        if doubled_area(ring) < 0:
            found.append(None)
            continue
        x, y = (int(value) for value in ring[0])
        # The pixel above a hole's first one is of the object.
        run = np.searchsorted(keys, (y - 1) * width + x, side="right") - 1
        found.append(Seam(int(owners[run]), int(edges[run]), int(keys[run]) % width))
    return found


def _run_starts(rings: Sequence[Ring]) -> tuple[Numbers, Numbers, Numbers, int]:
    """Where runs of the object begin, row by row, as ``y * width + x``; of which rings and edges
    these are; and the width."""
    width = int(max((ring[:, 0].max() for ring in rings), default=0)) + 1
    none = np.zeros(0, np.int64)
    keys, owners, edges = [none], [none], [none]
    for number, ring in enumerate(rings):
        points = ring.astype(np.int64)
        steps = np.roll(points[:, 1], -1) - points[:, 1]
        down = steps > 0  # the object is on the right of such an edge
        lengths = steps[down]
        first = np.repeat(points[down, 1], lengths)
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        keys.append((first + within) * width + np.repeat(points[down, 0], lengths))
        owners.append(np.full(len(first), number))
        edges.append(np.repeat(np.flatnonzero(down), lengths))
    found = np.concatenate(keys)
    order = np.argsort(found, kind="stable")
    return found[order], np.concatenate(owners)[order], np.concatenate(edges)[order], width


def parts(rings: Sequence[Ring]) -> list[list[Ring]]:
    """Rings by part of the object: an outline, and the holes in it."""
    return [[rings[n] for n in members] for members, _ in parts_by_parent(seams(rings))]


def parts_by_parent(found: Sequence[Seam | None]) -> list[tuple[list[int], list[Seam]]]:
    """Numbers of rings by part, the outline first; and the seams of its holes, whose rings are
    counted within the part."""
    outlines: list[int] = []
    members: dict[int, list[int]] = {}
    seams_of: dict[int, list[Seam]] = {}
    places: list[int] = []
    for number, seam in enumerate(found):
        outline = number if seam is None else outlines[seam.ring]
        outlines.append(outline)
        places.append(len(members.setdefault(outline, [])))
        members[outline].append(number)
        if seam is not None:
            moved = seam._replace(ring=places[seam.ring])
            seams_of.setdefault(outline, []).append(moved)
    return [(numbers, seams_of.get(outline, [])) for outline, numbers in members.items()]


def solid(crop: Crop, x0: int, y0: int) -> list[Ring]:
    """Outlines of pieces without holes that together are the object pixels of a crop.

    Parts that have holes are cut from left to right, at the top of a hole.
    """
    found: list[Ring] = []
    todo = [(crop, x0, y0)]
    while todo:
        pixels, left, top = todo.pop()
        for part in parts(simple(trace(pixels, left, top))):
            if len(part) == 1:
                found += part
                continue
            inside, part_left, part_top = _drawn(part)
            tops = sorted({int(hole[:, 1].min()) - part_top for hole in part[1:]})
            cuts = tops if len(tops) > _MANY_HOLES else [tops[len(tops) // 2]]
            for begin, end in pairwise([0, *cuts, len(inside)]):
                todo.append((inside[begin:end], part_left, part_top + begin))
    return sorted(found, key=lambda ring: (ring[0, 1], ring[0, 0]))


def _drawn(part: Sequence[Ring]) -> tuple[Crop, int, int]:
    from .mask import Mask

    left, top = (int(value) for value in part[0].min(axis=0))
    width, height = (int(value) for value in part[0].max(axis=0) - (left, top))
    moved = [ring - np.array((left, top), np.float32) for ring in part]
    return Mask.from_polygons(moved, (height, width)).to_array(), left, top


def simple(rings: Sequence[Ring]) -> list[Ring]:
    """Rings that touch themselves at no corner, which polygons must not: they are taken apart."""
    found = [piece for ring in rings for piece in _apart(ring)]
    return sorted(found, key=lambda ring: (ring[0, 1], ring[0, 0]))


def _apart(ring: Ring) -> Iterator[Ring]:
    if len({*map(tuple, ring.tolist())}) == len(ring):
        yield ring
        return
    path: list[tuple[float, float]] = []
    place: dict[tuple[float, float], int] = {}
    for point in map(tuple, ring.tolist()):
        if point in place:
            at = place[point]
            yield _from_first(path[at:])
            for gone in path[at:]:
                del place[gone]
            del path[at:]
        place[point] = len(path)
        path.append(point)
    yield _from_first(path)


def _from_first(path: Sequence[tuple[float, float]]) -> Ring:
    """A ring from its topmost, then leftmost corner."""
    points = np.array(path, np.float32)
    first = np.lexsort((points[:, 0], points[:, 1]))[0]
    return np.roll(points, -int(first), axis=0)


def inset(ring: Ring) -> Ring:
    """The ring moved into its object, for readers that draw the border of a polygon as well."""
    following = np.roll(ring, -1, axis=0)
    before = np.roll(ring, 1, axis=0)
    # Each corner is on an upright edge and a level one.
    dx = (following[:, 0] == ring[:, 0]) * (following - ring)[:, 1]
    dx += (before[:, 0] == ring[:, 0]) * (ring - before)[:, 1]
    dy = (following[:, 1] == ring[:, 1]) * (following - ring)[:, 0]
    dy += (before[:, 1] == ring[:, 1]) * (ring - before)[:, 0]
    # Downwards the object is on the right, to the left it is below.
    moved = np.stack(
        (
            np.where(dx > 0, LEFT_TOP, -RIGHT_BOTTOM),
            np.where(dy < 0, LEFT_TOP, -RIGHT_BOTTOM),
        ),
        axis=1,
    )
    found: Ring = (ring + moved).astype(np.float32)
    return found
