"""What answers cost: time in the service and at the client, bytes, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from diptych import ModelStats

from ..results import Answer, Cost, Table, Value

COLUMNS = (
    "answers",
    "calls",
    "service p50 s",
    "service p95 s",
    "wall p50 s",
    "wall p95 s",
    "reply bytes",
)
_UNKNOWN_MEMORY = "the service does not say what memory it takes"


def cost_figures(
    answers: Mapping[str, Mapping[str, Answer]], stats: ModelStats | None = None
) -> tuple[dict[str, Value], Table]:
    """Compute what a model's answers cost, all together and by task and tier.

    ``cost/service-p50-s``, ``cost/wall-p95-s`` and so on are of one call, which is what a request,
    or a whole clip, took on average within its answer; ``cost/reply-bytes`` is the mean of one
    call. Memory is the most that the engine process, and the device, took since it started.

    Args:
        answers: task to picture's or clip's name to answer, of one model.
        stats: of the model when the run ended; ``None`` if they are not known.
    """
    costs = [
        answer.cost
        for by_name in answers.values()
        for answer in by_name.values()
        if answer.cost.calls and not answer.error
    ]
    values = {
        f"cost/{name}": Value(number, len(costs), "" if costs else "nothing was asked")
        for name, number in _summary(costs).items()
    }
    return {**values, **_memory(stats)}, by_task_and_tier(answers)


def by_task_and_tier(answers: Mapping[str, Mapping[str, Answer]]) -> Table:
    """Make the table of costs with a row for each task, and each tier that answered it."""
    groups: dict[str, list[Cost]] = {}
    for task, by_name in answers.items():
        for answer in by_name.values():
            if answer.cost.calls and not answer.error:
                row = f"{task}, {answer.tier}" if answer.tier else task
                groups.setdefault(row, []).append(answer.cost)
    rows = tuple(
        (
            name,
            (
                float(len(costs)),
                float(sum(each.calls for each in costs)),
                *_summary(costs).values(),
            ),
        )
        for name, costs in sorted(groups.items())
    )
    return Table("cost", COLUMNS, rows, note="of one call: a request, or a whole clip")


def _summary(costs: Sequence[Cost]) -> dict[str, float | None]:
    """Percentiles of time and mean bytes of one call."""
    names = ("service-p50-s", "service-p95-s", "wall-p50-s", "wall-p95-s", "reply-bytes")
    if not costs:
        return dict.fromkeys(names)
    times = [[each.service_s / each.calls for each in costs]]
    times.append([each.wall_s / each.calls for each in costs])
    numbers = [float(np.percentile(each, rank)) for each in times for rank in (50, 95)]
    sent = sum(each.reply_bytes for each in costs) / sum(each.calls for each in costs)
    return dict(zip(names, [*numbers, sent], strict=True))


def _memory(stats: ModelStats | None) -> dict[str, Value]:
    taken = {
        "cost/engine-peak-bytes": stats.engine_peak_memory_bytes if stats else 0,
        "cost/device-peak-bytes": stats.device_peak_memory_bytes if stats else 0,
    }
    return {
        name: Value(float(number), 1) if number else Value(None, why=_UNKNOWN_MEMORY)
        for name, number in taken.items()
    }
