"""Tables of comma-separated values that a spreadsheet can open without running anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from .categories import Categories
from .names import unique_names
from .picture import Files, Options, Picture, box_of

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_HEAD = ("picture", "picture_width", "picture_height", "model", "object", "label", "category_id")
_NUMBERS = ("score", "x", "y", "width", "height", "area")


def write(pictures: Sequence[Picture], options: Options) -> Files:
    """Write a line for each object; a picture in which nothing was found has one without."""
    categories = Categories(pictures, options.categories)
    rows: list[list[object]] = [[*_HEAD, *_NUMBERS]]
    names = unique_names(picture.name for picture in pictures)
    for picture, name in zip(pictures, names, strict=True):
        of_picture = [name, picture.width, picture.height, picture.model_id]
        for number, segment in enumerate(picture.segments, start=1):
            box = box_of(segment)
            edges = [round(edge, 3) for edge in box.xywh] if box else [""] * 4
            row: list[object] = [number, categories.name(segment), categories.id(segment)]
            area = segment.area if segment.mask else ""
            rows.append([*of_picture, *row, round(segment.score, 6), *edges, area])
        if not picture.segments:
            rows.append([*of_picture, *[""] * (len(_HEAD) + len(_NUMBERS) - len(of_picture))])
    yield "objects.csv", lines(rows)


def lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as UTF-8; a text that a spreadsheet would take for a formula has ``'`` before it."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return buffer.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
