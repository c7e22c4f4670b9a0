"""Queues: bounded by count and by estimated time, emptied when nobody waits any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diptych import Task
from diptych.segment import v1 as pb
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.front.admission import Admission, Estimates, Kind, work_units
from diptych_runtime.ipc.lanes import Lane
from diptych_runtime.settings import RuntimeSettings

FAR = 1e9
PERMITS = {Lane.HELD: 4, Lane.NEW: 2, Lane.BULK: 2}


class Clock:
    """A clock that stands unless it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def admission(clock: Callable[[], float] | None = None, **variables: object) -> Admission:
    queue = RuntimeSettings(**variables)  # type: ignore[arg-type]
    return Admission(queue, clock=clock or Clock())


class Visitor:
    """A request that takes a turn and keeps it until told."""

    def __init__(
        self,
        queue: Admission,
        *,
        lane: Lane = Lane.BULK,
        estimate_s: float = 1.0,
        deadline: float = FAR,
        tenant: str = "",
    ) -> None:
        self.leave = asyncio.Event()
        self.inside = False
        self.task = asyncio.create_task(self._visit(queue, lane, estimate_s, deadline, tenant))

    async def _visit(
        self, queue: Admission, lane: Lane, estimate_s: float, deadline: float, tenant: str
    ) -> None:
        permit = await queue.permit(lane, estimate_s=estimate_s, deadline=deadline, tenant=tenant)
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
        async with asyncio.timeout(10):
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
        assert error.retry_after_s == 5.0  # two inside and three that wait
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


async def test_a_deadline_that_has_passed() -> None:
    error = await refused(Visitor(admission(), deadline=100.0))
    assert error.reason is Reason.DEADLINE


async def test_what_becomes_late_while_it_waits_is_answered_then() -> None:
    queue = admission(time.monotonic)
    inside = [Visitor(queue, estimate_s=0.001) for _ in range(2)]
    await settle()
    waiting = Visitor(queue, estimate_s=0.001, deadline=time.monotonic() + 0.05)
    assert (await refused(waiting)).reason is Reason.DEADLINE
    assert queue.waiting == 0
    await end(*inside)


async def test_what_cannot_be_in_time_is_refused_at_once() -> None:
    queue = admission(Clock())
    inside = await full(queue)  # two seconds of work
    error = await refused(Visitor(queue, deadline=102.5))
    assert error.reason is Reason.QUEUE_FULL
    assert error.retry_after_s == pytest.approx(0.6, abs=0.1)  # 3.1 s for it, of which 2.5 are left
    fits = Visitor(queue, deadline=103.5)
    await settle()
    assert not fits.task.done()
    behind = await refused(Visitor(queue, deadline=103.5))  # what waits before it counts, too
    assert behind.retry_after_s == pytest.approx(0.66, abs=0.1)
    await end(*inside, fits)


async def test_what_the_engine_process_has_counts_though_a_permit_is_free() -> None:
    queue = admission(Clock())
    first = Visitor(queue, estimate_s=5.0)
    await settle()
    assert (await refused(Visitor(queue, deadline=104.0))).reason is Reason.QUEUE_FULL
    await end(first)


async def test_the_work_that_is_done_does_not_count() -> None:
    clock = Clock()
    queue = admission(clock)
    first = Visitor(queue, estimate_s=5.0)
    await settle()
    clock.now += 3
    second = Visitor(queue, deadline=107.0)  # two seconds of the first, one of its own
    await settle()
    assert second.inside
    await end(first, second)


async def test_what_became_late_gives_its_turn_to_the_next() -> None:
    clock = Clock()
    queue = admission(clock)
    inside = await full(queue)
    late = Visitor(queue, deadline=104.0)
    good = Visitor(queue, deadline=120.0)
    await settle()
    clock.now += 3  # the first took that long instead of a second
    inside[0].leave.set()
    assert (await refused(late)).reason is Reason.DEADLINE
    await settle()
    assert good.inside
    assert not late.inside
    await end(*inside, good)


async def test_where_nothing_is_ahead_a_request_is_tried_whatever_the_estimate() -> None:
    queue = admission()
    visitor = Visitor(queue, estimate_s=500, deadline=200.0)
    await settle()
    assert visitor.inside
    assert visitor.permit.alone
    await end(visitor)


async def test_a_lane_that_moves_slower_than_the_model_says_so() -> None:
    clock = Clock()
    queue = admission(clock)
    for _ in range(20):
        inside = [Visitor(queue), Visitor(queue)]
        await settle()
        releases = [visitor.permit.hand_over() for visitor in inside]
        for free in releases:
            clock.now += 3  # decoding took longer, or others had the model in between
            free(1.0)
        await end(*inside)
    first = Visitor(queue)
    await settle()
    now = clock.now
    assert (await refused(Visitor(queue, deadline=now + 5))).reason is Reason.QUEUE_FULL
    await end(first)


async def served_in_turns(queue: Admission, visitors: dict[str, list[Visitor]], count: int) -> str:
    """Let one in after the other; returns whose turn each was."""
    order = ""
    for _ in range(count):
        everybody = [(t, v) for t, all_of in visitors.items() for v in all_of]
        running = [(t, v) for t, v in everybody if v.inside and not v.leave.is_set()]
        running[0][1].leave.set()
        before = {id(v) for _, v in everybody if v.inside}
        await settle()
        order += "".join(t for t, v in everybody if v.inside and id(v) not in before)
    return order


async def test_tenants_take_turns() -> None:
    queue = admission()
    blocking = [Visitor(queue, tenant="x"), Visitor(queue, tenant="x")]
    await settle()
    greedy = [Visitor(queue, tenant="a") for _ in range(6)]
    await settle()
    small = [Visitor(queue, tenant="b") for _ in range(2)]
    await settle()
    visitors = {"x": blocking, "a": greedy, "b": small}
    assert await served_in_turns(queue, visitors, 8) == "ababaaaa"
    await end(*blocking, *greedy, *small)


async def test_turns_are_counted_in_seconds_of_the_model() -> None:
    queue = admission()
    blocking = [Visitor(queue, tenant="x"), Visitor(queue, tenant="x")]
    await settle()
    heavy = [Visitor(queue, tenant="a", estimate_s=3.0) for _ in range(2)]
    light = [Visitor(queue, tenant="b") for _ in range(6)]
    await settle()
    visitors = {"x": blocking, "a": heavy, "b": light}
    assert await served_in_turns(queue, visitors, 8) == "abbbabbb"
    await end(*blocking, *heavy, *light)


async def test_a_full_queue_is_shared_by_tenants() -> None:
    queue = admission(queue_requests=4)
    inside = await full(queue)
    greedy = [Visitor(queue, tenant="a") for _ in range(4)]
    await settle()
    small = [Visitor(queue, tenant="b") for _ in range(2)]
    await settle()
    assert [visitor.task.done() for visitor in greedy] == [False, False, True, True]
    assert (await refused(greedy[3])).reason is Reason.QUEUE_FULL
    for tenant in ("a", "b"):  # each has its share
        assert (await refused(Visitor(queue, tenant=tenant))).reason is Reason.QUEUE_FULL
    assert queue.waiting == 4
    await end(*inside, *greedy, *small)


async def test_a_full_queue_is_shared_by_the_lanes_of_a_tenant() -> None:
    queue = admission(queue_requests=4)
    inside = [*await full(queue), *await full(queue, Lane.HELD)]
    bulk = [Visitor(queue) for _ in range(4)]
    await settle()
    prompt = Visitor(queue, lane=Lane.HELD)
    await settle()
    assert not prompt.task.done()
    assert (await refused(bulk[3])).reason is Reason.QUEUE_FULL
    await end(*inside, *bulk, prompt)


async def test_who_is_ahead_of_a_small_tenant_is_what_has_its_turn_before() -> None:
    queue = admission()
    inside = [Visitor(queue, tenant="a"), Visitor(queue, tenant="a")]
    await settle()
    greedy = [Visitor(queue, tenant="a") for _ in range(20)]
    await settle()
    small = Visitor(queue, tenant="b", deadline=105.0)
    await settle()
    assert not small.task.done()
    assert (await refused(Visitor(queue, tenant="a", deadline=105.0))).reason is Reason.QUEUE_FULL
    await end(*inside, *greedy, small)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(list(Lane)),
            st.floats(0.01, 3.0),
            st.floats(0.1, 12.0),
            st.floats(0.0, 0.5),
        ),
        max_size=60,
    ),
    st.integers(1, 8),
)
def test_nothing_is_lost(rows: list[tuple[str, Lane, float, float, float]], places: int) -> None:
    async def play() -> None:
        clock = Clock()
        queue = admission(clock, queue_requests=places)
        visitors = []
        for tenant, lane, estimate_s, left_s, step_s in rows:
            visitors.append(
                Visitor(
                    queue,
                    lane=lane,
                    estimate_s=estimate_s,
                    deadline=clock.now + left_s,
                    tenant=tenant,
                )
            )
            await settle()
            assert queue.waiting <= places
            clock.now += step_s
            for visitor in visitors[::3]:
                visitor.leave.set()
        await end(*visitors)
        assert all(visitor.task.done() for visitor in visitors)
        assert (queue.waiting, queue.running) == (0, 0)
        assert queue._waiting_s == pytest.approx(0.0, abs=1e-6)

    asyncio.run(play())


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
    free(0.0)
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


async def test_the_wait_that_is_told_is_the_one_that_deadlines_are_held_against() -> None:
    clock = Clock()
    queue = admission(clock)
    assert [queue.wait_s(lane) for lane in Lane] == [0, 0, 0]
    inside = await full(queue)
    waiting = [Visitor(queue, estimate_s=2.0, tenant=tenant) for tenant in ("", "", "other")]
    await settle()
    assert [queue.wait_s(lane) for lane in (Lane.HELD, Lane.NEW)] == [0, 0]
    assert queue.wait_s(Lane.BULK) == 2 * 1.0 + 3 * 2.0
    clock.now += 0.5  # of the first one's second
    assert queue.wait_s(Lane.BULK) == 7.5
    late = Visitor(queue, estimate_s=1.0, deadline=clock.now + 7.5 + 1.0)
    assert (await refused(late)).reason is Reason.QUEUE_FULL
    in_time = Visitor(queue, estimate_s=1.0, deadline=clock.now + 1.1 * (7.5 + 1.0))
    await settle()
    assert not in_time.task.done()
    for visitor in (*inside, *waiting, in_time):
        visitor.leave.set()
    await asyncio.gather(*(visitor.task for visitor in (*inside, *waiting, in_time)))
    assert queue.wait_s(Lane.BULK) == 0
