"""From what a model found to regions of Label Studio."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from diptych import Segment
from diptych.formats.label_studio import brush_value, polygon_value, rectangle_value
from diptych.formats.outlines import along_edges

from .config import OUTPUTS, Control

TOLERANCE = 1.0
"""How far polygons may be from the mask, in pixels."""


def regions(
    segment: Segment, control: Control, picture: str, label: str, size: tuple[int, int],
    tolerance: float,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """One region, or a polygon for each part; none for an object without pixels."""
    height, width = size
    kind = OUTPUTS[control.tag]
    for value in _values(segment, kind, size, tolerance):
        yield {
            "id": uuid.uuid4().hex[:10],
            "from_name": control.name,
            "to_name": picture,
            "type": f"{kind}labels",
            "origin": "manual",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "score": round(segment.score, 6),
            "value": {**value, f"{kind}labels": [label]},
        }


def _values(
    segment: Segment, kind: str, size: tuple[int, int], tolerance: float
) -> Iterator[dict[str, Any]]:
    mask, box = segment.mask, segment.box
    if kind == "brush" and mask is not None and mask.area:
        yield brush_value(mask)
    elif kind == "polygon" and mask is not None and mask.area:
        for ring in along_edges(mask, tolerance).rings:
            yield polygon_value(ring, size)
    elif kind == "rectangle" and (box := mask.box if mask is not None else box) is not None:
        yield rectangle_value(box, size)
