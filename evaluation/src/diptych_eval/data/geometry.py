"""Polygons, run lengths and boxes of files, checked and read as COCO reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hotcoco import mask as hotcoco_mask

from diptych import Mask

Xywh = tuple[float, float, float, float]

_MIN_COORDINATES = 6  # three corners
_HUGE = 1e300


def rasterise(polygons: Sequence[Sequence[float]], height: int, width: int) -> Mask:
    """Fill polygons as COCO does: ``frPyObjects`` of pycocotools, then ``merge``, bit for bit.

    ``Mask.from_polygons`` takes the pixels whose centre lies inside; COCO's rule differs by up to
    half a pixel along the outline, which is visible in AP.

    Args:
        polygons: x and y in turn, at least three corners each; parts of one object, no holes.
        height, width: of the picture in pixels.
    """
    if not polygons:
        return empty_mask(height, width)
    parts = hotcoco_mask.frPyObjects([list(each) for each in polygons], height, width)
    merged: Any = hotcoco_mask.merge(parts)
    return Mask.from_coco(merged["counts"], (height, width))


def empty_mask(height: int, width: int) -> Mask:
    """A mask without an object."""
    return Mask.from_counts([height * width], (height, width))


def split_degenerate(polygons: Sequence[Sequence[float]]) -> tuple[list[Sequence[float]], int]:
    """The polygons of at least three corners, and how many have fewer.

    Those have no area; a first one of four numbers would be taken for a box by COCO's code.
    """
    whole = [each for each in polygons if len(each) >= _MIN_COORDINATES]
    return whole, len(polygons) - len(whole)


def box_of(mask: Mask) -> Xywh | None:
    """Left, top, width and height around a mask; ``None`` if it is empty."""
    box = mask.box
    return None if box is None else box.xywh


def numbers(value: Any) -> list[float]:
    """A list of finite numbers from a parsed file.

    Raises:
        ValueError: it is something else; the text continues "expected".
    """
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"a list of numbers, got {short(value)}")
    # One pass each over what may be a thousand corners; which number is to blame is rarely asked.
    if set(map(type, value)) <= {int, float}:
        try:
            made = list(map(float, value))
        except OverflowError:  # a whole number beyond the largest float
            made = [math.inf]
        if all(map(math.isfinite, made)):
            return made
        wrong = next((each for each in value if not -_HUGE < each < _HUGE), value)
        raise ValueError(f"finite numbers, got {short(wrong)}")
    wrong = next(each for each in value if type(each) not in (int, float))
    raise ValueError(f"numbers only, got {short(wrong)}")


def short(value: Any) -> str:
    """A value of a file as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
