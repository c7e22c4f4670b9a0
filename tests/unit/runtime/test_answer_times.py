"""Figures of the newest answers, and what the machine says of a process."""

from __future__ import annotations

import os

import pytest

from diptych import AnswerTime, Task
from diptych_runtime.front.answer_times import NEWEST, AnswerTimes, quantile
from diptych_runtime.machine import ProcessMemory, device_name, process_memory, processor_name


@pytest.mark.parametrize(
    ("ordered", "half", "most"),
    [([3.0], 3.0, 3.0), ([1.0, 2.0], 1.0, 2.0), ([float(i) for i in range(1, 101)], 50.0, 95.0)],
)
def test_quantiles_are_times_that_were_measured(
    ordered: list[float], half: float, most: float
) -> None:
    assert (quantile(ordered, 0.5), quantile(ordered, 0.95)) == (half, most)


def test_kinds_of_requests_are_told_apart() -> None:
    times = AnswerTimes()
    for seconds in (0.5, 0.25, 4.0):
        times.add(Task.PROMPTED_SEGMENTATION, False, seconds)
    times.add(Task.PROMPTED_SEGMENTATION, True, 0.125)
    fresh, held = times.figures()
    task = Task.PROMPTED_SEGMENTATION
    assert fresh == AnswerTime(task, image_held=False, count=3, p50_s=0.5, p95_s=4.0)
    assert held == AnswerTime(task, image_held=True, count=1, p50_s=0.125, p95_s=0.125)


def test_only_the_newest_answers_count() -> None:
    times = AnswerTimes()
    times.add(Task.OBJECT_DETECTION, False, 100.0)
    for _ in range(NEWEST):
        times.add(Task.OBJECT_DETECTION, False, 1.0)
    (found,) = times.figures()
    assert (found.count, found.p95_s) == (NEWEST, 1.0)


def test_the_memory_of_a_process_is_that_of_linux() -> None:
    memory = process_memory(os.getpid())
    assert 1_000_000 < memory.now <= memory.peak
    gone = 2**22 + 1  # larger than Linux numbers processes
    assert process_memory(gone) == ProcessMemory()


def test_only_the_processor_is_named_here() -> None:
    assert device_name("cuda:0 NVIDIA A10G") == "cuda:0 NVIDIA A10G"
    assert device_name("cpu") == f"cpu {processor_name()}".strip()
