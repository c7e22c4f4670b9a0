"""Marks that a person set, as prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diptych import Box, Point, Prompt

from .bodies import a_list, a_number, an_object
from .refusals import RefusedError


def prompts_of(marks: Sequence[Any]) -> list[Prompt]:
    """Turn marks into objects to ask for.

    Without a rectangle all points are one object; with one they belong to it. Several rectangles
    are an object each, with the points that lie inside.

    Raises:
        RefusedError: a mark cannot be used; the message says which.
    """
    points: list[Point] = []
    boxes: list[Box] = []
    for number, each in enumerate(marks):
        where = f"marks[{number}]"
        mark = an_object(each, where)
        kind, label = mark.get("type"), mark.get("label", 1)
        values = a_list(mark.get("data"), f"{where}.data")
        data = [a_number(value, f"{where}.data") for value in values]
        if kind == "point" and len(data) == 2:
            points.append(Point(data[0], data[1], bool(label)))
        elif kind == "rectangle" and len(data) == 4 and label:
            boxes.append(_box(data))
        elif kind == "rectangle" and len(data) == 4:
            raise RefusedError(
                "a rectangle around what is not wanted is not taken, a point on it is"
            )
        else:
            raise RefusedError(
                f"{where}: expected a point with 2 or a rectangle with 4 numbers, "
                f"got {kind!r} with {len(data)}"
            )
    return _sorted(points, boxes)


def _box(data: Sequence[float]) -> Box:
    x0, y0, x1, y1 = data
    return Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def _sorted(points: Sequence[Point], boxes: Sequence[Box]) -> list[Prompt]:
    if not boxes:
        return [Prompt(points=tuple(points))] if points else []
    if len(boxes) == 1:
        return [Prompt(points=tuple(points), box=boxes[0])]
    inside: list[list[Point]] = [[] for _ in boxes]
    for point in points:
        holders = [found for box, found in zip(boxes, inside, strict=True) if _holds(box, point)]
        if not holders:
            raise RefusedError(
                f"of {len(boxes)} rectangles none is around the point "
                f"({point.x:g}, {point.y:g}): finish one object before the next"
            )
        holders[0].append(point)
    return [Prompt(points=tuple(p), box=box) for box, p in zip(boxes, inside, strict=True)]


def _holds(box: Box, point: Point) -> bool:
    return box.x_min <= point.x <= box.x_max and box.y_min <= point.y <= box.y_max
