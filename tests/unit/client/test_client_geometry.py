"""Boxes."""

from __future__ import annotations

import pytest

from diptych import Box


def test_two_ways_to_say_where_a_box_is() -> None:
    box = Box.from_xywh(10, 20, 30, 40)
    assert box == Box(10, 20, 40, 60)
    assert (box.xyxy, box.xywh, box.area) == ((10, 20, 40, 60), (10, 20, 30, 40), 1200)
    assert Box.from_xywh(*box.xywh) == box


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        (Box(0, 0, 4, 4), 1.0),
        (Box(2, 0, 6, 4), 8 / 24),
        (Box(4, 0, 8, 4), 0.0),
        (Box(9, 9, 10, 10), 0.0),
        (Box(3, 3, 1, 1), 0.0),
    ],
)
def test_overlaps(other: Box, iou: float) -> None:
    box = Box(0, 0, 4, 4)
    assert box.iou(other) == other.iou(box) == pytest.approx(iou)


def test_a_box_without_an_inside() -> None:
    empty = Box(5, 5, 1, 1)
    assert empty.area == 0.0
    assert empty.iou(empty) == 0.0
