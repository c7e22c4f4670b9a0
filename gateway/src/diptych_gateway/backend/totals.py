"""What the replicas of a model say of themselves, as of one: sums of what they counted never fall.

A counter of one service begins at 0 whenever it is started, and is gone with it. Behind one name
such numbers go up and down, and whoever computes a rate of them computes nonsense.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias, cast

from google.protobuf.message import DecodeError

from diptych import AnswerTime, ModelStats, StageTime
from diptych.segment import v1 as pb
from diptych.wire.stats import read_stats, stats_message
from diptych_runtime.engine import ServiceError

from ..statuses import BackendError, failed
from .replica import Replica

MOST_REPLICAS = 512
"""So many replicas are remembered, those that have gone among them."""
MOST_NAMES = 2000
"""So many different counters a model may have: services that make names up are not followed."""
_ANSWER_S = 2.0
_COUNTERS = (
    *("image_cache_hit_count", "encoder_run_count", "engine_restart_count"),
    *("device_s",),
)
_SUMS = (
    *("queue_length", "running_count", "session_count", "held_image_count", "held_bytes"),
    *("engine_memory_bytes",),
)
_MOST = ("queue_wait_s", "engine_peak_memory_bytes", "device_peak_memory_bytes")

_Name: TypeAlias = tuple[str, str | int]
_Who: TypeAlias = tuple[str, datetime | None]


class Totals:
    """Counters of one model, summed over its replicas for as long as the gateway runs.

    A replica is who it is by its address and by when it began to count. What began again adds
    what it has counted since; what has gone leaves what it had; what comes back goes on from there.
    What one had counted before it joined those known is no news: a rate of it would be none.
    ``clock`` is that of the day, in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._asked_s: float | None = None
        self._since: datetime | None = None
        self._seen: dict[_Who, Mapping[_Name, float]] = {}
        self._sums: dict[_Name, float] = {}
        self.newest: Mapping[str, ModelStats] = {}
        """What each replica said that answered when all were asked last."""

    async def ask(
        self,
        replicas: Sequence[Replica],
        ask: Callable[[Replica, float], Awaitable[bytes]],
        timeout_s: float,
    ) -> bytes:
        """Have replicas asked ``GetModelStats``; returns what the model says as one.

        ``ask`` asks one of them, within so many seconds, and raises what it answers with.

        Raises:
            BackendError, ServiceError: none of them answers; the reason of the first.
        """
        up = [replica for replica in replicas if replica.is_up] or replicas[:1]
        # One that hangs is not waited for when others have answered: they are what there is.
        within_s = timeout_s if len(up) == 1 else min(timeout_s, _ANSWER_S)
        answers: dict[str, ModelStats] = {}
        failures: list[BaseException] = []
        calls = (ask(replica, within_s) for replica in up)
        found = await asyncio.gather(*calls, return_exceptions=True)
        for replica, raw in zip(up, found, strict=True):
            try:
                if isinstance(raw, BaseException):
                    raise raw
                answers[replica.address] = read_stats(pb.GetModelStatsResponse.FromString(raw))
            except (BackendError, ServiceError) as error:
                failures.append(error)
            except (DecodeError, ValueError, OverflowError):
                failures.append(failed(replica.model_id))
        self.newest = answers
        if not answers:
            raise failures[0]
        return stats_message(self.add(answers)).SerializeToString()

    def add(self, answers: Mapping[str, ModelStats]) -> ModelStats:
        """Take in what replicas say now, by their addresses; returns what the model says as one.

        Counters are sums over all replicas that there have been. Of the others, queues, sessions
        and memory are sums over these; the longest wait and the highest peaks stand for all.
        """
        for address, stats in answers.items():
            self._take((address, stats.counting_since), _counts(stats))
        if answers:
            self._asked_s = self._clock()
        return self._as_one(list(answers.values()))

    def _take(self, who: _Who, counts: Mapping[_Name, float]) -> None:
        before = self._seen.pop(who, None)
        if before is None:
            old = self._is_old(who[1])
            before = counts if old else {}
            if who[1] is not None and not old and (self._since is None or who[1] < self._since):
                self._since = who[1]
        for name, count in counts.items():
            if name not in self._sums and len(self._sums) >= MOST_NAMES:
                continue
            last = before.get(name, 0)
            # Who does not say since when it counts may have begun again all the same.
            more = count - last if count >= last else count
            self._sums[name] = self._sums.get(name, 0) + more
        self._seen[who] = counts
        if len(self._seen) > MOST_REPLICAS:
            del self._seen[next(iter(self._seen))]

    def _is_old(self, since: datetime | None) -> bool:
        """Whether a replica that is new here began to count before others were asked last."""
        if since is None or self._asked_s is None:
            return False
        return since.timestamp() < self._asked_s

    def _as_one(self, now: Sequence[ModelStats]) -> ModelStats:
        whole: dict[str, dict[Any, float]] = defaultdict(dict)
        for (kind, key), count in self._sums.items():
            whole[kind][key] = count
        values = {name: whole[name].get("", 0) for name in _COUNTERS}
        values |= {name: sum(getattr(stats, name) for stats in now) for name in _SUMS}
        values |= {name: max((getattr(s, name) for s in now), default=0) for name in _MOST}
        return ModelStats(
            outcomes=cast("dict[str, int]", whole["outcome"]),
            stages={
                name: StageTime(int(count), whole["stage_s"][name])
                for name, count in whole["stage"].items()
            },
            batch_sizes=cast("dict[int, int]", whole["batch"]),
            answer_times=tuple(_answer_times(now)),
            counting_since=self._since,
            device=", ".join(dict.fromkeys(stats.device for stats in now if stats.device)),
            **cast("dict[str, Any]", values),
        )


def _counts(stats: ModelStats) -> dict[_Name, float]:
    """Name every counter of a service."""
    counts: dict[_Name, float] = {(name, ""): getattr(stats, name) for name in _COUNTERS}
    counts |= {("outcome", name): count for name, count in stats.outcomes.items()}
    counts |= {("stage", name): spent.count for name, spent in stats.stages.items()}
    counts |= {("stage_s", name): spent.total_s for name, spent in stats.stages.items()}
    counts |= {("batch", size): count for size, count in stats.batch_sizes.items()}
    return counts


def _answer_times(now: Iterable[ModelStats]) -> Iterable[AnswerTime]:
    """Put together what replicas say of the same kind of request: the middle one of their medians,
    by how many answers each is from, and the longest of what 95 of 100 do not exceed."""
    kinds: dict[tuple[object, bool], list[AnswerTime]] = {}
    for stats in now:
        for times in stats.answer_times:
            kinds.setdefault((times.task, times.image_held), []).append(times)
    for found in kinds.values():
        found.sort(key=lambda times: times.p50_s)
        count = sum(times.count for times in found)
        passed = 0
        for middle in found:
            passed += middle.count
            if 2 * passed >= count:
                break
        p95_s = max(times.p95_s for times in found)
        yield AnswerTime(middle.task, middle.image_held, count, middle.p50_s, p95_s)
