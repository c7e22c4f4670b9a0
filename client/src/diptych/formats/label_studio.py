"""Label Studio: tasks with predictions, and the labelling configuration that they need."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from .._types.segment import Segment
from ..masks.brush import label_studio
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


def _results(
    segment: Segment, picture: Picture, label: str, options: Options
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kinds and what is special of each; coordinates are hundredths of the picture."""
    wide, high = 100 / picture.width, 100 / picture.height
    if segment.mask is not None and options.tolerance > 0:
        outline = along_edges(segment.mask, options.tolerance)
        for ring in outline.rings:
            points = [[round(x * wide, 6), round(y * high, 6)] for x, y in ring.tolist()]
            value = {"points": points, "closed": True, "polygonlabels": [label]}
            yield "polygon", {"value": value, "meta": {"text": [f"IoU {outline.iou:.4f}"]}}
    elif segment.mask is not None:
        value = {"format": "rle", "rle": label_studio(segment.mask), "brushlabels": [label]}
        yield "brush", {"value": value}
    elif segment.box is not None:
        left, top, width, height = segment.box.xywh
        edges = {"x": left * wide, "y": top * high, "width": width * wide, "height": height * high}
        yield "rectangle", {"value": {**edges, "rotation": 0, "rectanglelabels": [label]}}
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
