"""A model service whose engine does nothing: what remains is the runtime.

    DIPTYCH_PORT=50069 PYTHONPATH=benchmarks python benchmarks/noop.py

``DIPTYCH_NOOP_SLEEP_S`` makes it sleep for so long before it answers, as a model on a device of its
own would let this one rest; ``DIPTYCH_NOOP_ID`` gives it another name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from diptych import Box, Segment, Task
from diptych_runtime.engine import Answer, Features, Job, LoadedModel, LoadedWeights, Pixels, Steps
from diptych_runtime.main import ServiceSpec, run
from diptych_runtime.worker import work

MODEL_ID = "no-op"
_ID_VARIABLE = "DIPTYCH_NOOP_ID"
_SLEEP_VARIABLE = "DIPTYCH_NOOP_SLEEP_S"
CARD = {
    "id": MODEL_ID,
    "display_name": "No-op",
    "organization": "Diptych",
    "category": "open",
    "modality": "vision",
    "release_date": "2026-11",
    "licenses": {"code": "Apache-2.0", "weights": "none", "published": "none"},
    "overview": "Finds one box in every picture without looking.",
    "intended_uses": ["Measuring what a service costs without its model."],
    "limitations": ["Knows nothing."],
    "features": ["class labels"],
    "references": ["https://example.org"],
    "prompt_kinds": [],
}


class Weightless:
    """An engine without weights and features; what it answers is another's to say."""

    def __init__(self, model_id: str, task: Task, **card: Any) -> None:
        self._card = {**CARD, "id": model_id, **card}
        self._task = task

    def load(self) -> LoadedModel:
        """Nothing is loaded."""
        return LoadedModel(
            card=self._card,
            tasks=(self._task,),
            weights=(LoadedWeights("none", bytes(32), "", 0),),
            parameter_count=1,
            device="cpu",
            dtype="float32",
            tier="exact",
            software="none",
            default_min_score=0.0,
            default_max_segments=10,
            categories=((1, "thing"),),
        )

    def features_kind(self, task: Task) -> str:
        """One kind."""
        return "none"

    def embed(self, pixels: Pixels, kind: str) -> Features:
        """Nothing to hold."""
        return Features(None, 0)


class NoOpEngine(Weightless):
    """Answers every picture with the same box, after a sleep (seconds)."""

    def __init__(self, model_id: str, sleep_s: float) -> None:
        super().__init__(model_id, Task.OBJECT_DETECTION)
        self._sleep_s = sleep_s

    def segment(self, features: Features, pixels: Callable[[], Pixels], job: Job) -> Steps[Answer]:
        """One box."""
        if self._sleep_s:  # even nothing of it takes 60 microseconds
            time.sleep(self._sleep_s)
        box = Box(0.0, 0.0, 30.0, 30.0)
        return Answer((Segment(score=0.9, box=box, label="thing", category_id=1, area=900),))
        yield


def create() -> NoOpEngine:
    """For the runtime, which decodes nothing from now on."""
    work.is_small = lambda encoded: True
    work.decode = lambda encoded, **limits: np.zeros((64, 64, 3), np.uint8)
    return NoOpEngine(_model_id(), float(os.environ.get(_SLEEP_VARIABLE, "0")))


def _model_id() -> str:
    return os.environ.get(_ID_VARIABLE, MODEL_ID)


if __name__ == "__main__":
    run(ServiceSpec(_model_id(), 50069, "noop:create", (), "none"))
