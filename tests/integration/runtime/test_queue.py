"""Who goes first, who is refused, and what never reaches the model. Order is asserted, not time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from fake_engine import HANG
from gates import Gate, ask, fresh
from serving_helpers import (
    automatic_request,
    error_info,
    error_of,
    eventually,
    outcomes,
    png,
    point_request,
    retry_after,
    running_service,
    stats,
    stub_of,
)

from diptych.segment import v1 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")

Stub = pb.SegmentServiceStub


@asynccontextmanager
async def gated_service(folder: Path, **settings: object) -> AsyncIterator[tuple[Gate, Stub]]:
    gate = Gate(folder)
    with gate.environment():
        async with running_service(**settings) as service, stub_of(service.port) as stub:
            try:
                yield gate, stub
            finally:
                gate.open()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gate, Stub]]:
    async with gated_service(tmp_path_factory.mktemp("gate")) as gate_and_stub:
        yield gate_and_stub


async def waiting(stub: Stub, count: int) -> None:
    async def so_many_wait() -> bool:
        return (await stats(stub)).queue_length == count

    await eventually(so_many_wait, f"{count} wait")


async def nothing_runs(stub: Stub) -> None:
    async def idle() -> bool:
        now = await stats(stub)
        return not (now.queue_length or now.running_count)

    await eventually(idle, "nothing runs")


async def test_prompts_on_a_held_picture_overtake(served: tuple[Gate, Stub]) -> None:
    gate, stub = served
    held = png(fresh())
    digest = (await stub.Segment(point_request(held))).image_sha256
    _, slow = await gate.occupy(stub)
    by_digest = point_request(b"")
    by_digest.image.sha256 = digest
    for request in [point_request(held), by_digest] * 10:
        answer = await stub.Segment(request)
        assert answer.provenance[0].image_cache_hit
    assert not slow.done()
    gate.open()
    assert (await slow).segments  # type: ignore[attr-defined]


async def test_one_is_in_the_model_one_is_decoded_ahead(served: tuple[Gate, Stub]) -> None:
    gate, stub = served
    _, slow = await gate.occupy(stub)
    others = [ask(stub.Segment(automatic_request(png(fresh())))) for _ in range(3)]
    await waiting(stub, 2)
    assert (await stats(stub)).running_count == 2
    gate.open()
    await asyncio.gather(slow, *others)


async def test_cancelled_work_never_reaches_the_model(served: tuple[Gate, Stub]) -> None:
    gate, stub = served
    _, slow = await gate.occupy(stub)
    pictures = [fresh() for _ in range(8)]
    calls = [ask(stub.Segment(automatic_request(png(pixels)))) for pixels in pictures]
    await waiting(stub, 7)
    for call in calls:
        call.cancel()

    async def all_cancelled() -> bool:  # also the one that does not wait: it is in the engine
        return outcomes(await stats(stub)).get("CANCELLED") == len(calls)

    await eventually(all_cancelled)
    await asyncio.sleep(0.5)  # the engine process hears of it a moment later
    gate.open()
    await slow
    await stub.Segment(automatic_request(png(fresh())))
    assert not any(gate.lines("embed", pixels) for pixels in pictures)


async def test_running_work_stops_after_the_step_it_is_in(served: tuple[Gate, Stub]) -> None:
    gate, stub = served
    pixels, slow = await gate.occupy(stub)
    slow.cancel()
    await stub.Segment(automatic_request(png(fresh())))  # although the gate is closed
    steps = len(gate.lines("step", pixels))
    await stub.Segment(automatic_request(png(fresh())))
    assert len(gate.lines("step", pixels)) == steps
    await nothing_runs(stub)


async def test_a_deadline_passes_in_the_queue(served: tuple[Gate, Stub]) -> None:
    gate, stub = served
    _, slow = await gate.occupy(stub)
    ahead = ask(stub.Segment(automatic_request(png(fresh()))))
    pictures = [fresh() for _ in range(4)]
    requests = [automatic_request(png(pixels)) for pixels in pictures]
    errors = await asyncio.gather(*(error_of(stub.Segment(r, timeout=0.3)) for r in requests))
    # Late, or refused at once: that depends on how long others took.
    late_or_full = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert {error.code() for error in errors} <= late_or_full
    await waiting(stub, 0)
    gate.open()
    await asyncio.gather(slow, ahead)
    await stub.Segment(automatic_request(png(fresh())))
    assert not any(gate.lines("embed", pixels) for pixels in pictures)


async def test_cancelled_calls_keep_their_place_until_the_model_lets_go(
    served: tuple[Gate, Stub],
) -> None:
    gate, stub = served
    _, slow = await gate.occupy(stub)
    for _ in range(6):
        await error_of(stub.Segment(automatic_request(png(fresh())), timeout=0.1))
    # Not one more for each call that gave up; one if they were refused at once.
    assert (await stats(stub)).running_count <= 2
    gate.open()
    await slow
    await nothing_runs(stub)


async def test_the_queue_is_bounded_by_count(tmp_path: Path) -> None:
    async with gated_service(tmp_path, queue_requests=3) as (gate, stub):
        _, slow = await gate.occupy(stub)
        calls = [ask(stub.Segment(automatic_request(png(fresh())))) for _ in range(4)]
        await waiting(stub, 3)
        for _ in range(7):
            error = await error_of(stub.Segment(automatic_request(png(fresh()))))
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert error_info(error).reason == "QUEUE_FULL"
            assert 0.1 <= (retry_after(error) or 0) <= 30
        gate.open()
        await asyncio.gather(slow, *calls)
        after = await stats(stub)
        assert outcomes(after) == {"OK": 5, "RESOURCE_EXHAUSTED": 7}
        assert after.encoder_run_count == 5


async def test_a_long_queue_refuses_with_a_reason_too(tmp_path: Path) -> None:
    """gRPC's own bound on streams ends calls without one, so the queue has to be full before."""
    async with gated_service(tmp_path, queue_requests=250, queue_seconds=3600) as (gate, stub):
        _, slow = await gate.occupy(stub)
        request = automatic_request(png(fresh()))
        calls = [ask(stub.Segment(request, timeout=60)) for _ in range(300)]
        # A few wait in the engine process, beyond the queue.
        await eventually(lambda: sum(call.done() for call in calls) > 40, "the rest is refused")
        gate.open()
        await slow
        ended = await asyncio.gather(*calls, return_exceptions=True)
        errors = [each for each in ended if isinstance(each, grpc.aio.AioRpcError)]
        assert 40 < len(errors) <= 50
        assert {error_info(error).reason for error in errors} == {"QUEUE_FULL"}


async def test_the_queue_is_bounded_by_estimated_time(tmp_path: Path) -> None:
    async with gated_service(tmp_path, queue_seconds=5) as (gate, stub):
        _, slow = await gate.occupy(stub)

        def large() -> pb.SegmentRequest:
            request = automatic_request(png(fresh()))
            request.automatic.points_per_side = 64  # 2 s, as long as nothing was measured
            return request

        calls = [ask(stub.Segment(large())) for _ in range(3)]
        await waiting(stub, 2)
        error = await error_of(stub.Segment(large()))
        assert error_info(error).reason == "QUEUE_FULL"
        small = ask(stub.Segment(automatic_request(png(fresh()))))
        await waiting(stub, 3)
        gate.open()
        await asyncio.gather(slow, small, *calls)


async def test_a_step_that_hangs(tmp_path: Path) -> None:
    async with gated_service(tmp_path, step_timeout_s=2, default_deadline_s=0.5) as (gate, stub):
        error = await error_of(stub.Segment(automatic_request(png(fresh(HANG))), timeout=0.3))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        # Without a deadline of its own: the default, told by the server.
        error = await error_of(stub.Segment(automatic_request(png(fresh()))))
        assert error_info(error).reason == "DEADLINE"

        # Calls that come and give up must not count as progress.
        async def restarted() -> bool:
            await asyncio.gather(
                stub.Segment(automatic_request(png(fresh())), timeout=0.1), return_exceptions=True
            )
            return (await stats(stub)).engine_restart_count == 1

        await eventually(restarted, "the watchdog has killed the engine")
        assert (await stub.Segment(automatic_request(png(fresh())), timeout=60)).segments
        assert len(gate.lines("load")) == 2


async def test_the_engine_is_called_from_one_thread(served: tuple[Gate, Stub]) -> None:
    gate, stub = served
    gate.open()
    await stub.Segment(point_request(png(fresh())))
    lines: list[Any] = [gate.lines(what) for what in ("load", "embed", "segment")]
    threads = {(line[2], line[3]) for calls in lines for line in calls}
    assert all(lines)
    assert len(threads) == 1
