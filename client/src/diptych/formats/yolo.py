"""Labels for Ultralytics YOLO: a text file for each picture, a line for each object."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from .._types.segment import Segment
from .categories import Categories
from .names import beside, unique_names
from .outlines import as_one
from .picture import Files, Options, Picture, box_of

_Numbers = Callable[[Segment, Picture, Options], list[float]]


def write_segments(pictures: Sequence[Picture], options: Options) -> Files:
    """Write polygons; what has no mask is left out."""
    return _write(pictures, options, _polygon)


def write_boxes(pictures: Sequence[Picture], options: Options) -> Files:
    """Write boxes; what has none is left out."""
    return _write(pictures, options, _box)


def _write(pictures: Sequence[Picture], options: Options, numbers: _Numbers) -> Files:
    categories = Categories(pictures, options.categories)
    yield "data.yaml", _data(categories).encode()
    names = unique_names((picture.name for picture in pictures), by_stem=True)
    for picture, name in zip(pictures, names, strict=True):
        lines = []
        for segment in picture.segments:
            if found := numbers(segment, picture, options):
                written = " ".join(f"{number:.6f}" for number in found)
                lines.append(f"{categories.place(segment)} {written}\n")
        yield f"labels/{beside(name, '.txt')}", "".join(lines).encode()


def _data(categories: Categories) -> str:
    # Without a path the folder of this file is meant, wherever it lies.
    lines = ["train: images", "val: images", f"nc: {len(categories)}", "names:"]
    names = [json.dumps(name, ensure_ascii=False) for _, name in categories]
    return "\n".join([*lines, *(f"  {at}: {name}" for at, name in enumerate(names))]) + "\n"


def _polygon(segment: Segment, picture: Picture, options: Options) -> list[float]:
    if segment.mask is None:
        return []
    ring = as_one(segment.mask, options.tolerance).tolist()
    return [part for x, y in ring for part in (x / picture.width, y / picture.height)]


def _box(segment: Segment, picture: Picture, options: Options) -> list[float]:
    box = box_of(segment)
    if box is None:
        return []
    left, right = (min(max(x, 0), picture.width) / picture.width for x in (box.x_min, box.x_max))
    top, bottom = (min(max(y, 0), picture.height) / picture.height for y in (box.y_min, box.y_max))
    if right <= left or bottom <= top:
        return []
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
