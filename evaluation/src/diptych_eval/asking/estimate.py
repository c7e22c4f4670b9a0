"""What a run would ask, and how long it would take."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from diptych import Client, DiptychError

from ..model import Dataset, EvaluationTask
from .items import Item, items_of
from .plan import CALLS, Question, limited, plan_run
from .store import kept_names


@dataclass(frozen=True)
class Estimate:
    """One model in one task."""

    model_id: str
    task: str
    items: int
    """Pictures, or clips."""
    kept: int
    """Those that an earlier run has answers to; whether they still fit shows when it is asked."""
    calls: int
    """Requests to come, at most; of a clip its frames."""
    request_bytes: int
    """To be sent, at most: a service that still holds a picture is sent none."""
    seconds: float | None
    """One picture after the other; ``None`` if it is not known."""
    measured: bool
    """Whether one picture was asked to know it; else it is what the service's last answers took."""


def estimates(
    client: Client,
    dataset: Dataset,
    *,
    results: Path,
    models: Sequence[str] | None = None,
    tasks: Sequence[EvaluationTask | str] | None = None,
    limit: int | None = None,
    class_agnostic: bool = False,
    mapping: Mapping[str, str] | None = None,
    clicks: Sequence[int] = (1, 3, 5),
    max_clicks: int = 20,
) -> list[Estimate]:
    """Plan a run as ``evaluate`` does with these arguments, and say what it would ask.

    Asks a model about one picture where it has not told how long it takes.

    Raises:
        DiptychError, ValueError: as ``evaluate``.
    """
    plan = plan_run(
        client,
        dataset,
        models=models,
        tasks=tasks,
        mapping=mapping,
        class_agnostic=class_agnostic,
    )
    asked = limited(dataset, limit)
    return [
        _estimate(
            client,
            question,
            items_of(client, question, asked, clicks=clicks, max_clicks=max_clicks),
            results,
            max_clicks,
        )
        for question in plan.questions
    ]


def _estimate(
    client: Client, question: Question, items: Sequence[Item], results: Path, max_clicks: int
) -> Estimate:
    there = kept_names(results, question.card.id, question.task.value)
    left = [item for item in items if item.name not in there]
    calls = sum(_calls(question, item, max_clicks) for item in left)
    known = _known_s(client, question)
    seconds = None if known is None else known * calls
    measured = seconds is None and bool(left) and question.task is not EvaluationTask.VIDEO
    if measured:
        seconds = _measured_s(left[0]) * len(left)
    return Estimate(
        question.card.id,
        question.task.value,
        len(items),
        len(items) - len(left),
        calls,
        sum(path.stat().st_size for item in left for path in item.files),
        seconds,
        measured,
    )


def _calls(question: Question, item: Item, max_clicks: int) -> int:
    if question.task is EvaluationTask.PROMPTED:
        return 1 + max_clicks
    return len(item.files)


def _known_s(client: Client, question: Question) -> float | None:
    """What an answer took lately, the encoder included where such answers are known."""
    with suppress(DiptychError):
        times = client.model_stats(question.card.id).answer_times
        mine = [each for each in times if each.task is CALLS[question.task]]
        mine.sort(key=lambda each: each.image_held)
        if mine:
            return mine[0].p50_s
    return None


def _measured_s(item: Item) -> float:
    before = time.perf_counter()
    item.ask()
    return time.perf_counter() - before
