"""Figures of the newest answers."""

from __future__ import annotations

import grpc
import pytest

from diptych import AnswerTime, Task
from diptych.wire.stats import read_stats
from diptych_runtime.front.stats import NEWEST, Stats, quantile


@pytest.mark.parametrize(
    ("ordered", "half", "most"),
    [([3.0], 3.0, 3.0), ([1.0, 2.0], 1.0, 2.0), ([float(i) for i in range(1, 101)], 50.0, 95.0)],
)
def test_quantiles_are_times_that_were_measured(
    ordered: list[float], half: float, most: float
) -> None:
    assert (quantile(ordered, 0.5), quantile(ordered, 0.95)) == (half, most)


def answered(stats: Stats, task: Task, seconds: float, *, held: bool = False) -> None:
    """An answer that took so long, after it waited for others."""
    stats.count_answer(task, {"queue": 8.0, "predict": seconds, "total": 8.0 + seconds}, held=held)


def test_kinds_of_requests_are_told_apart() -> None:
    stats = Stats()
    for seconds in (0.5, 0.25, 4.0):
        answered(stats, Task.PROMPTED_SEGMENTATION, seconds)
    answered(stats, Task.PROMPTED_SEGMENTATION, 0.125, held=True)
    fresh, held = read_stats(stats.message()).answer_times
    task = Task.PROMPTED_SEGMENTATION
    assert fresh == AnswerTime(task, image_held=False, count=3, p50_s=0.5, p95_s=4.0)
    assert held == AnswerTime(task, image_held=True, count=1, p50_s=0.125, p95_s=0.125)


def test_only_the_newest_answers_count() -> None:
    stats = Stats()
    answered(stats, Task.OBJECT_DETECTION, 100.0)
    for _ in range(NEWEST):
        answered(stats, Task.OBJECT_DETECTION, 1.0)
    (found,) = stats.message().answer_times
    assert (found.count, found.p95.ToSeconds()) == (NEWEST, 1)


def test_only_calls_of_segment_are_outcomes() -> None:
    stats = Stats()
    for method in ("Segment", "Segment", "SegmentVideo", "GetModelCard"):
        stats.count_call(f"/diptych.segment.v1.SegmentService/{method}", grpc.StatusCode.OK, 0.1)
    assert [(o.outcome, o.count) for o in stats.message().outcomes] == [("OK", 2)]
