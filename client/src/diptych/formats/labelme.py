"""LabelMe: a JSON file for each picture, to lie beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from .._types.segment import Segment
from .categories import Categories
from .names import beside, unique_names
from .outlines import numbers, within_border
from .picture import Files, Options, Picture

VERSION = "5.5.0"
"""Of LabelMe, whose files these are like."""


def write(pictures: Sequence[Picture], options: Options) -> Files:
    """Write polygons, boxes of what has no mask, and keypoints; of one object they are a group."""
    categories = Categories(pictures, options.categories)
    names = unique_names((picture.name for picture in pictures), by_stem=True)
    for picture, name in zip(pictures, names, strict=True):
        shapes = [
            shape
            for number, segment in enumerate(picture.segments, start=1)
            for shape in _shapes(segment, number, categories.name(segment), options)
        ]
        content: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": name.rpartition("/")[2],
            "imageData": None,
            "imageHeight": picture.height,
            "imageWidth": picture.width,
        }
        yield beside(name, ".json"), json.dumps(content, ensure_ascii=False, indent=1).encode()


def _shapes(
    segment: Segment, number: int, label: str, options: Options
) -> Iterator[dict[str, Any]]:
    said = f"score {segment.score:.4f}"
    found: list[tuple[str, str, list[list[float]]]] = []
    if segment.mask is not None:
        outline = within_border(segment.mask, options.tolerance)
        found = [(label, "polygon", numbers(ring)) for ring in outline.rings]
        if options.tolerance > 0:
            said += f", IoU {outline.iou:.4f}"
    elif segment.box is not None:
        left, top, right, bottom = segment.box.xyxy
        found = [(label, "rectangle", [[left, top], [right, bottom]])]
    found += [(point.name, "point", [[point.x, point.y]]) for point in segment.keypoints]
    for name, kind, points in found:
        yield {
            "label": name,
            "points": points,
            "group_id": number if len(found) > 1 else None,
            "description": said,
            "shape_type": kind,
            "flags": {},
            "mask": None,
        }
