"""The paired bootstrap: ratios of sums, the same pictures for both, the same numbers each time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from diptych_eval.figures.resampling import Share, difference, figure_of, paired_difference


def shares(values: list[tuple[float, float]]) -> dict[str, Share]:
    return {f"{index:04d}.png": Share((t,), (n,)) for index, (t, n) in enumerate(values)}


def test_the_value_is_a_ratio_of_sums_not_a_mean_of_pictures() -> None:
    a, b = shares([(0.5, 1), (6.0, 9)]), shares([(1.0, 1), (3.0, 9)])
    found = paired_difference(a, b, resamples=10)
    assert found.value == pytest.approx(4.0 / 10 - 6.5 / 10)
    assert (found.wins, found.ties, found.losses) == (1, 0, 1)
    assert figure_of(list(a.values())) == 0.65


def test_a_mean_of_classes_has_the_classes_that_have_a_count() -> None:
    pictures = [Share((1, 0, 0), (2, 4, 0)), Share((1, 2, 0), (2, 4, 0))]
    assert figure_of(pictures) == pytest.approx((2 / 4 + 2 / 8) / 2)
    assert figure_of([Share((0, 0), (0, 0))]) is None
    assert figure_of([]) is None


def test_the_interval_is_that_of_the_mean_of_differences() -> None:
    """Of many pictures the bootstrap's is the normal one; unpaired it would be ten times wider."""
    random = np.random.default_rng(5)
    base, more = random.normal(0.5, 0.2, 600), random.normal(0.01, 0.02, 600)
    a, b = shares([(v, 1) for v in base]), shares([(v, 1) for v in base + more])
    found = paired_difference(a, b, resamples=4000, seed=1)
    half = 1.96 * more.std() / math.sqrt(len(more))
    assert found.value == pytest.approx(more.mean())
    assert found.low == pytest.approx(more.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(more.mean() + half, abs=0.1 * half)
    assert found.wins == int((more > 0).sum())


def test_pictures_with_more_objects_weigh_more_in_resamples() -> None:
    """Two pictures: a resample has the first twice, both, or the second twice."""
    a, b = shares([(0.0, 1), (0.0, 3)]), shares([(1.0, 1), (0.0, 3)])
    found = paired_difference(a, b, resamples=2000)
    assert (found.value, found.low, found.high) == (0.25, 0.0, 1.0)


def test_a_seed_gives_one_interval_whatever_the_order() -> None:
    random = np.random.default_rng(0)
    a, b = (shares([(v, 1) for v in random.random(30)]) for _ in range(2))
    turned = dict(reversed(b.items()))
    assert paired_difference(a, b, seed=3) == paired_difference(a, turned, seed=3)
    assert paired_difference(a, b, seed=3) != paired_difference(a, b, seed=4)


def test_equal_models_tie_and_no_difference_is_shown() -> None:
    a = shares([(0.1 * each, 1) for each in range(9)])
    found = difference("prompted/box-mIoU", "one", a, "two", a, resamples=50)
    assert (found.value, found.low, found.high, found.ties) == (0, 0, 0, 9)
    assert not found.shown


def test_fewer_clicks_are_a_win() -> None:
    a, b = shares([(9, 1), (8, 1)]), shares([(2, 1), (3, 1)])
    found = difference("NoC", "one", a, "two", b, higher_is_better=False)
    assert (found.wins, found.losses, found.value) == (2, 0, -6)
    assert found.shown


def test_pictures_without_anything_to_count_change_nothing_and_tie() -> None:
    a, b = shares([(0.5, 1), (0, 0)]), shares([(1.0, 1), (0, 0)])
    found = paired_difference(a, b, resamples=200)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
    assert (found.wins, found.ties, found.losses) == (1, 1, 0)


@pytest.mark.parametrize(
    ("a", "b", "resamples", "message"),
    [
        (shares([(1, 1)]), shares([(1, 1), (1, 1)]), 10, "got 0001.png for one"),
        ({}, {}, 10, "at least one"),
        (shares([(0, 0)]), shares([(0, 0)]), 10, "something to count"),
        (shares([(1, 1)]), shares([(1, 1)]), 0, "resamples: expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_paired_is_said(
    a: dict[str, Share], b: dict[str, Share], resamples: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(a, b, resamples=resamples)
