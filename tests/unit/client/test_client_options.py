"""Arguments of a call: prompts, tasks, and what is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diptych import Box, Point, Prompt, Task
from diptych._arguments import make_box, make_options, make_point


def test_nothing_prompted_is_instance_segmentation() -> None:
    assert make_options().task is Task.INSTANCE_SEGMENTATION
    assert make_options(prompts=[Prompt(box=Box(0, 0, 1, 1))]).task is Task.PROMPTED_SEGMENTATION
    assert make_options(boxes=[(0, 0, 1, 1)]).task is Task.PROMPTED_SEGMENTATION
    assert make_options(task="keypoint-detection", points=[(0, 0)]).task is Task.KEYPOINT_DETECTION


def test_points_are_one_object_and_boxes_one_each() -> None:
    options = make_options(points=iter([(1, 2), (3, 4)]), boxes=[(0, 0, 1, 1), (0, 0, 2, 2)])
    assert options.prompts == (
        Prompt(points=(Point(1, 2), Point(3, 4))),
        Prompt(box=Box(0, 0, 1, 1)),
        Prompt(box=Box(0, 0, 2, 2)),
    )


@pytest.mark.parametrize(
    ("given", "positive"),
    [((1, 2), True), ((1, 2, 1), True), ((1, 2, False), False), (np.array([1.0, 2.0, 0.0]), False)],
)
def test_points(given: Any, positive: bool) -> None:
    assert make_point(given) == Point(1.0, 2.0, positive)


@pytest.mark.parametrize("given", [(1,), (1, 2, 3, 4), (1, 2, -1), (1, 2, 7), ("a", 2), 7, None])
def test_other_points_are_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"point: expected \(x, y\)"):
        make_point(given)


@pytest.mark.parametrize("given", [(1, 2, 3), (1, 2, 3, 4, 5), ("a", 2, 3, 4), 7, None])
def test_other_boxes_are_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"box: expected \(x_min, y_min, x_max, y_max\)"):
        make_box(given)


def test_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"task: expected one of .*, got 'dig'"):
        make_options(task="dig")
