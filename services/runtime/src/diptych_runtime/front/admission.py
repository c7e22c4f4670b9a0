"""Which request reaches the engine, and when: a bounded queue for each lane.

Waiting is bounded by count and by estimated time; a request whose deadline would pass is dropped
when its turn comes, unseen by the model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Self

from diptych import Task
from diptych.segment import v1 as pb

from ..engine.errors import Reason, ServiceError
from ..ipc.lanes import Lane
from ..settings import RuntimeSettings
from ..wire.checks import grid_points

# One in the model, one being decoded ahead of it; held pictures need no decoding.
_SLOTS = {Lane.HELD: 4, Lane.NEW: 2, Lane.BULK: 2}
_FIRST_GUESS_S = 0.5
_MEMORY = 0.7  # share of the old estimate that a new measurement leaves
_POINTS_PER_UNIT = 1024
_MIN_RETRY_S = 0.1
_MAX_RETRY_S = 30.0


class Kind(NamedTuple):
    """Requests that cost about the same per unit of work."""

    task: Task
    held: bool


def work_units(request: pb.SegmentRequest, task: Task, card: pb.ModelCard) -> float:
    """How much work a request is, in units that are the same within its kind."""
    if task is not Task.PROMPTED_SEGMENTATION and card.HasField("default_automatic"):
        return grid_points(request.automatic, card.default_automatic) / _POINTS_PER_UNIT
    # A prompt costs a fraction of the encoder; the figure only has to order queues.
    return 1.0 + 0.05 * len(request.prompts)


class Estimates:
    """Seconds of the model by kind of request, learned from those that were answered."""

    def __init__(self) -> None:
        self._per_unit: dict[Kind, float] = {}

    def seconds(self, kind: Kind, units: float) -> float:
        """The expected time of a request."""
        return self._per_unit.get(kind, _FIRST_GUESS_S) * units

    def learn(self, kind: Kind, units: float, seconds: float) -> None:
        """Take in how long one took."""
        new = seconds / units
        old = self._per_unit.get(kind, new)
        self._per_unit[kind] = _MEMORY * old + (1 - _MEMORY) * new


class Turn:
    """A place in the engine process, for a block of code."""

    def __init__(self, free: Callable[[], None]) -> None:
        self._free = free
        self._handed_over = False

    def hand_over(self) -> Callable[[], None]:
        """The place outlives the block that took it: whoever gets this, calls it once, to free it.

        For work that the model finishes although nobody waits for it any more.
        """
        self._handed_over = True
        return self._free

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._handed_over:
            self._free()


class Admission:
    """The queues of one service."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._max_requests = settings.queue_requests
        self._max_seconds = settings.queue_seconds
        self._lanes = {lane: asyncio.Semaphore(slots) for lane, slots in _SLOTS.items()}
        self._held_slots = _SLOTS[Lane.HELD]
        self._waiting_s = 0.0
        self.waiting = 0
        self.running = 0

    def expect_batches(self, size: int) -> None:
        """Let so many requests on held pictures in that one batch can be in the model and the next
        one wait for it."""
        while self._held_slots < 2 * size:
            self._held_slots += 1
            self._lanes[Lane.HELD].release()

    async def turn(self, lane: Lane, *, estimate_s: float, deadline: float) -> Turn:
        """Wait for a turn, which the caller has to enter.

        Raises:
            ServiceError: the queue is full, or the deadline passes before the turn comes or would
                pass while the model works.
        """
        slots = self._lanes[lane]
        waits = slots.locked()
        if waits:
            self._check_room(estimate_s)
            await self._wait(slots, estimate_s, deadline)
        else:
            await slots.acquire()
        # What did not wait is tried whatever the estimate: else a wrong one would stay.
        if time.monotonic() + (estimate_s if waits else 0) >= deadline:
            slots.release()
            raise _late()
        self.running += 1
        return Turn(partial(self._free, slots))

    def _check_room(self, estimate_s: float) -> None:
        full = self.waiting >= self._max_requests
        # Something that takes longer than the whole queue may still be the first one in it.
        if full or (self.waiting and self._waiting_s + estimate_s > self._max_seconds):
            limit = f"{self._max_requests} requests" if full else f"{self._max_seconds:g} s of work"
            raise ServiceError(
                Reason.QUEUE_FULL,
                f"the queue is full: {limit} wait already; try again later",
                metadata={"queueLength": str(self.waiting)},
                retry_after_s=min(max(self._waiting_s, _MIN_RETRY_S), _MAX_RETRY_S),
            )

    async def _wait(self, slots: asyncio.Semaphore, estimate_s: float, deadline: float) -> None:
        self.waiting += 1
        self._waiting_s += estimate_s
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                await slots.acquire()
        except TimeoutError as error:
            raise _late() from error
        finally:
            self.waiting -= 1
            self._waiting_s -= estimate_s

    def _free(self, slots: asyncio.Semaphore) -> None:
        self.running -= 1
        slots.release()


def _late() -> ServiceError:
    return ServiceError(Reason.DEADLINE, "the deadline passed, or would have, in the queue")
