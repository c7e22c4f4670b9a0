"""What answers cost: time in the service and at the client, bytes, memory."""

from __future__ import annotations

from collections.abc import Mapping

from diptych import ModelStats

from ..results import Answer
from .prompted import TaskFigures


def cost_figures(
    answers: Mapping[str, Mapping[str, Answer]], stats: ModelStats | None = None
) -> TaskFigures:
    """Compute ``cost/service-p50-s``, ``-p95-s``, ``cost/wall-…``, bytes and memory of a model.

    Args:
        answers: task to picture's or clip's name to answer, of one model.
        stats: of the model when the run ended; ``None`` if they are not known.
    """
    raise NotImplementedError
