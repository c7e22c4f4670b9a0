"""Counters of a model service, as messages and back."""

from __future__ import annotations

from datetime import timezone

from .._types.stats import AnswerTime, ModelStats, StageTime
from ..segment import v1 as pb
from .replies import duration, seconds
from .requests import read_task, task_value

_COUNTERS = (
    "queue_length",
    "running_count",
    "session_count",
    "held_image_count",
    "held_bytes",
    "image_cache_hit_count",
    "encoder_run_count",
    "engine_restart_count",
    "device",
    "engine_memory_bytes",
    "engine_peak_memory_bytes",
    "device_peak_memory_bytes",
)
"""Fields that have one name and one form in the message and in ``ModelStats``."""


def stats_request(model_id: str) -> pb.GetModelStatsRequest:
    """What ``SegmentService.GetModelStats`` takes."""
    return pb.GetModelStatsRequest(model_id=model_id)


def stats_message(stats: ModelStats) -> pb.GetModelStatsResponse:
    """The counters of a model."""
    message = pb.GetModelStatsResponse(
        outcomes=[
            pb.OutcomeCount(outcome=outcome, count=count)
            for outcome, count in stats.outcomes.items()
        ],
        stages=[
            pb.StageTime(stage=stage, count=spent.count, total=duration(spent.total_s))
            for stage, spent in stats.stages.items()
        ],
        answer_times=[_answer_time_message(entry) for entry in stats.answer_times],
        batch_sizes=[
            pb.BatchSize(size=size, answer_count=count)
            for size, count in sorted(stats.batch_sizes.items())
        ],
        queue_wait=duration(stats.queue_wait_s),
        device_time=duration(stats.device_s),
        **{name: getattr(stats, name) for name in _COUNTERS},
    )
    if stats.counting_since is not None:
        message.counting_since.FromDatetime(stats.counting_since)
    return message


def read_stats(message: pb.GetModelStatsResponse) -> ModelStats:
    """The counters of a model."""
    return ModelStats(
        outcomes={entry.outcome: entry.count for entry in message.outcomes},
        stages={
            entry.stage: StageTime(entry.count, seconds(entry.total)) for entry in message.stages
        },
        answer_times=tuple(_read_answer_time(entry) for entry in message.answer_times),
        counting_since=message.counting_since.ToDatetime(timezone.utc)
        if message.HasField("counting_since")
        else None,
        batch_sizes={entry.size: entry.answer_count for entry in message.batch_sizes},
        queue_wait_s=seconds(message.queue_wait),
        device_s=seconds(message.device_time),
        **{name: getattr(message, name) for name in _COUNTERS},
    )


def _answer_time_message(entry: AnswerTime) -> pb.AnswerTime:
    return pb.AnswerTime(
        task=task_value(entry.task) if entry.task else pb.Task.TASK_UNSPECIFIED,
        image_held=entry.image_held,
        count=entry.count,
        p50=duration(entry.p50_s),
        p95=duration(entry.p95_s),
    )


def _read_answer_time(message: pb.AnswerTime) -> AnswerTime:
    return AnswerTime(
        task=read_task(message.task),
        image_held=message.image_held,
        count=message.count,
        p50_s=seconds(message.p50),
        p95_s=seconds(message.p95),
    )
