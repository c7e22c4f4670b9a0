"""Queues: bounded by count and by estimated time, emptied when nobody waits any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from diptych import Task
from diptych.segment import v1 as pb
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.front.admission import Admission, Estimates, Kind, work_units
from diptych_runtime.ipc.lanes import Lane
from diptych_runtime.settings import RuntimeSettings

FAR = 1e9
PERMITS = {Lane.HELD: 4, Lane.NEW: 2, Lane.BULK: 2}


def admission(**settings: object) -> Admission:
    return Admission(RuntimeSettings(**settings))  # type: ignore[arg-type]


class Visitor:
    """A request that takes a turn and keeps it until told."""

    def __init__(
        self,
        queue: Admission,
        *,
        lane: Lane = Lane.BULK,
        estimate_s: float = 1.0,
        deadline: float = FAR,
    ) -> None:
        self.leave = asyncio.Event()
        self.inside = False
        self.free: Callable[[], None] | None = None
        self.task = asyncio.create_task(self._visit(queue, lane, estimate_s, deadline))

    async def _visit(
        self, queue: Admission, lane: Lane, estimate_s: float, deadline: float
    ) -> None:
        permit = await queue.permit(lane, estimate_s=estimate_s, deadline=deadline)
        with permit:
            self.permit = permit
            self.inside = True
            await self.leave.wait()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def full(queue: Admission, lane: Lane = Lane.BULK) -> list[Visitor]:
    visitors = [Visitor(queue, lane=lane) for _ in range(PERMITS[lane])]
    await settle()
    assert all(visitor.inside for visitor in visitors)
    return visitors


async def refused(visitor: Visitor) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await visitor.task
    return caught.value


async def end(*visitors: Visitor) -> None:
    for visitor in visitors:
        visitor.leave.set()
    await asyncio.gather(*(v.task for v in visitors), return_exceptions=True)


async def test_an_engine_that_batches_gets_two_batches_at_a_time() -> None:
    queue = admission()
    for _ in range(2):  # it was lost, and is there again
        queue.expect_batches(8)
    inside = [Visitor(queue, lane=Lane.HELD) for _ in range(17)]
    bulk = await full(queue, Lane.BULK)
    more = Visitor(queue)
    await settle()
    assert sum(visitor.inside for visitor in inside) == 16
    assert not more.inside
    await end(*inside, *bulk, more)


async def test_an_engine_that_does_not_batch_gets_four_held_ones() -> None:
    queue = admission()
    queue.expect_batches(1)
    inside = [Visitor(queue, lane=Lane.HELD) for _ in range(5)]
    await settle()
    assert sum(visitor.inside for visitor in inside) == 4
    await end(*inside)


async def test_the_queue_is_bounded_by_count() -> None:
    queue = admission(queue_requests=3)
    inside = await full(queue)
    waiting = [Visitor(queue) for _ in range(3)]
    await settle()
    late = [Visitor(queue) for _ in range(4)]
    for visitor in late:
        error = await refused(visitor)
        assert error.reason is Reason.QUEUE_FULL
        assert error.retry_after_s == 3.0
    assert (queue.waiting, queue.running) == (3, 2)
    await end(*inside, *waiting)
    assert all(visitor.inside for visitor in waiting)
    assert (queue.waiting, queue.running) == (0, 0)


async def test_the_queue_is_bounded_by_time() -> None:
    queue = admission(queue_seconds=10)
    inside = await full(queue)
    first = Visitor(queue, estimate_s=50)  # alone in the queue: else it would never run
    await settle()
    error = await refused(Visitor(queue, estimate_s=1))
    assert error.reason is Reason.QUEUE_FULL
    assert error.retry_after_s == 30.0
    await end(*inside, first)
    assert first.inside


@pytest.mark.parametrize("lane", Lane)
async def test_the_lanes_do_not_wait_for_each_other(lane: Lane) -> None:
    queue = admission()
    inside = await full(queue, lane)
    others = [Visitor(queue, lane=other) for other in Lane if other is not lane]
    await settle()
    assert all(other.inside for other in others)
    await end(*inside, *others)


async def test_a_deadline_in_the_queue() -> None:
    queue = admission()
    inside = await full(queue)
    error = await refused(Visitor(queue, deadline=time.monotonic() + 0.02))
    assert error.reason is Reason.DEADLINE
    assert queue.waiting == 0
    await end(*inside)


async def test_what_would_be_late_gives_its_turn_to_the_next() -> None:
    queue = admission(queue_seconds=1000)
    inside = await full(queue)
    hopeless = Visitor(queue, estimate_s=500, deadline=time.monotonic() + 100)
    good = Visitor(queue, estimate_s=1, deadline=time.monotonic() + 100)
    await settle()
    inside[0].leave.set()
    assert (await refused(hopeless)).reason is Reason.DEADLINE
    await settle()
    assert good.inside
    await end(*inside, good)


async def test_what_does_not_wait_is_tried_whatever_the_estimate() -> None:
    queue = admission()
    visitor = Visitor(queue, estimate_s=500, deadline=time.monotonic() + 100)
    await settle()
    assert visitor.inside
    await end(visitor)
    assert (await refused(Visitor(queue, deadline=time.monotonic()))).reason is Reason.DEADLINE


async def test_who_is_cancelled_while_waiting_leaves_no_trace() -> None:
    queue = admission()
    inside = await full(queue)
    waiting = Visitor(queue)
    await settle()
    waiting.task.cancel()
    await end(waiting)
    assert queue.waiting == 0
    await end(*inside)
    await end(*await full(queue))


async def test_a_place_handed_over_is_kept_until_the_work_is_out() -> None:
    queue = admission()
    inside = await full(queue)
    free = inside[0].permit.hand_over()
    await end(inside[0])
    waiting = Visitor(queue)
    await settle()
    assert not waiting.inside
    assert queue.running == 2
    free()
    await settle()
    assert waiting.inside
    await end(inside[1], waiting)
    assert queue.running == 0


def test_estimates_follow_what_was_measured() -> None:
    estimates = Estimates()
    kind = Kind(Task.INSTANCE_SEGMENTATION, held=False)
    other = Kind(Task.INSTANCE_SEGMENTATION, held=True)
    assert estimates.seconds(kind, 4) == 2.0
    estimates.learn(kind, 2, 6.0)
    assert estimates.seconds(kind, 1) == 3.0
    assert estimates.seconds(other, 1) == 0.5
    for _ in range(40):
        estimates.learn(kind, 1, 1.0)
    assert estimates.seconds(kind, 10) == pytest.approx(10.0, rel=1e-3)


def test_an_image_of_many_pixels_is_more_work() -> None:
    task, card = Task.INSTANCE_SEGMENTATION, pb.ModelCard()
    small, large = (
        work_units(pb.SegmentRequest(), task, card, pixels) for pixels in (64 * 48, 49_000_000)
    )
    assert small == pytest.approx(1, abs=0.01)
    assert large > 2.5 * small
