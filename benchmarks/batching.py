"""A model service whose batches have a size that is fixed, or a cost that is known.

    DIPTYCH_PORT=50069 PYTHONPATH=benchmarks python benchmarks/batching.py

``DIPTYCH_BATCHING_FIXED`` is how many of the waiting prompts are taken at once, at most; without
it the runtime decides, as it does for everybody. ``DIPTYCH_BATCHING_COST`` is ``a,b``: ``n``
prompts take ``a + b n`` milliseconds, during which the model sleeps as if on a device of its own;
without it the model is SAM 2.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Sequence

import noop

from diptych import Box, Segment, Task
from diptych_runtime.engine import (
    Answer,
    BatchItem,
    BatchSteps,
    Engine,
    Features,
    Job,
    Pixels,
    Steps,
)
from diptych_runtime.main import ServiceSpec, run
from diptych_runtime.worker import batching
from diptych_runtime.worker.loading import create_engine

MODEL_ID = "batching"
_COST_VARIABLE = "DIPTYCH_BATCHING_COST"
_FIXED_VARIABLE = "DIPTYCH_BATCHING_FIXED"


class SleepingEngine(noop.Weightless):
    """Answers prompts with a box, after a sleep that depends on how many there are."""

    def __init__(self, fixed_ms: float, each_ms: float) -> None:
        super().__init__(MODEL_ID, Task.PROMPTED_SEGMENTATION, prompt_kinds=["PROMPT_KIND_POINT"])
        self._fixed_s = fixed_ms / 1e3
        self._each_s = each_ms / 1e3

    def segment(self, features: Features, pixels: Callable[[], Pixels], job: Job) -> Steps[Answer]:
        """One box."""
        self._sleep(1)
        return _answer()
        yield

    def batch_key(self, features: Features, job: Job) -> Hashable | None:
        """All prompts are alike."""
        return "prompt"

    def segment_batch(self, items: Sequence[BatchItem]) -> BatchSteps:
        """A box for each."""
        self._sleep(len(items))
        for index in range(len(items)):
            yield index, _answer()

    def _sleep(self, prompts: int) -> None:
        time.sleep(self._fixed_s + self._each_s * prompts)


class FixedPolicy:
    """Stands for the runtime's own: always as many as wait, up to so many."""

    def __init__(self, most: int) -> None:
        self._most = most

    def size(self, kind: Hashable, waiting: int, *, limit_s: float) -> int:
        """How many of ``waiting`` go together."""
        return min(waiting, self._most)

    def learn(self, kind: Hashable, size: int, seconds: float) -> None:
        """Nothing."""

    def too_large(self, kind: Hashable, size: int) -> None:
        """Nothing; a fixed size stays what it is."""


def _answer() -> Answer:
    return Answer((Segment(score=0.9, box=Box(0.0, 0.0, 30.0, 30.0), area=900, prompt_index=0),))


def create() -> Engine:
    """For the runtime."""
    if fixed := os.environ.get(_FIXED_VARIABLE):
        most = int(fixed)
        batching.BatchPolicy = lambda _: FixedPolicy(most)  # type: ignore[assignment,misc,return-value]
    if cost := os.environ.get(_COST_VARIABLE):
        fixed_ms, each_ms = (float(part) for part in cost.split(","))
        return SleepingEngine(fixed_ms, each_ms)
    return create_engine("diptych_sam2.engine:create")


if __name__ == "__main__":
    run(ServiceSpec(MODEL_ID, 50069, "batching:create", (), "none"))
