"""Which request reaches the engine, and when: a bounded queue for each lane, shared by tenants.

A request that cannot be answered in time is refused when it comes: by what waits before it, what is
in the engine process and how fast its lane moves. One that becomes late while it waits is dropped,
unseen by the model.

Order is first come, first served within a tenant. Earliest deadline first would reward who asks for
more haste than he needs, and both it and last come, first served break the promise made to who was
let in: others could still go before him. When all is too much, either would serve no more in time
than this does, because what would be late is not let in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from diptych import Task
from diptych.segment import v1 as pb

from ..engine.errors import Reason, ServiceError
from ..ipc.lanes import Lane
from ..settings import RuntimeSettings
from ..wire.checks import grid_points
from .turns import Permit, Queue, Waiter

# One in the model, one being decoded ahead of it; held images need no decoding.
_PERMITS = {Lane.HELD: 4, Lane.NEW: 2, Lane.BULK: 2}
_FIRST_GUESS_S = 0.5
_MEMORY = 0.7  # share of the old estimate that a new measurement leaves
_POINTS_PER_UNIT = 1024
_PIXELS_PER_UNIT = 25_000_000  # half a second of a decoder, as the first guess of a unit is
_CAUTION = 1.05  # what waits ahead may take longer: who is let in should not be dropped
_MIN_RETRY_S = 0.1
_MAX_RETRY_S = 30.0


class Kind(NamedTuple):
    """Requests that cost about the same per unit of work."""

    task: Task
    held: bool


def lane_of(task: Task, *, held: bool) -> Lane:
    """Choose the lane of a request; ``held`` says whether its image is."""
    if task is not Task.PROMPTED_SEGMENTATION:
        return Lane.BULK
    return Lane.HELD if held else Lane.NEW


def work_units(
    request: pb.SegmentRequest, task: Task, card: pb.ModelCard, pixels: int = 0
) -> float:
    """Say how much work a request is, in units that are the same within its kind.

    ``pixels`` are those that have to be decoded first, as the header of the file says.
    """
    return _model_units(request, task, card) + pixels / _PIXELS_PER_UNIT


def _model_units(request: pb.SegmentRequest, task: Task, card: pb.ModelCard) -> float:
    if task is not Task.PROMPTED_SEGMENTATION and card.HasField("default_automatic"):
        return grid_points(request.automatic, card.default_automatic) / _POINTS_PER_UNIT
    # A prompt costs a fraction of the encoder; the figure only has to order queues.
    return 1.0 + 0.05 * len(request.prompts)


class Estimates:
    """Seconds of the model by kind of request, learned from those that were answered."""

    def __init__(self) -> None:
        self._per_unit: dict[Kind, float] = {}

    def seconds(self, kind: Kind, units: float) -> float:
        """Estimate the time of a request."""
        return self._per_unit.get(kind, _FIRST_GUESS_S) * units

    def learn(self, kind: Kind, units: float, seconds: float) -> None:
        """Take in how long a request took."""
        new = seconds / units
        old = self._per_unit.get(kind, new)
        self._per_unit[kind] = _MEMORY * old + (1 - _MEMORY) * new

    def learn_at_least(self, kind: Kind, units: float, seconds: float) -> None:
        """Take in how long the model worked on a request that it did not get to the end of."""
        if seconds > self.seconds(kind, units):
            self.learn(kind, units, seconds)


class Admission:
    """The queues of one service.

    ``clock`` is the monotonic one that deadlines are readings of.
    """

    def __init__(
        self, settings: RuntimeSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_requests = settings.queue_requests
        self._max_seconds = settings.queue_seconds
        self._clock = clock
        self._lanes = {lane: Queue(permits) for lane, permits in _PERMITS.items()}
        self._waiting_s = 0.0
        self.waiting = 0
        self.running = 0

    def expect_batches(self, size: int) -> None:
        """Let so many requests on held images in that one batch can be in the model and the next
        one wait for it."""
        held = self._lanes[Lane.HELD]
        held.permits = max(held.permits, 2 * size)
        self._grant(held)

    def wait_s(self, lane: Lane) -> float:
        """Estimate how long a new request would wait for the model if all that waits in its lane
        went before it: what deadlines are held against, in seconds."""
        return self._lanes[lane].wait_s(self._clock())

    async def permit(
        self, lane: Lane, *, estimate_s: float, deadline: float, tenant: str = ""
    ) -> Permit:
        """Wait for a permit, which the caller has to enter.

        Args:
            lane: The queue to wait in.
            estimate_s: Expected time of the request in the model.
            deadline: A reading of the monotonic clock.
            tenant: Who asks; tenants share a full queue.

        Raises:
            ServiceError: the queue is full, or the answer would be late; or it became so while the
                request waited.
        """
        queue = self._lanes[lane]
        self.check_hope(lane, estimate_s=estimate_s, deadline=deadline, tenant=tenant)
        if not queue.waiting and len(queue.inside) < queue.permits:
            return self._enter(queue, tenant, estimate_s)
        self._make_room(tenant, queue, estimate_s)
        return await self._wait(queue, tenant, estimate_s, deadline)

    def check_hope(
        self, lane: Lane, *, estimate_s: float, deadline: float, tenant: str = ""
    ) -> None:
        """Refuse a request that cannot be answered in time, whose file nobody then has to read.

        Raises:
            ServiceError: it cannot, by what waits before it and what the engine process has.
        """
        queue, now = self._lanes[lane], self._clock()
        if now >= deadline:
            raise _late()
        # Where nothing is ahead, a request is tried whatever the estimate: a wrong one would stay.
        if not queue.inside and not queue.waiting:
            return
        wait_s = queue.wait_s(now, queue.ahead_s(tenant, estimate_s))
        finish_s = _CAUTION * wait_s + estimate_s * queue.pace + queue.margin_s
        if now + finish_s > deadline:
            left_s = deadline - now
            text = (
                f"the answer would take about {finish_s:.2g} s, the deadline is in {left_s:.2g} s"
            )
            raise self._full(text, finish_s - left_s)

    def _full(self, text: str, retry_s: float) -> ServiceError:
        return ServiceError(
            Reason.QUEUE_FULL,
            f"{text}; try again later",
            metadata={"queueLength": str(self.waiting)},
            retry_after_s=min(max(retry_s, _MIN_RETRY_S), _MAX_RETRY_S),
        )

    def _make_room(self, tenant: str, queue: Queue, estimate_s: float) -> None:
        """Refuse a newcomer to a full queue; or the newest of the tenant that has the most there,
        or of the fullest lane if that is its own, if the newcomer's share stays the smaller one."""
        if self.waiting >= self._max_requests:
            limit = f"{self._max_requests} requests"
            cost: Callable[[float], float] = _one
        # Something that takes longer than the whole queue may still be the first one in it.
        elif self.waiting and self._waiting_s + estimate_s > self._max_seconds:
            limit = f"{self._max_seconds:g} s of work"
            cost = _seconds
        else:
            return
        full = self._full(
            f"the queue is full: {limit} wait already",
            queue.wait_s(self._clock(), self._waiting_s),
        )
        newcomer = cost(estimate_s)
        room_s = self._waiting_s + estimate_s - self._max_seconds if cost is _seconds else 1.0
        for victim_queue, victim in self._displaced(tenant, queue, newcomer, cost, room_s, full):
            self._forget(victim_queue, victim)
            victim.fail(full)

    def _displaced(
        self,
        tenant: str,
        queue: Queue,
        newcomer: float,
        cost: Callable[[float], float],
        needed: float,
        full: ServiceError,
    ) -> list[tuple[Queue, Waiter]]:
        """Choose who makes room for a newcomer, or raise ``full``."""
        shares: dict[str, dict[Queue, list[Waiter]]] = {}
        for lane in self._lanes.values():
            for who, waiters in lane.waiting.items():
                shares.setdefault(who, {})[lane] = list(waiters)

        def size(waiters: Iterable[Waiter]) -> float:
            return sum(cost(waiter.estimate_s) for waiter in waiters)

        def of(who: str) -> float:
            return sum(size(waiters) for waiters in shares.get(who, {}).values())

        chosen: list[tuple[Queue, Waiter]] = []
        while needed > 0:
            greediest = max(shares, key=of)
            lanes = shares[greediest]
            fullest = max(lanes, key=lambda lane: size(lanes[lane]))
            victim = lanes[fullest][-1] if lanes[fullest] else None
            if victim is None:
                raise full
            freed = cost(victim.estimate_s)
            if greediest == tenant:
                mine, most = size(lanes.get(queue, ())), size(lanes[fullest])
            else:
                mine, most = of(tenant), of(greediest)
            if (greediest == tenant and fullest is queue) or mine + newcomer > most - freed:
                raise full
            lanes[fullest].pop()
            chosen.append((fullest, victim))
            needed -= freed
        return chosen

    async def _wait(self, queue: Queue, tenant: str, estimate_s: float, deadline: float) -> Permit:
        loop = asyncio.get_running_loop()
        waiter = Waiter(tenant, estimate_s, deadline, loop.create_future())
        queue.add(waiter)
        self.waiting += 1
        self._waiting_s += estimate_s
        # As soon as it cannot be in time any more, not only when its turn comes.
        left_s = max(deadline - estimate_s - self._clock(), 0)
        alarm = loop.call_later(left_s, lambda: waiter.fail(_late()))
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            granted = waiter.granted
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self._release(queue, granted.result(), 0.0)  # its turn came as its caller went
            raise
        finally:
            alarm.cancel()
            self._forget(queue, waiter)

    def _forget(self, queue: Queue, waiter: Waiter) -> None:
        if queue.remove(waiter):
            self.waiting -= 1
            self._waiting_s -= waiter.estimate_s

    def _enter(self, queue: Queue, tenant: str, estimate_s: float) -> Permit:
        permit = Permit(
            estimate_s,
            alone=not queue.inside,
            start=lambda permit: queue.start(permit, self._clock()),
            release=partial(self._release, queue),
        )
        queue.give(tenant, estimate_s)
        queue.inside.append(permit)
        queue.start(permit, self._clock())
        self.running += 1
        return permit

    def _grant(self, queue: Queue) -> None:
        """Let in whose turn it is; drop, unseen by the model, what would be late."""
        while queue.waiting and len(queue.inside) < queue.permits:
            waiter = queue.next()
            self._forget(queue, waiter)
            if waiter.granted.done():  # given up, and not here again yet
                continue
            now = self._clock()
            work_s = queue.inside_s(now) + waiter.estimate_s
            if now + work_s * queue.pace + queue.margin_s > waiter.deadline:
                waiter.fail(_late())
            else:
                waiter.granted.set_result(self._enter(queue, waiter.tenant, waiter.estimate_s))

    def _release(self, queue: Queue, permit: Permit, model_s: float) -> None:
        self.running -= 1
        queue.end(permit, model_s, self._clock())
        self._grant(queue)


def _one(_: float) -> float:
    return 1.0


def _seconds(estimate_s: float) -> float:
    return estimate_s


def _late() -> ServiceError:
    return ServiceError(Reason.DEADLINE, "the deadline passed, or would have, in the queue")
