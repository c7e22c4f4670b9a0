"""Label Studio: tasks with predictions, and the labelling configuration that they need."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from .._types.geometry import Box
from .._types.segment import Segment
from ..masks.brush import label_studio
from ..masks.mask import Mask
from ..masks.polygons import Ring
from .categories import Categories
from .markup import element, inside
from .names import unique_names
from .outlines import along_edges
from .picture import Files, Options, Picture

_IMAGE = "image"
_TAGS = {
    "brush": "BrushLabels",
    "polygon": "PolygonLabels",
    "rectangle": "RectangleLabels",
    "keypoint": "KeyPointLabels",
}


def write(pictures: Sequence[Picture], options: Options) -> Files:
    """Write exact masks as brush strokes; with a tolerance, polygons.

    A picture is named as Label Studio's local storage names it, which has to lead to its folder.
    """
    categories = Categories(pictures, options.categories)
    names = unique_names(picture.name for picture in pictures)
    tasks = [
        _task(picture, name, categories, options)
        for picture, name in zip(pictures, names, strict=True)
    ]
    yield "tasks.json", json.dumps(tasks, ensure_ascii=False).encode()
    yield "label-config.xml", _config(pictures, categories).encode()


def _task(picture: Picture, name: str, categories: Categories, options: Options) -> dict[str, Any]:
    results = [
        {
            "id": f"{number}-{place}",
            "from_name": kind,
            "to_name": _IMAGE,
            "type": f"{kind}labels",
            "original_width": picture.width,
            "original_height": picture.height,
            "image_rotation": 0,
            "score": round(segment.score, 6),
            **more,
        }
        for number, segment in enumerate(picture.segments, start=1)
        for place, (kind, more) in enumerate(
            _results(segment, picture, categories.name(segment), options)
        )
    ]
    scores = [segment.score for segment in picture.segments]
    prediction = {
        "model_version": picture.model_id or "diptych",
        "score": round(sum(scores) / len(scores), 6) if scores else 0.0,
        "result": results,
    }
    return {
        "data": {_IMAGE: f"/data/local-files/?d={quote(name)}"},
        "predictions": [prediction],
    }


def brush_value(mask: Mask) -> dict[str, Any]:
    """A mask, pixel by pixel, as the value of a region."""
    return {"format": "rle", "rle": label_studio(mask)}


def polygon_value(ring: Ring, size: tuple[int, int]) -> dict[str, Any]:
    """An outline in a picture of this height and width, whose hundredths coordinates are."""
    wide, high = 100 / size[1], 100 / size[0]
    points = [[round(x * wide, 6), round(y * high, 6)] for x, y in ring.tolist()]
    return {"points": points, "closed": True}


def rectangle_value(box: Box, size: tuple[int, int]) -> dict[str, Any]:
    """A box, likewise."""
    wide, high = 100 / size[1], 100 / size[0]
    left, top, width, height = box.xywh
    edges = {"x": left * wide, "y": top * high, "width": width * wide, "height": height * high}
    return {**edges, "rotation": 0}


def _results(
    segment: Segment, picture: Picture, label: str, options: Options
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kinds and what is special of each; coordinates are hundredths of the picture."""
    size = picture.height, picture.width
    if segment.mask is not None and options.tolerance > 0:
        outline = along_edges(segment.mask, options.tolerance)
        for ring in outline.rings:
            value = {**polygon_value(ring, size), "polygonlabels": [label]}
            yield "polygon", {"value": value, "meta": {"text": [f"IoU {outline.iou:.4f}"]}}
    elif segment.mask is not None:
        yield "brush", {"value": {**brush_value(segment.mask), "brushlabels": [label]}}
    elif segment.box is not None:
        value = {**rectangle_value(segment.box, size), "rectanglelabels": [label]}
        yield "rectangle", {"value": value}
    wide, high = 100 / picture.width, 100 / picture.height
    for point in segment.keypoints:
        at = {"x": point.x * wide, "y": point.y * high, "width": 0.5}
        yield "keypoint", {"value": {**at, "keypointlabels": [point.name]}}


def _config(pictures: Sequence[Picture], categories: Categories) -> str:
    found = [point.name for one in pictures for s in one.segments for point in s.keypoints]
    of_kind = {kind: [name for _, name in categories] for kind in _TAGS}
    of_kind["keypoint"] = list(dict.fromkeys(found))
    tags = [element("Image", name=_IMAGE, value=f"${_IMAGE}")]
    for kind, tag in _TAGS.items():
        labels = inside((element("Label", value=name) for name in of_kind[kind]), "\n    ")
        if of_kind[kind]:
            tags.append(element(tag, labels, name=kind, toName=_IMAGE))
    return element("View", inside(tags, "\n  ")) + "\n"
