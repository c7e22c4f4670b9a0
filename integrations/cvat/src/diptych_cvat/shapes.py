"""What is found as the shapes that CVAT keeps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from cvat_sdk import models
from cvat_sdk.auto_annotation import keypoint, mask, polygon, rectangle, skeleton
from cvat_sdk.masks import decode_mask, encode_mask

from diptych import Box, Keypoint, Mask, Segment
from diptych.formats.outlines import along_edges
from diptych.masks.rings import doubled_area

_GROUPS = itertools.count(1)


def mask_points(found: Mask) -> list[float]:
    """The numbers of CVAT's mask: run lengths in the box around the object, then that box."""
    edges = None if found.box is None else found.box.xyxy
    return [float(number) for number in encode_mask(found.to_array(), edges)]


def mask_of(points: list[float], size: tuple[int, int]) -> Mask:
    """The mask of such numbers, in a frame of ``size`` (height, width).

    Raises:
        ValueError: they are none of this size.
    """
    height, width = size
    return Mask.from_array(decode_mask(points, image_width=width, image_height=height))


def rectangle_points(box: Box, size: tuple[int, int]) -> list[float]:
    """Left, top, right and bottom, within a frame of ``size`` (height, width)."""
    height, width = size
    most = (width, height, width, height)
    return [float(min(max(edge, 0.0), end)) for edge, end in zip(box.xyxy, most, strict=True)]


def rings_of(found: Mask, tolerance: float) -> list[list[float]]:
    """Polygons without holes, x and y in turn, the largest first."""
    rings = [np.asarray(ring, np.float64) for ring in along_edges(found, tolerance).rings]
    rings.sort(key=lambda ring: abs(doubled_area(ring)), reverse=True)
    return [ring.round(2).ravel().tolist() for ring in rings if len(ring) >= 3]


def mask_shapes(
    found: Segment, label: int, tolerance: float | None
) -> Iterator[models.LabeledShapeRequest]:
    """A mask; with a tolerance its polygons, those of one object as a group; nothing if empty."""
    if found.mask is None or not found.mask.area:
        return
    if tolerance is None:
        yield mask(label, mask_points(found.mask), score=found.score)
        return
    rings = rings_of(found.mask, tolerance)
    group = next(_GROUPS) if len(rings) > 1 else 0
    for ring in rings:
        yield polygon(label, ring, group=group, score=found.score)


def box_shapes(
    found: Segment, label: int, size: tuple[int, int]
) -> Iterator[models.LabeledShapeRequest]:
    """The box, if there is one."""
    if found.box is not None:
        yield rectangle(label, rectangle_points(found.box, size), score=found.score)


def skeleton_shapes(
    found: Segment, label: int, size: tuple[int, int]
) -> Iterator[models.LabeledShapeRequest]:
    """A skeleton of all points; those that the model does not see are there, but outside."""
    if found.keypoints:
        points = [_element(i, point, size) for i, point in enumerate(found.keypoints)]
        yield skeleton(label, points, score=found.score)


def _element(number: int, point: Keypoint, size: tuple[int, int]) -> models.SubLabeledShapeRequest:
    height, width = size
    place = [min(max(point.x, 0.0), float(width)), min(max(point.y, 0.0), float(height))]
    return keypoint(number, place, outside=not point.score > 0)
