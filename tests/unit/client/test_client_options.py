"""Arguments of a call: prompts, tasks, and what is refused before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from diptych import Box, Mask, Point, Prompt, Task
from diptych._arguments import make_box, make_options, make_point


def test_nothing_prompted_is_instance_segmentation() -> None:
    assert make_options().task is Task.INSTANCE_SEGMENTATION
    assert make_options(prompts=[Prompt(box=Box(0, 0, 1, 1))]).task is Task.PROMPTED_SEGMENTATION
    assert make_options(boxes=[(0, 0, 1, 1)]).task is Task.PROMPTED_SEGMENTATION
    assert make_options(task="keypoint-detection", points=[(0, 0)]).task is Task.KEYPOINT_DETECTION


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"boxes": []}, "boxes: expected at least one, got none; leave it out"),
        ({"points": iter(())}, "points: expected"),
        ({"prompts": ()}, "prompts: expected"),
        ({"points": np.zeros((0, 2)), "boxes": np.zeros((0, 4))}, "points and boxes: expected"),
    ],
)
def test_lists_of_no_prompts_do_not_ask_for_everything(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"{named}.*task='instance-segmentation'"):
        make_options(**given)


def test_lists_of_no_prompts_beside_others_or_a_task_say_nothing() -> None:
    assert len(make_options(points=[], prompts=[], boxes=[(0, 0, 1, 1)]).prompts) == 1
    assert make_options(boxes=None).task is Task.INSTANCE_SEGMENTATION
    for task in (Task.INSTANCE_SEGMENTATION, Task.PROMPTED_SEGMENTATION):  # the latter is refused
        options = make_options(task=task, boxes=[])
        assert (options.task, options.prompts) == (task, ())


def test_points_are_one_object_and_boxes_one_each() -> None:
    options = make_options(points=iter([(1, 2), (3, 4)]), boxes=[(0, 0, 1, 1), (0, 0, 2, 2)])
    assert options.prompts == (
        Prompt(points=(Point(1, 2), Point(3, 4))),
        Prompt(box=Box(0, 0, 1, 1)),
        Prompt(box=Box(0, 0, 2, 2)),
    )


OFF = ((1, 2, False), (3, 4, False))
BOXED = Prompt(box=Box(0, 0, 9, 9))
MASKED = Prompt(mask=Mask.from_array(np.eye(9)), points=(Point(5, 5),))


@pytest.mark.parametrize("other", [BOXED, MASKED], ids=["box", "prompt"])
def test_points_that_are_all_off_the_object_correct_the_only_other(other: Prompt) -> None:
    given = {"prompts": [other]} if other.mask else {"boxes": [(0, 0, 9, 9)]}
    (asked,) = make_options(points=OFF, **given).prompts  # type: ignore[arg-type]
    off = (Point(1, 2, positive=False), Point(3, 4, positive=False))
    assert asked == replace(other, points=(*other.points, *off))


def test_which_of_several_they_correct_is_not_guessed() -> None:
    """A server refuses the prompt of its own that they are then."""
    asked = make_options(points=OFF, prompts=[MASKED], boxes=[(0, 0, 9, 9)]).prompts
    assert [prompt.is_correction for prompt in asked] == [False, True, False]
    (alone,) = make_options(points=OFF).prompts
    assert alone.is_correction


def test_a_point_on_the_object_makes_points_an_object() -> None:
    asked = make_options(points=[(1, 2), *OFF], boxes=[(0, 0, 9, 9)]).prompts
    assert [len(prompt.points) for prompt in asked] == [3, 0]
    assert not any(prompt.is_correction for prompt in (*asked, Prompt(), BOXED, MASKED))


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
