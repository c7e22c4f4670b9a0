"""One lane of a service: what of it is in the engine process, who waits, and whose turn is next."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeAlias

from ..engine.errors import ServiceError

_NEW_SHARE = 0.1  # of the newest measurement in how fast a lane moves
_SLOWEST = 4.0  # requests of three lanes and sessions share the model
_LEAST_MARGIN_S = 0.003
_MAX_REMEMBERED = 256  # tenants
_SPREAD_LEFT = 0.7  # of what answers missed, by one that nothing was ahead of

_OnStart: TypeAlias = Callable[["Permit"], None]
_OnRelease: TypeAlias = Callable[["Permit", float], None]


class Permit:
    """The right to be in the engine process, for a block of code."""

    def __init__(
        self, estimate_s: float, *, alone: bool, start: _OnStart, release: _OnRelease
    ) -> None:
        self.estimate_s = estimate_s
        self.alone = alone
        """Whether nothing was there to wait for: admitted whatever the estimate says."""
        self.started = 0.0
        """When it was handed over, by the clock of the admission."""
        self.expected = 0.0
        """When its work should be out again."""
        self._start = start
        self._release = release
        self._handed_over = False

    def hand_over(self) -> Callable[[float], None]:
        """Let the permit outlive its block: whoever gets this calls it once, to release it, with
        the seconds that the model worked.

        For work that the model finishes although nobody waits for it any more.
        """
        self._handed_over = True
        self._start(self)  # there may have been no engine until now
        return partial(self._release, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._handed_over:
            self._release(self, 0.0)


@dataclass(eq=False)
class Waiter:
    tenant: str
    estimate_s: float
    deadline: float
    granted: asyncio.Future[Permit]

    def fail(self, error: ServiceError) -> None:
        if not self.granted.done():
            self.granted.set_exception(error)


class Queue:
    """One lane: what of it is in the engine process, and who waits.

    Tenants take turns by what they use: next is who was given the fewest estimated seconds. Among
    one tenant's requests the first come goes first.
    """

    def __init__(self, permits: int) -> None:
        self.permits = permits
        self.inside: list[Permit] = []
        self.waiting: dict[str, deque[Waiter]] = {}
        self._given: dict[str, float] = {}
        self._turn = 0.0  # what who had the last turn had been given until then
        # Seconds by the clock for seconds of the model: batches, decoding and other lanes count.
        self._clock_s = self._model_s = 0.0
        self._spread_s = 0.0
        self._released = -math.inf

    @property
    def pace(self) -> float:
        """Seconds that pass for one second of this lane's work."""
        return self._clock_s / self._model_s if self._model_s else 1.0

    @property
    def margin_s(self) -> float:
        """How far answers may come from when they were expected."""
        return _LEAST_MARGIN_S + 2 * self._spread_s

    def inside_s(self, now: float) -> float:
        """Estimate what is left of the work in the engine process, in seconds of the model."""
        if not self.inside:
            return 0.0
        first = self.inside[0]
        done = (now - max(self._released, first.started)) / self.pace
        left = sum(permit.estimate_s for permit in self.inside)
        return left - min(max(done, 0.0), first.estimate_s)

    def ahead_s(self, tenant: str, estimate_s: float) -> float:
        """Estimate the waiting work that would have its turn before one more of a tenant."""
        own = sum(waiter.estimate_s for waiter in self.waiting.get(tenant, ()))
        until = max(self._given.get(tenant, 0.0), self._turn) + own + estimate_s
        total = own
        for other, waiters in self.waiting.items():
            if other != tenant:
                share = max(until - self._given[other], 0.0)
                total += min(sum(waiter.estimate_s for waiter in waiters), share)
        return total

    def wait_s(self, now: float, ahead_s: float | None = None) -> float:
        """Estimate how long the model takes to get to a new request, behind what it has and so much
        waiting work, by default all: in seconds by the clock."""
        if ahead_s is None:
            ahead_s = sum(w.estimate_s for waiters in self.waiting.values() for w in waiters)
        return (self.inside_s(now) + ahead_s) * self.pace

    def add(self, waiter: Waiter) -> None:
        tenant = waiter.tenant
        if tenant not in self.waiting:
            self._given[tenant] = max(self._given.get(tenant, 0.0), self._turn)
        self.waiting.setdefault(tenant, deque()).append(waiter)

    def remove(self, waiter: Waiter) -> bool:
        """Take one out; returns whether it was there."""
        waiters = self.waiting.get(waiter.tenant, ())
        if waiter not in waiters:
            return False
        assert isinstance(waiters, deque)
        waiters.remove(waiter)
        if not waiters:
            del self.waiting[waiter.tenant]
        return True

    def next(self) -> Waiter:
        """Find whose turn it is."""
        tenant = min(self.waiting, key=self._given.__getitem__)
        return self.waiting[tenant][0]

    def give(self, tenant: str, estimate_s: float) -> None:
        """Note that a tenant has its turn."""
        self._turn = max(self._given.get(tenant, 0.0), self._turn)
        self._given[tenant] = self._turn + estimate_s
        if len(self._given) > _MAX_REMEMBERED:
            keep = {t: s for t, s in self._given.items() if s > self._turn or t in self.waiting}
            self._given = keep

    def start(self, permit: Permit, now: float) -> None:
        permit.started = now
        permit.expected = now + self.inside_s(now) * self.pace

    def end(self, permit: Permit, model_s: float, now: float) -> None:
        """Take a permit back, and learn from how long its work took."""
        self.inside.remove(permit)
        if model_s and not permit.alone:
            kept = 1 - _NEW_SHARE
            # Bounded: one long step of others says nothing about what comes after it.
            passed = min(now - max(self._released, permit.started), _SLOWEST * model_s)
            self._clock_s = kept * self._clock_s + passed
            self._model_s = kept * self._model_s + model_s
            miss = abs(now - permit.expected)
            self._spread_s += 2 * _NEW_SHARE * (miss - self._spread_s)
        elif model_s:
            self._spread_s *= _SPREAD_LEFT
        if model_s:
            self._released = now
