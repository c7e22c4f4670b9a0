"""What answers cost: time in the service and at the client, bytes, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from diptych import ModelStats

from ..model import EvaluationTask
from ..results import Answer, Cost, Table, Value
from .task import TaskFigures

_COLUMNS = ("answers", "calls")
_MEASURES = ("service-p50-s", "service-p95-s", "wall-p50-s", "wall-p95-s", "reply-bytes")
_OF = "of one call: a request, or a whole clip"
_NO_MEMORY = "the service does not say how much memory it took"


def cost_figures(
    answers: Mapping[str, Mapping[str, Answer]], stats: ModelStats | None = None
) -> TaskFigures:
    """Compute what a model's answers cost, and a table by task and tier.

    ``cost/service-p50-s``, ``cost/service-p95-s``, ``cost/wall-p50-s``, ``cost/wall-p95-s`` and
    ``cost/reply-bytes`` are of one request about a picture; where there are clips only, of a clip.
    An answer of many requests counts with their mean. ``cost/engine-peak-bytes`` and
    ``cost/device-peak-bytes`` are the most memory since the engine started.

    Args:
        answers: task to picture's or clip's name to answer, of one model.
        stats: of the model when the run ended; ``None`` if they are not known.
    """
    groups: dict[tuple[str, str], list[Cost]] = {}
    for task, by_name in answers.items():
        for answer in by_name.values():
            if not answer.error and answer.cost.calls:
                groups.setdefault((task, answer.tier), []).append(answer.cost)
    clips = EvaluationTask.VIDEO.value
    of_pictures = [cost for (task, _), costs in groups.items() if task != clips for cost in costs]
    costs = of_pictures or [cost for each in groups.values() for cost in each]
    why = "" if costs else "nothing was answered"
    measured = zip(_MEASURES, _measures(costs), strict=True)
    values = {f"cost/{name}": Value(number, len(costs), why) for name, number in measured}
    rows = tuple(
        (", ".join(filter(None, key)), (float(len(each)), _calls(each), *_measures(each)))
        for key, each in sorted(groups.items())
    )
    table = Table("cost", (*_COLUMNS, *_MEASURES), rows, note=_OF)
    return TaskFigures({**values, **_memory(stats)}, tables=(table,))


def _measures(costs: Sequence[Cost]) -> tuple[float | None, ...]:
    """Compute what ``_MEASURES`` names, of one call."""
    if not costs:
        return (None,) * len(_MEASURES)
    service = [each.service_s / each.calls for each in costs]
    wall = [each.wall_s / each.calls for each in costs]
    times = [float(np.percentile(each, rank)) for each in (service, wall) for rank in (50, 95)]
    return (*times, sum(each.reply_bytes for each in costs) / _calls(costs))


def _calls(costs: Sequence[Cost]) -> float:
    return float(sum(each.calls for each in costs))


def _memory(stats: ModelStats | None) -> dict[str, Value]:
    taken = {
        "cost/engine-peak-bytes": stats.engine_peak_memory_bytes if stats else 0,
        "cost/device-peak-bytes": stats.device_peak_memory_bytes if stats else 0,
    }
    return {
        name: Value(float(number), 1) if number else Value(None, why=_NO_MEMORY)
        for name, number in taken.items()
    }
