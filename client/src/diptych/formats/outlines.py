"""Masks as the polygons that formats hold, and how near these are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..masks.mask import Mask
from ..masks.polygons import Ring
from ..masks.rings import doubled_area, inset, solid
from ..masks.seams import one_ring
from ..masks.simplify import simplify

# Readers that draw the border of a polygon as well have what is less than a pixel around it; moved
# so far, its pixels are those whose centres are inside.
_BORDER = np.float32(0.35)


@dataclass(frozen=True)
class Outline:
    """A mask as polygons without holes, which may be several."""

    rings: list[Ring]
    iou: float
    """Of the polygons and the mask."""


def along_edges(mask: Mask, tolerance: float) -> Outline:
    """Polygons along pixel edges; parts with holes are cut into pieces without.

    For readers that take the pixels whose centres are inside, such as pycocotools, and for those
    that draw nothing.
    """
    rings = [_simpler(ring, tolerance) for ring in solid(*mask.to_crop())]
    return Outline(rings, _iou(rings, mask, tolerance))


def within_border(mask: Mask, tolerance: float, *, specks: float = 0.0) -> Outline:
    """The same, for readers that draw the border of a polygon as well: OpenCV's and Pillow's.

    The smallest polygons that are together no more than ``specks`` of the mask are left out.
    """
    whole = list(solid(*mask.to_crop()))
    kept = _without_specks(whole, mask.area * specks) if specks > 0 else whole
    rings = [_simpler(inset(ring), tolerance) for ring in kept]
    changed = max(tolerance, len(whole) - len(kept))
    return Outline(rings, _iou([ring + _BORDER for ring in rings], mask, changed))


def as_one(mask: Mask, tolerance: float) -> Ring:
    """One polygon for all of a mask, for readers that draw its border as well; see ``one_ring``."""
    return one_ring(*mask.to_crop(), tolerance)


def _without_specks(rings: Sequence[Ring], most: float) -> list[Ring]:
    sizes = np.array([abs(doubled_area(ring)) / 2 for ring in rings])
    order = np.argsort(sizes, kind="stable")
    dropped = set(order[:-1][np.cumsum(sizes[order])[:-1] <= most].tolist())
    return [ring for place, ring in enumerate(rings) if place not in dropped]


def _simpler(ring: Ring, tolerance: float) -> Ring:
    return simplify([ring], tolerance)[0] if tolerance > 0 else ring


def _iou(rings: Sequence[Ring], mask: Mask, changed: float) -> float:
    if not changed > 0:
        return 1.0
    return round(Mask.from_polygons(rings, mask.size).iou(mask), 4)


def numbers(ring: Ring, *, digits: int = 2) -> list[list[float]]:
    """Points as lists of x and y, as short as they can be."""
    return [[round(x, digits), round(y, digits)] for x, y in ring.tolist()]
