"""How long the newest answers took, by what was asked."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence

from diptych import AnswerTime, Task

NEWEST = 500
"""How many answers of one kind the figures are from. A constant number bounds memory, and lets a
figure follow when the traffic or the machine changes."""


class AnswerTimes:
    """Seconds of the newest answers of each kind."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[Task, bool], deque[float]] = defaultdict(
            lambda: deque(maxlen=NEWEST)
        )

    def add(self, task: Task, image_held: bool, seconds: float) -> None:
        """One answer, without the time that it waited for others."""
        self._seconds[task, image_held].append(seconds)

    def figures(self) -> tuple[AnswerTime, ...]:
        """The figures as they are now."""
        found = []
        for (task, image_held), newest in self._seconds.items():
            ordered = sorted(newest)
            p50_s, p95_s = quantile(ordered, 0.5), quantile(ordered, 0.95)
            found.append(AnswerTime(task, image_held, len(ordered), p50_s, p95_s))
        return tuple(found)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of these that at least ``share`` of them do not exceed (nearest rank)."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
