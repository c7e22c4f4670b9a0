"""Video sessions through a real gateway: each message passed on, nothing read ahead, every end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import status_pb2

from diptych import AsyncClient, SessionLostError
from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService
from diptych_gateway.settings import Endpoint
from diptych_runtime.engine import Reason, ServiceError

MiB = 1024 * 1024
METHOD = "/diptych.segment.v1.SegmentService/SegmentVideo"


def start(model_id: str = "one") -> pb.SegmentVideoRequest:
    return pb.SegmentVideoRequest(seq=1, start=pb.VideoStart(model_id=model_id))


def frame(seq: int, data: bytes = b"frame") -> pb.SegmentVideoRequest:
    return pb.SegmentVideoRequest(seq=seq, frame=pb.VideoFrame(frame_index=seq, encoded=data))


def ack(seq: int) -> pb.SegmentVideoResponse:
    return pb.SegmentVideoResponse(in_reply_to_seq=seq, ack=pb.VideoAck())


def big_answer(seq: int) -> pb.SegmentVideoResponse:
    segment = pb.Segment(mask=pb.Mask(png=bytes(MiB)))
    answer = pb.VideoFrameSegments(segments=[pb.VideoSegment(segment=segment)])
    return pb.SegmentVideoResponse(in_reply_to_seq=seq, frame=answer)


async def echo(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
    """Acknowledge each message."""
    async for request in requests:
        yield ack(request.seq)


def rich(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    trailers = dict(error.trailing_metadata() or ())
    return status_pb2.Status.FromString(trailers["grpc-status-details-bin"])


async def still(count: Callable[[], int]) -> int:
    """The count once it has stopped to grow."""
    seen = -1
    while (now := count()) != seen or now == 0:
        seen = now
        await asyncio.sleep(0.5)
    return seen


async def seqs(call: Any) -> list[int]:
    """What the rest of the answers reply to."""
    found = []
    while (reply := await call.read()) is not grpc.aio.EOF:
        found.append(reply.in_reply_to_seq)
    return found


async def failure_of(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await seqs(call)
    return caught.value


async def test_messages_pass_in_order_and_a_half_close_ends_it_well(open_model: Any) -> None:
    _, stub = await open_model(echo)
    call = stub.SegmentVideo()
    await call.write(start())
    assert (await call.read()).in_reply_to_seq == 1
    for seq in range(2, 12):
        await call.write(frame(seq))
        assert (await call.read()).in_reply_to_seq == seq
    for seq in range(12, 40):
        await call.write(frame(seq))
    await call.done_writing()
    assert await seqs(call) == list(range(12, 40))
    assert await call.code() is grpc.StatusCode.OK


async def test_a_half_close_reaches_the_model_before_its_last_answers(open_model: Any) -> None:
    async def all_at_the_end(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        for request in [request async for request in requests]:
            yield ack(request.seq)

    _, stub = await open_model(all_at_the_end)
    assert await seqs(stub.SegmentVideo(iter([start(), frame(2), frame(3)]))) == [1, 2, 3]


async def test_bytes_are_not_touched(stage: Any, open_model: Any) -> None:
    got: list[Any] = []

    async def keep(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            got.append(request)
            yield pb.SegmentVideoResponse.FromString(unknown)

    unknown = bytes([0xF2, 0x2E, 3]) + b"new"  # a field that this contract does not know
    await open_model(keep)
    call = stage.channel(stage.address).stream_stream(METHOD)
    raws = [unknown + start().SerializeToString(), frame(2).SerializeToString() + unknown]
    replies = [bytes(reply) async for reply in call(iter(raws))]
    assert replies == [unknown, unknown]
    assert all(unknown in message.SerializeToString() for message in got)


@pytest.mark.parametrize(
    ("first", "code", "reason"),
    [
        (frame(1), "FAILED_PRECONDITION", "SESSION_ORDER"),
        (pb.SegmentVideoRequest(seq=1), "FAILED_PRECONDITION", "SESSION_ORDER"),
        (None, "FAILED_PRECONDITION", "SESSION_ORDER"),
        (start("two"), "NOT_FOUND", "MODEL_UNKNOWN"),
        (start(""), "INVALID_ARGUMENT", "OPTION_INVALID"),
    ],
)
async def test_a_session_starts_with_a_known_model(
    open_model: Any, reason_of: Any, first: Any, code: str, reason: str
) -> None:
    model, stub = await open_model(echo)
    error = await failure_of(stub.SegmentVideo(iter([first] if first else [])))
    assert (error.code().name, reason_of(rich(error))) == (code, reason)
    assert model.sessions == 0


async def test_a_session_that_never_starts_ends(open_model: Any, reason_of: Any) -> None:
    model, stub = await open_model(echo, default_deadline_s=0.3)
    error = await failure_of(stub.SegmentVideo())
    assert (error.code().name, reason_of(rich(error))) == ("ABORTED", "SESSION_EXPIRED")
    assert model.sessions == 0


async def test_bytes_that_are_no_message_are_the_clients_fault(stage: Any, open_model: Any) -> None:
    await open_model(echo)
    call = stage.channel(stage.address).stream_stream(METHOD)
    error = await failure_of(call(iter([b"\xff\xff\xff"])))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("reading", [True, False])
async def test_a_client_that_leaves_ends_the_models_part(
    stage: Any, open_model: Any, reading: bool
) -> None:
    async def flood(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield ack(request.seq)
            while not reading:
                yield big_answer(0)

    model, stub = await open_model(flood)
    call = stub.SegmentVideo()
    await call.write(start())
    await call.read()
    await stage.until(lambda: model.running == 1)
    call.cancel()
    await stage.until(lambda: model.running == 0)
    await stage.until(lambda: stage.gateway.registry.model("one").in_flight == 0)


async def test_the_models_status_passes_unchanged(stage: Any, open_model: Any) -> None:
    async def refuse(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            if request.seq == 3:
                raise ServiceError(Reason.SESSION_EXPIRED, "idle for 60 s", retry_after_s=1.5)
            yield ack(request.seq)

    model, stub = await open_model(refuse)
    errors = []
    for each in (stage.segment_stub(model.address), stub):
        call = each.SegmentVideo()
        for message in (start(), frame(2), frame(3)):
            await call.write(message)
        assert [(await call.read()).in_reply_to_seq for _ in range(2)] == [1, 2]
        errors.append(await failure_of(call))
    direct, passed = errors
    assert (passed.code(), passed.details()) == (direct.code(), direct.details())
    assert passed.code() is grpc.StatusCode.ABORTED
    assert len(rich(passed).details) == len(rich(direct).details) == 2
    assert rich(passed).details[1] == rich(direct).details[1]
    assert model.sessions == 2  # never tried again


async def test_a_model_may_end_a_session_before_the_client_does(open_model: Any) -> None:
    async def two(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        for _ in range(2):
            yield ack((await anext(requests)).seq)

    _, stub = await open_model(two)
    call = stub.SegmentVideo()
    await call.write(start())
    await call.write(frame(2))
    assert await seqs(call) == [1, 2]
    assert await call.code() is grpc.StatusCode.OK


async def test_a_model_that_goes_away_loses_the_session(open_model: Any, reason_of: Any) -> None:
    model, stub = await open_model(echo)
    call = stub.SegmentVideo()
    await call.write(start())
    await call.read()
    await model.stop()
    error = await failure_of(call)
    assert (error.code().name, reason_of(rich(error))) == ("ABORTED", "SESSION_LOST")
    assert "127.0.0.1" not in str(error.details())
    again = await failure_of(stub.SegmentVideo(iter([start()])))
    assert (again.code().name, reason_of(rich(again))) == ("UNAVAILABLE", "MODEL_LOADING")
    assert model.sessions == 1


async def test_a_gateway_that_stops_warns_and_lets_sessions_end(
    stage: Any, open_model: Any, reason_of: Any
) -> None:
    _, stub = await open_model(echo, drain_s=30.0)
    call = stub.SegmentVideo()
    await call.write(start())
    await call.read()
    stopping = asyncio.create_task(stage.gateway.stop())
    warning = await call.read()
    assert warning.going_away.grace.ToMilliseconds() == 30_500
    for seq in range(2, 6):
        await call.write(frame(seq))
        assert (await call.read()).in_reply_to_seq == seq
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    await stopping
    stage.gateway = None


async def test_a_gateway_that_stops_opens_no_session(
    stage: Any, open_model: Any, reason_of: Any
) -> None:
    model, stub = await open_model(echo, drain_s=30.0)
    stage.gateway.registry.sessions.go_away(30.0)
    error = await failure_of(stub.SegmentVideo(iter([start()])))
    assert (error.code().name, reason_of(rich(error))) == ("UNAVAILABLE", "DRAINING")
    assert model.sessions == 0


async def test_a_reader_that_stops_holds_the_model_back(open_model: Any) -> None:
    produced = 0

    async def many(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        nonlocal produced
        await anext(requests)
        for seq in range(200):
            yield big_answer(seq)
            produced += 1

    _, stub = await open_model(many)
    call = stub.SegmentVideo()
    await call.write(start())
    assert (await call.read()).in_reply_to_seq == 0
    assert await still(lambda: produced) < 60
    rest = [(await call.read()).in_reply_to_seq for _ in range(199)]
    assert rest == list(range(1, 200))
    assert await call.read() is grpc.aio.EOF


async def test_a_model_that_does_not_read_holds_the_client_back(open_model: Any) -> None:
    release = asyncio.Event()

    async def later(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await release.wait()
        async for request in requests:
            yield ack(request.seq)

    _, stub = await open_model(later)
    call = stub.SegmentVideo()
    written = 0

    async def write() -> None:
        nonlocal written
        await call.write(start())
        for seq in range(2, 202):
            await call.write(frame(seq, bytes(MiB)))
            written += 1
        await call.done_writing()

    writing = asyncio.ensure_future(write())
    assert await still(lambda: written) < 60
    release.set()
    assert await seqs(call) == list(range(1, 202))
    await writing


async def test_deadlines_are_passed_on_and_none_is_made_up(open_model: Any, reason_of: Any) -> None:
    left: list[float | None] = []

    async def wait(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        left.append(context.time_remaining())
        async for request in requests:
            yield ack(request.seq)

    _, stub = await open_model(wait, deadline_reserve_s=0.3, max_deadline_s=10.0)
    assert await seqs(stub.SegmentVideo(iter([start()]))) == [1]
    assert await seqs(stub.SegmentVideo(iter([start()]), timeout=1000)) == [1]
    assert left[0] is None
    assert left[1] is not None
    assert 10 < left[1] < 1000
    call = stub.SegmentVideo(timeout=1.5)
    await call.write(start())
    error = await failure_of(call)
    # By the gateway, which is why the status carries details.
    assert (error.code().name, reason_of(rich(error))) == ("DEADLINE_EXCEEDED", "DEADLINE")


async def test_sessions_count_as_calls_that_wait(open_model: Any, reason_of: Any) -> None:
    _, stub = await open_model(echo, in_flight_requests=1)
    call = stub.SegmentVideo()
    await call.write(start())
    await call.read()
    error = await failure_of(stub.SegmentVideo(iter([start()])))
    assert (error.code().name, reason_of(rich(error))) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await seqs(stub.SegmentVideo(iter([start(), frame(2)]))) == [1, 2]


async def test_the_client_works_and_resumes_through_the_gateway(stage: Any) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    with FakeSegmentService(("one",), gateway=False) as model:
        await stage.serve(Endpoint("one", model.address), seen=False)
        async with AsyncClient(stage.address) as client:
            async with client.video(model="one") as session:
                await session.send(pixels)
                await session.prompt(1, box=(10, 5, 30, 25))
                assert [(await anext(session)).revision for _ in range(2)] == [0, 1]
                model.fail("SESSION_EXPIRED", "idle", times=1)
                await session.send(pixels)
                with pytest.raises(SessionLostError, match="idle") as caught:
                    await anext(session)
            async with client.video(resume=caught.value) as session:
                seen = [event async for event in session.track([pixels] * 20)]
                indexes = [event.frame_index for event in seen if event.revision == 0]
                assert indexes == list(range(22))
                assert [found.object_id for found in seen[-1].objects] == [1]
            await stage.until(lambda: model.video_session_count == 0)
