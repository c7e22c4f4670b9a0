"""Counts what a service did since it started, and how long its newest answers took."""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

import grpc

from diptych import AnswerTime, ModelStats, StageTime, Task
from diptych.segment import v1 as pb
from diptych.segment.v1 import segment_service_pb2
from diptych.wire.reasons import CODES
from diptych.wire.stats import stats_message

from ..grpc_server.interceptor import failure_reason
from .worker_client import EngineReply

NEWEST = 500
"""How many answers of one kind times are from. A constant number bounds memory, and lets a figure
follow when the traffic or the machine changes."""
_SERVICE = segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"]
_METHODS = {f"/{_SERVICE.full_name}/{name}": name for name in _SERVICE.methods_by_name}


class Stats:
    """Counters of one service; read and written on its event loop."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._stage_counts: Counter[str] = Counter()
        self._stage_seconds: Counter[str] = Counter()
        self._batch_sizes: Counter[int] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        """Calls by method and code; clients may invent names of methods, which become one."""
        # A counter that begins at 1 has not increased.
        self.errors = Counter({(code.name, reason.value): 0 for reason, code in CODES.items()})
        """Calls that failed, by code and reason as in the error table."""
        self.device_s = 0.0
        """Seconds that the model worked, but for video sessions."""
        self._cache_hits = 0
        self._encoder_runs = 0
        self._answer_seconds: dict[tuple[Task, bool], deque[float]] = defaultdict(
            lambda: deque(maxlen=NEWEST)
        )
        self._since = datetime.now(timezone.utc)

    def count_outcome(self, code: grpc.StatusCode) -> None:
        """Count a ``Segment`` call that has ended."""
        self._outcomes[code.name] += 1

    def count_call(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """Count the call being served, which has ended; an ``interceptor.Observer``."""
        name = _METHODS.get(method, "other")
        self.calls[name, code.name] += 1
        if code is not grpc.StatusCode.OK:
            self.errors[code.name, failure_reason()] += 1
        if name == "Segment":
            self.count_outcome(code)

    def count_reply(self, task: Task, reply: EngineReply) -> None:
        """Count a request that was answered."""
        self._cache_hits += reply.cache_hit
        self._encoder_runs += reply.encoder_ran
        self._batch_sizes[reply.batch_size] += 1
        self.count_answer(task, reply.stages, held=reply.cache_hit)

    def count_answer(self, task: Task, stages: Mapping[str, float], *, held: bool) -> None:
        """Count where the time of one answer went: seconds by stage, named as in ``Timings``."""
        for stage, seconds in stages.items():
            self._stage_counts[stage] += 1
            self._stage_seconds[stage] += seconds  # type: ignore[assignment]
        # Without the time that it waited for others.
        self._answer_seconds[task, held].append(stages["total"] - stages["queue"])

    def message(self) -> pb.GetModelStatsResponse:
        """Return the counters; the caller adds what is counted elsewhere."""
        return stats_message(
            ModelStats(
                outcomes=self._outcomes,
                stages={
                    stage: StageTime(count, self._stage_seconds[stage])
                    for stage, count in self._stage_counts.items()
                },
                batch_sizes=self._batch_sizes,
                image_cache_hit_count=self._cache_hits,
                encoder_run_count=self._encoder_runs,
                answer_times=tuple(
                    _answer_time(task, held, sorted(newest))
                    for (task, held), newest in self._answer_seconds.items()
                ),
                counting_since=self._since,
            )
        )


def _answer_time(task: Task, held: bool, ordered: Sequence[float]) -> AnswerTime:
    return AnswerTime(task, held, len(ordered), quantile(ordered, 0.5), quantile(ordered, 0.95))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of these that at least ``share`` of them do not exceed (nearest rank)."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
