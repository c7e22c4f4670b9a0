"""Pascal VOC: an XML file for each picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .._types.geometry import Box
from .._types.segment import Segment
from .categories import Categories
from .markup import document, element, inside
from .names import beside, unique_names
from .outlines import numbers, within_border
from .picture import Files, Options, Picture, box_of

_FILE, _OBJECT, _FIELD = "\n  ", "\n    ", "\n      "


def write(pictures: Sequence[Picture], options: Options) -> Files:
    """Write boxes, as VOC has them, and polygons, as labelling tools have added them to it."""
    categories = Categories(pictures, options.categories)
    names = unique_names((picture.name for picture in pictures), by_stem=True)
    for picture, name in zip(pictures, names, strict=True):
        folder, _, file = name.rpartition("/")
        size = [("width", picture.width), ("height", picture.height), ("depth", 3)]
        fields = [
            element("folder", folder.rpartition("/")[2]),
            element("filename", file),
            element("source", inside([element("database", picture.model_id)], _OBJECT)),
            element("size", inside((element(*one) for one in size), _OBJECT)),
            element("segmented", int(any(segment.mask for segment in picture.segments))),
        ]
        for segment in picture.segments:
            box = box_of(segment)
            if box is not None:
                fields.append(_object(segment, box, picture, categories.name(segment), options))
        root = element("annotation", inside(fields, _FILE))
        yield beside(name, ".xml"), document(root)


def _object(segment: Segment, box: Box, picture: Picture, name: str, options: Options) -> str:
    # VOC counts pixels from 1, and its last one is the last that belongs to the object.
    left, right = _pixels(box.x_min, box.x_max, picture.width)
    top, bottom = _pixels(box.y_min, box.y_max, picture.height)
    edges = [("xmin", left), ("ymin", top), ("xmax", right), ("ymax", bottom)]
    fields = [
        element("name", name),
        element("pose", "Unspecified"),
        element("truncated", 0),
        element("difficult", 0),
        element("bndbox", inside((element(*edge) for edge in edges), _FIELD)),
    ]
    if segment.mask is not None:
        for ring in within_border(segment.mask, options.tolerance).rings:
            points = enumerate(numbers(ring + 1), start=1)
            corners = (f"<x{n}>{x}</x{n}><y{n}>{y}</y{n}>" for n, (x, y) in points)
            fields.append(element("polygon", inside(corners, _FIELD)))
    return element("object", inside(fields, _OBJECT))


def _pixels(low: float, high: float, side: int) -> tuple[int, int]:
    first = min(max(math.floor(low + 0.5), 0), side - 1) + 1
    return first, max(first, min(math.floor(high + 0.5), side))
