"""A fake engine that says in its labels how many objects the collector leaves alone."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace

from fake_engine import FakeEngine

from diptych_runtime.engine import Answer, Features, Job, Pixels, Steps


class Collected(FakeEngine):
    """See the module."""

    def segment(self, features: Features, pixels: Callable[[], Pixels], job: Job) -> Steps[Answer]:
        answer = yield from super().segment(features, pixels, job)
        label = str(gc.get_freeze_count())
        return replace(answer, segments=tuple(replace(one, label=label) for one in answer.segments))


def create() -> Collected:
    """The factory that services name."""
    return Collected()
