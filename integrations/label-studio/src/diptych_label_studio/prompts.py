"""From what an annotator drew to prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from label_studio_sdk.converter.brush import decode_rle
from numpy.typing import NDArray

from diptych import Box, Point, Prompt

from .refusals import Refusal

_BRUSH_POINTS = 8
_LOOKED_AT = 2000  # pixels of a stroke, among which these points are chosen
_MOST_PIXELS = 64_000_000
_CHANNELS = 4


@dataclass(frozen=True)
class Drawn:
    """What was drawn on one picture, in its pixels."""

    picture: str
    """Name of the picture's tag."""
    label: str
    size: tuple[int, int]
    """Height and width, as the browser sees them."""
    prompts: tuple[Prompt, ...]


def read_drawn(results: Sequence[dict[str, Any]]) -> Drawn:
    """Read the regions of a context: points and strokes are one object, each box is one.

    Raises:
        Refusal: they cannot be used.
    """
    last = results[-1]
    size = _size(last)
    points: list[Point] = []
    boxes: list[Box] = []
    for result in results:
        if result.get("to_name") != last.get("to_name") or _size(result) != size:
            raise Refusal("Expected regions of one picture in one request")
        if (result.get("image_rotation") or 0) % 360:
            raise Refusal("The picture is turned in the editor: turn it back to ask a model", 422)
        _add(result, size, points, boxes)
    return Drawn(str(last.get("to_name")), _label(results), size, _prompts(points, boxes))


def _prompts(points: list[Point], boxes: list[Box]) -> tuple[Prompt, ...]:
    if len(boxes) == 1:
        return (Prompt(points=tuple(points), box=boxes[0]),)
    found = [Prompt(box=box) for box in boxes]
    if any(point.positive for point in points):
        found.append(Prompt(points=tuple(points)))
    if not found:
        raise Refusal("All points are negative: expected one on the object, too")
    return tuple(found)


def _add(
    result: dict[str, Any], size: tuple[int, int], points: list[Point], boxes: list[Box]
) -> None:
    kind = str(result.get("type")).removesuffix("labels")
    value = result["value"]
    positive = result.get("is_positive", True) is not False
    if kind == "keypoint":
        x, y = _pixels(value, size)
        points.append(Point(x, y, positive))
    elif kind == "rectangle":
        boxes.append(_box(value, size))
    elif kind == "brush":
        points += [Point(x, y, positive) for x, y in spread(_stroke(value, size))]
    else:
        raise Refusal(f"Expected key points, rectangles or a brush as prompts, got {kind}", 422)


def _size(result: dict[str, Any]) -> tuple[int, int]:
    height, width = result.get("original_height"), result.get("original_width")
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1:
        raise Refusal("Expected original_width and original_height of the picture in each region")
    if height * width > _MOST_PIXELS:
        raise Refusal(f"Expected a picture of at most {_MOST_PIXELS} pixels", 413)
    return height, width


def _label(results: Sequence[dict[str, Any]]) -> str:
    for result in reversed(results):
        value = result["value"]
        for key in (str(result.get("type")), "labels"):
            names = value.get(key)
            if isinstance(names, list) and names:
                return str(names[0])
    return ""


def _pixels(value: dict[str, Any], size: tuple[int, int]) -> tuple[float, float]:
    height, width = size
    return _number(value, "x") * width / 100, _number(value, "y") * height / 100


def _box(value: dict[str, Any], size: tuple[int, int]) -> Box:
    """The smallest around a rectangle, which is turned around its top left corner."""
    x, y = _pixels(value, size)
    width = _number(value, "width") * size[1] / 100
    height = _number(value, "height") * size[0] / 100
    angle = math.radians(_number(value, "rotation", 0))
    right = np.array([math.cos(angle), math.sin(angle)]) * width
    down = np.array([-math.sin(angle), math.cos(angle)]) * height
    corners = np.add((x, y), [np.zeros(2), right, down, right + down])
    (left, top), (far, low) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return Box(left, top, far, low)


def _number(value: dict[str, Any], key: str, default: float | None = None) -> float:
    found = value.get(key, default)
    if not isinstance(found, int | float) or not math.isfinite(found):
        raise Refusal(f"Expected a number as {key} of a region, got {found!r}")
    return float(found)


def _stroke(value: dict[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = size
    rle = value.get("rle")
    if not isinstance(rle, list) or not all(type(v) is int and 0 <= v < 256 for v in rle):
        raise Refusal("Expected the run lengths of a brush as numbers from 0 to 255")
    # The reader makes room for as many values as the first bytes say.
    if int.from_bytes(bytes(rle[:4])) != height * width * _CHANNELS:
        raise Refusal("Expected the run lengths of a brush as large as the picture")
    try:
        pixels = decode_rle(rle).reshape(height, width, _CHANNELS)
    except (ValueError, IndexError):
        raise Refusal("The run lengths of a brush are broken") from None
    painted: NDArray[np.bool_] = pixels[..., _CHANNELS - 1] > 127
    return painted


def spread(painted: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Points within a stroke that are far from each other, its middle first.

    A stroke is no outline: as a mask it would say that the object ends where the brush did.
    """
    y, x = np.nonzero(painted)
    if not len(x):
        return []
    every = max(1, len(x) // _LOOKED_AT)
    places = np.stack((x[::every], y[::every]), axis=1).astype(np.float64)
    chosen = [int(((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    nearest = np.full(len(places), np.inf)
    while len(chosen) < min(_BRUSH_POINTS, len(places)):
        nearest = np.minimum(nearest, ((places - places[chosen[-1]]) ** 2).sum(axis=1))
        if nearest.max() < 1:
            break
        chosen.append(int(nearest.argmax()))
    return [(float(places[i, 0]) + 0.5, float(places[i, 1]) + 0.5) for i in chosen]
