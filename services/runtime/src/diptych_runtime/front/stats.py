"""Counts what a service did since it started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone

import grpc

from diptych import ModelStats, StageTime, Task
from diptych.segment import v1 as pb
from diptych.wire.stats import stats_message

from .answer_times import AnswerTimes
from .pending import EngineReply


class Stats:
    """Counters of one service; read and written on its event loop."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._stage_counts: Counter[str] = Counter()
        self._stage_seconds: Counter[str] = Counter()
        self._together: Counter[int] = Counter()
        self._cache_hits = 0
        self._encoder_runs = 0
        self._answer_times = AnswerTimes()
        self._since = datetime.now(timezone.utc)

    def count_outcome(self, code: grpc.StatusCode) -> None:
        """One ``Segment`` call has ended."""
        self._outcomes[code.name] += 1

    def count_reply(self, task: Task, reply: EngineReply) -> None:
        """One request was answered."""
        self._cache_hits += reply.cache_hit
        self._encoder_runs += reply.encoder_ran
        self._together[reply.together] += 1
        self.count_answer(task, reply.stages, held=reply.cache_hit)

    def count_answer(self, task: Task, stages: Mapping[str, float], *, held: bool) -> None:
        """Where the time of one answer went: seconds by stage, named as in ``Timings``."""
        for stage, seconds in stages.items():
            self._stage_counts[stage] += 1
            self._stage_seconds[stage] += seconds  # type: ignore[assignment]
        self._answer_times.add(task, held, stages["total"] - stages["queue"])

    def message(self) -> pb.GetModelStatsResponse:
        """The counters; the caller adds what is counted elsewhere."""
        return stats_message(
            ModelStats(
                outcomes=self._outcomes,
                stages={
                    stage: StageTime(count, self._stage_seconds[stage])
                    for stage, count in self._stage_counts.items()
                },
                batch_sizes=self._together,
                image_cache_hit_count=self._cache_hits,
                encoder_run_count=self._encoder_runs,
                answer_times=self._answer_times.figures(),
                counting_since=self._since,
            )
        )
