"""Which request reaches the engine, and when: a bounded queue for each lane.

Waiting is bounded by count and by estimated time; a request whose deadline would pass is dropped
when it gets a permit, unseen by the model.
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

# One in the model, one being decoded ahead of it; held images need no decoding.
_PERMITS = {Lane.HELD: 4, Lane.NEW: 2, Lane.BULK: 2}
_FIRST_GUESS_S = 0.5
_MEMORY = 0.7  # share of the old estimate that a new measurement leaves
_POINTS_PER_UNIT = 1024
_PIXELS_PER_UNIT = 25_000_000  # half a second of a decoder, as the first guess of a unit is
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


class Permit:
    """The right to be in the engine process, for a block of code."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release
        self._handed_over = False

    def hand_over(self) -> Callable[[], None]:
        """Let the permit outlive its block: whoever gets this calls it once, to release it.

        For work that the model finishes although nobody waits for it any more.
        """
        self._handed_over = True
        return self._release

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._handed_over:
            self._release()


class Admission:
    """The queues of one service."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._max_requests = settings.queue_requests
        self._max_seconds = settings.queue_seconds
        self._lanes = {lane: asyncio.Semaphore(permits) for lane, permits in _PERMITS.items()}
        self._held_permits = _PERMITS[Lane.HELD]
        self._waiting_s = 0.0
        self.waiting = 0
        self.running = 0

    def expect_batches(self, size: int) -> None:
        """Let so many requests on held images in that one batch can be in the model and the next
        one wait for it."""
        while self._held_permits < 2 * size:
            self._held_permits += 1
            self._lanes[Lane.HELD].release()

    async def permit(self, lane: Lane, *, estimate_s: float, deadline: float) -> Permit:
        """Wait for a permit, which the caller has to enter.

        Args:
            lane: The queue to wait in.
            estimate_s: Expected time of the request in the model.
            deadline: A reading of the monotonic clock.

        Raises:
            ServiceError: the queue is full, or the deadline passes before a permit is free or would
                pass while the model works.
        """
        permits = self._lanes[lane]
        waits = permits.locked()
        if waits:
            self._check_room(estimate_s)
            await self._wait(permits, estimate_s, deadline)
        else:
            await permits.acquire()
        # What did not wait is tried whatever the estimate: else a wrong one would stay.
        if time.monotonic() + (estimate_s if waits else 0) >= deadline:
            permits.release()
            raise _late()
        self.running += 1
        return Permit(partial(self._release, permits))

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

    async def _wait(self, permits: asyncio.Semaphore, estimate_s: float, deadline: float) -> None:
        self.waiting += 1
        self._waiting_s += estimate_s
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                await permits.acquire()
        except TimeoutError as error:
            raise _late() from error
        finally:
            self.waiting -= 1
            self._waiting_s -= estimate_s

    def _release(self, permits: asyncio.Semaphore) -> None:
        self.running -= 1
        permits.release()


def _late() -> ServiceError:
    return ServiceError(Reason.DEADLINE, "the deadline passed, or would have, in the queue")
