"""What was found, as X-AnyLabeling's shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from diptych import Mask, Segment
from diptych.formats.categories import OBJECT
from diptych.formats.outlines import numbers, within_border

UNNAMED = "AUTOLABEL_OBJECT"
"""The label of an object that its user will name; the next answer takes its place."""

DEFAULT_FINENESS = 0.001
"""X-AnyLabeling's own. Range [0, 1]."""

_FINEST = 0.0001
_STAIRS_PX = 0.8
_SPECKS = 0.02  # of an object, in parts that its user would have to delete one by one

Shape = dict[str, Any]


def shapes_of(
    segments: Iterable[Segment],
    fineness: float,
    *,
    label: str | None = None,
    masks: bool = True,
) -> list[Shape]:
    """Give polygons of masks, else boxes, and keypoints; shapes of one object are a group.

    Corners are left away as ``tolerance`` says, the smallest parts of an object up to a fiftieth of
    it, and ``iou`` says how near the mask that is.
    """
    shapes: list[Shape] = []
    for number, segment in enumerate(segments, start=1):
        name = label or segment.label or OBJECT
        found = list(_shapes(segment, segment.mask if masks else None, fineness, name))
        for shape in found:
            shape["group_id"] = number if len(found) > 1 else None
        shapes += found
    return shapes


def _shapes(segment: Segment, mask: Mask | None, fineness: float, label: str) -> Iterator[Shape]:
    score = round(segment.score, 4)
    if mask is not None:
        tolerated = tolerance(mask, fineness)
        outline = within_border(mask, tolerated, specks=_SPECKS * _leniency(fineness))
        for ring in outline.rings:
            yield _shape(label, "polygon", numbers(ring), score) | {"iou": outline.iou}
    elif segment.box is not None:
        left, top, right, bottom = (round(value, 2) for value in segment.box.xyxy)
        corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
        yield _shape(label, "rectangle", corners, score)
    for point in segment.keypoints:
        yield _shape(point.name, "point", [[round(point.x, 2), round(point.y, 2)]], None)


def tolerance(mask: Mask, fineness: float) -> float:
    """How far, in pixels, a corner that is left away may be from what remains.

    ``fineness`` of the length around an ellipse of the object's size; from the default on enough to
    do without the stairs of slanting edges. Points are then as many as from X-AnyLabeling's own
    models, which follow the centres of pixels.
    """
    if mask.box is None:
        return 0.0
    _, _, width, height = mask.box.xywh
    around = math.pi * (width + height) / 2
    return max(fineness * around, _STAIRS_PX * _leniency(fineness))


def _leniency(fineness: float) -> float:
    """From 0 at the slider's left end, which means the pixels themselves, to 1 at its default."""
    share = (fineness - _FINEST) / (DEFAULT_FINENESS - _FINEST)
    return min(1.0, max(0.0, share))


def _shape(label: str, kind: str, points: list[list[float]], score: float | None) -> Shape:
    return {
        "label": label,
        "shape_type": kind,
        "points": points,
        "score": score,
        "group_id": None,
        "attributes": {},
        "description": None,
        "difficult": False,
        "direction": 0,
        "flags": None,
        "kie_linking": [],
    }
