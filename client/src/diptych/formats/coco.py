"""COCO data sets: images, categories and annotations, of a picture or of a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .._export.formats import to_coco
from .._types.segment import Segment
from .categories import Categories
from .names import unique_names
from .outlines import along_edges, numbers
from .picture import Files, Options, Picture

Outline = Callable[[Segment], Mapping[str, Any]]
"""What an annotation has instead of run lengths, which remain if that is nothing."""


def write(pictures: Sequence[Picture], options: Options) -> Files:
    """Write one file, with masks as run lengths."""
    yield "annotations.coco.json", b"".join(dataset(pictures, options))


def write_polygons(pictures: Sequence[Picture], options: Options) -> Files:
    """Write one file, with masks as polygons; beside simplified ones is ``iou``."""

    def outline(segment: Segment) -> Mapping[str, Any]:
        assert segment.mask is not None
        found = along_edges(segment.mask, options.tolerance)
        if not found.rings:
            return {}
        rings = [[value for point in numbers(ring) for value in point] for ring in found.rings]
        return {"segmentation": rings} | ({"iou": found.iou} if options.tolerance > 0 else {})

    yield "annotations.coco.json", b"".join(dataset(pictures, options, outline=outline))


def dataset(
    pictures: Iterable[Picture],
    options: Options,
    *,
    image_ids: Mapping[str, int] | None = None,
    outline: Outline | None = None,
    more: Mapping[str, Iterable[Any]] | None = None,
) -> Iterator[bytes]:
    """Write the file piece by piece; ``pictures`` are gone through several times.

    Args:
        pictures: In the order in which they are written.
        options: Categories, skeleton and info.
        image_ids: Of the pictures by their names, which are then all different; without it they
            are numbered from 1.
        outline: Makes polygons of a mask.
        more: Lists of other things beside them.
    """
    categories = Categories(pictures, options.categories)
    names = _Names(image_ids)
    yield f'{{"info": {json.dumps(dict(options.info))},\n"licenses": []'.encode()
    yield from _list("images", (_image(picture, *name) for picture, name in names.of(pictures)))
    yield from _list("annotations", _annotations(names.of(pictures), categories, outline))
    yield from _list("categories", _categories(pictures, categories, options))
    for title, entries in (more or {}).items():
        yield from _list(title, entries)
    yield b"\n}\n"


class _Names:
    def __init__(self, ids: Mapping[str, int] | None) -> None:
        self._ids = ids

    def of(self, pictures: Iterable[Picture]) -> Iterator[tuple[Picture, tuple[int, str]]]:
        if self._ids is not None:
            yield from ((one, (self._ids[one.name], one.name)) for one in pictures)
            return
        found = list(pictures)
        names = unique_names(picture.name for picture in found)
        yield from zip(found, enumerate(names, start=1), strict=True)


def _list(title: str, entries: Iterable[Any]) -> Iterator[bytes]:
    yield f',\n"{title}": ['.encode()
    for number, entry in enumerate(entries):
        yield (",\n" if number else "\n").encode() + json.dumps(entry).encode()
    yield b"]"


def _image(picture: Picture, number: int, name: str) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": picture.width, "height": picture.height}


def _annotations(
    pictures: Iterable[tuple[Picture, tuple[int, str]]],
    categories: Categories,
    outline: Outline | None,
) -> Iterator[dict[str, Any]]:
    number = 0
    for picture, (image_id, _) in pictures:
        size = (picture.height, picture.width)
        for segment in picture.segments:
            number += 1
            (annotation,) = to_coco([segment], size, image_id, number, categories.id(segment))
            if outline is not None and segment.mask is not None:
                annotation |= outline(segment)
            yield annotation


def _categories(
    pictures: Iterable[Picture], categories: Categories, options: Options
) -> Iterator[dict[str, Any]]:
    bodies: dict[int, list[str]] = {}
    for picture in pictures:
        for segment in picture.segments:
            if segment.keypoints:
                points = [point.name for point in segment.keypoints]
                bodies.setdefault(categories.id(segment), points)
    for number, name in categories:
        entry: dict[str, Any] = {"id": number, "name": name, "supercategory": ""}
        if number in bodies:
            entry["keypoints"] = bodies[number]
            # COCO counts keypoints from 1.
            entry["skeleton"] = [[one + 1, other + 1] for one, other in options.skeleton]
        yield entry
