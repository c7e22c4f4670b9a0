"""The simulated user clicks where RITM's does: against the rule written out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from diptych import Point
from diptych_eval.asking.clicker import Click, next_click

Array = NDArray[np.bool_]


def depth(region: Array, row: int, column: int) -> int:
    """Squared distance of a pixel to the next one outside; all beyond the edge is outside."""
    height, width = region.shape
    outside = [
        (r, c)
        for r in range(-1, height + 1)
        for c in range(-1, width + 1)
        if not (0 <= r < height and 0 <= c < width and region[r, c])
    ]
    return min((r - row) ** 2 + (c - column) ** 2 for r, c in outside)


def deepest(region: Array, taken: set[tuple[int, int]]) -> tuple[int, int, int]:
    """Depth, row and column of the deepest pixel that was not clicked; the first of several."""
    best = (0, 0, 0)
    for row in range(region.shape[0]):
        for column in range(region.shape[1]):
            if (row, column) not in taken and (at := depth(region, row, column)) > best[0]:
                best = (at, row, column)
    return best


def rule(prediction: Array, truth: Array, taken: set[tuple[int, int]]) -> Click | None:
    """What the paper's evaluation says, in plain loops."""
    missed, wrong = (
        deepest(truth & ~prediction, taken),
        deepest(prediction & ~truth, taken),
    )
    if missed[0] > wrong[0]:
        return Click(missed[1], missed[2], True)
    return Click(wrong[1], wrong[2], False) if wrong[0] else None


def blobs(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    """A mask of a few rectangles, some of which are holes and some touch the edge."""
    mask = np.zeros(shape, bool)
    for _ in range(random.integers(0, 5)):
        top, left = random.integers(0, shape[0]), random.integers(0, shape[1])
        height, width = random.integers(1, 8, size=2)
        mask[top : top + height, left : left + width] ^= True
    return mask


@pytest.mark.parametrize("seed", range(25))
def test_clicks_are_those_of_the_rule(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (int(random.integers(3, 13)), int(random.integers(3, 15)))
    prediction, truth = blobs(random, shape), blobs(random, shape)
    taken: list[Click] = []
    for _ in range(4):
        click = next_click(prediction, truth, taken)
        assert click == rule(prediction, truth, {(each.row, each.column) for each in taken})
        if click is None:
            return
        taken.append(click)


def test_the_first_click_is_farthest_from_the_outline_and_in_the_middle_of_a_pixel() -> None:
    truth = np.zeros((9, 11), bool)
    truth[2:7, 3:8] = True
    click = next_click(np.zeros_like(truth), truth, [])
    assert click == Click(4, 5, True)
    assert click.point == Point(5.5, 4.5, True)


def test_the_deeper_region_is_clicked_not_the_one_with_more_pixels() -> None:
    truth, prediction = np.zeros((20, 40), bool), np.zeros((20, 40), bool)
    truth[0:2, :] = True  # 80 pixels missed, one deep
    prediction[10:15, 10:15] = True  # 25 wrong, three deep
    assert next_click(prediction, truth, []) == Click(12, 12, False)


def test_of_two_as_deep_the_wrong_one_is_clicked() -> None:
    truth, prediction = np.zeros((5, 9), bool), np.zeros((5, 9), bool)
    truth[1:4, 1:4] = True
    prediction[1:4, 5:8] = True
    assert next_click(prediction, truth, []) == Click(2, 6, False)


def test_beyond_the_edge_is_outside() -> None:
    truth = np.ones((5, 5), bool)
    assert next_click(np.zeros_like(truth), truth, []) == Click(2, 2, True)


def test_no_pixel_is_clicked_twice_and_nothing_is_left_in_the_end() -> None:
    truth = np.zeros((4, 4), bool)
    truth[1, 1:3] = True
    nothing = np.zeros_like(truth)
    taken: list[Click] = []
    while (click := next_click(nothing, truth, taken)) is not None:
        taken.append(click)
    assert taken == [Click(1, 1, True), Click(1, 2, True)]
    assert next_click(truth, truth, []) is None
