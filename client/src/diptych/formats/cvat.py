"""CVAT for images 1.1: one XML file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .._types.segment import Segment
from ..masks.brush import row_runs
from .categories import Categories
from .markup import document, element, inside
from .names import unique_names
from .outlines import along_edges, numbers
from .picture import Files, Options, Picture


def write(pictures: Sequence[Picture], options: Options) -> Files:
    """Write exact masks; with a tolerance, polygons, those of one object as a group."""
    categories = Categories(pictures, options.categories)
    names = unique_names(picture.name for picture in pictures)
    labels = [
        element("label", inside([element("name", name), element("attributes")], "\n      "))
        for name in _labels(pictures, categories)
    ]
    task = element("task", inside([element("labels", inside(labels, "\n      "))], "\n    "))
    images = [
        element(
            "image",
            inside(_shapes(picture, categories, options), "\n    "),
            id=number,
            name=name,
            width=picture.width,
            height=picture.height,
        )
        for number, (picture, name) in enumerate(zip(pictures, names, strict=True))
    ]
    meta = element("meta", inside([task], "\n    "))
    parts = [element("version", "1.1"), meta, *images]
    yield "annotations.cvat.xml", document(element("annotations", inside(parts, "\n  ")))


def _labels(pictures: Sequence[Picture], categories: Categories) -> list[str]:
    """Names of classes, and of keypoints, which are shapes of their own here."""
    points = [point.name for one in pictures for s in one.segments for point in s.keypoints]
    return list(dict.fromkeys([*(name for _, name in categories), *points]))


def _shapes(picture: Picture, categories: Categories, options: Options) -> Iterator[str]:
    for number, segment in enumerate(picture.segments, start=1):
        found = list(_of_segment(segment, categories.name(segment), options))
        group = {"group_id": number} if len(found) > 1 else {}
        for kind, attributes in found:
            common = {"source": "auto", "occluded": 0, "z_order": 0, **group}
            yield element(kind, **attributes, **common)


def _of_segment(
    segment: Segment, label: str, options: Options
) -> Iterator[tuple[str, dict[str, object]]]:
    mask, box = segment.mask, segment.box
    if mask is not None and mask.area and options.tolerance > 0:
        for ring in along_edges(mask, options.tolerance).rings:
            yield "polygon", {"label": label, "points": _points(numbers(ring))}
    elif mask is not None and mask.area:
        lengths, left, top, width, height = row_runs(mask)
        runs = ", ".join(map(str, lengths.tolist()))
        place = {"left": left, "top": top, "width": width, "height": height}
        yield "mask", {"label": label, "rle": runs, **place}
    elif box is not None:
        left_top = {"xtl": f"{box.x_min:.2f}", "ytl": f"{box.y_min:.2f}"}
        right_bottom = {"xbr": f"{box.x_max:.2f}", "ybr": f"{box.y_max:.2f}"}
        yield "box", {"label": label, **left_top, **right_bottom}
    for point in segment.keypoints:
        yield "points", {"label": point.name, "points": _points([[point.x, point.y]])}


def _points(points: Sequence[Sequence[float]]) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in points)
