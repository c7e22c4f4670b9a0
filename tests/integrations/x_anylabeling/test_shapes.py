"""What is found as shapes, against the LabelMe format, whose readers draw as X-AnyLabeling does."""

from __future__ import annotations

import json
from typing import Any

import fifty_masks
import numpy as np
import pytest

from diptych import Box, Keypoint, Mask, Segment
from diptych.formats import FORMATS, Options, Picture
from diptych_x_anylabeling.shapes import shapes_of, tolerance


def labelme(segments: list[Segment], size: tuple[int, int], within: float = 0.0) -> list[Any]:
    """The shapes of the LabelMe file of the same segments."""
    picture = Picture("a.png", size[1], size[0], segments)
    ((_, data),) = FORMATS["labelme"].write([picture], Options(tolerance=within))
    shapes: list[Any] = json.loads(data)["shapes"]
    return shapes


def test_masks_have_the_polygons_of_the_labelme_format() -> None:
    """Of the fifty that formats find hard every third, without one that takes a second."""
    segments = [each for each in fifty_masks.picture().segments[::3] if each.area < 3000]
    shapes = shapes_of(segments, 0.0)
    written = labelme(segments, fifty_masks.SIZE)
    same = ("label", "shape_type", "points", "group_id")
    assert [[shape[key] for key in same] for shape in shapes] == [
        [shape[key] for key in same] for shape in written
    ]
    assert {shape["iou"] for shape in shapes} == {1.0}


@pytest.mark.parametrize(("fineness", "least"), [(0.001, 0.99), (0.01, 0.9)])
def test_coarser_polygons_say_how_near_they_are(fineness: float, least: float) -> None:
    y, x = np.mgrid[:200, :300]
    disc = np.hypot(x - 150, y - 100) < 70
    mask = Mask.from_array(disc)
    segment = Segment(score=0.5, box=mask.box, mask=mask, area=mask.area)
    (shape,) = shapes_of([segment], fineness)
    (exact,) = shapes_of([segment], 0.0)
    (written,) = labelme([segment], (200, 300), tolerance(mask, fineness))
    assert shape["points"] == written["points"]
    assert len(shape["points"]) < len(exact["points"]) / 2
    again = Mask.from_polygons([np.array(shape["points"]) + 0.35], (200, 300))
    assert shape["iou"] == pytest.approx(again.iou(mask), abs=1e-3)
    assert least < shape["iou"] < 1


def test_specks_are_left_out_and_told() -> None:
    """From SAM 2 they come by the dozen, each a shape that has to be deleted."""
    pixels = np.zeros((60, 100), bool)
    pixels[10:50, 10:60] = True
    pixels[5:8, 70:80:2] = True
    pixels[20:40, 80:95] = True
    mask = Mask.from_array(pixels)
    segment = Segment(score=0.5, mask=mask, box=mask.box, area=mask.area)
    shapes = shapes_of([segment], 0.001)
    assert len(shapes) == 2  # the second part is no speck
    assert shapes[0]["iou"] == pytest.approx(2300 / 2315, abs=1e-4)
    finest = shapes_of([segment], 0.0001)  # the slider's left end
    assert (len(finest), finest[0]["iou"]) == (7, 1.0)


def test_keypoints_are_points_in_a_group_with_their_box() -> None:
    points = (Keypoint("nose", 3.004, 4.0, 7.5), Keypoint("left eye", 5.0, 2.0, -1.0))
    person = Segment(score=0.91234, box=Box(1, 2, 9, 8), label="person", keypoints=points)
    shapes = shapes_of([person, Segment(score=0.3, box=Box(0, 0, 1, 1), label="cat")], 0.001)
    assert [(s["label"], s["shape_type"], s["group_id"], s["score"]) for s in shapes] == [
        ("person", "rectangle", 1, 0.9123),
        ("nose", "point", 1, None),
        ("left eye", "point", 1, None),
        ("cat", "rectangle", None, 0.3),
    ]
    assert shapes[1]["points"] == [[3.0, 4.0]]


def test_what_no_model_named_has_a_name() -> None:
    mask = Mask.from_array(np.ones((4, 4), bool))
    (shape,) = shapes_of([Segment(score=0.5, mask=mask, box=mask.box)], 0.0)
    assert shape["label"] == "object"  # without a label X-AnyLabeling opens no file
    (box,) = shapes_of([Segment(score=0.5, mask=mask, box=mask.box)], 0.0, masks=False)
    assert box["shape_type"] == "rectangle"
