"""Video sessions on the wire: what is answered, what is refused, and how a stream ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import picture_files
import pytest
import pytest_asyncio
from fake_engine import watermark
from fake_video import HIDE
from harness.http2 import Http2
from serving_helpers import (
    error_info,
    error_of,
    eventually,
    picture,
    retry_after,
    running_service,
    stats,
    stub_of,
)
from video_calls import Talk, reason, talk

from diptych import Mask
from diptych.segment import v1 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")
Stub = pb.SegmentServiceStub
ENGINE = "fake_video:create"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stub() -> AsyncIterator[Stub]:
    async with (
        running_service(ENGINE, held_frames=3, max_video_objects=2) as service,
        stub_of(service.port) as stub,
    ):
        yield stub


async def sessions(stub: Stub, count: int) -> None:
    async def so_many() -> bool:
        return (await stats(stub)).session_count == count

    await eventually(so_many, f"{count} sessions")


async def test_started_tells_limits_and_provenance(stub: Stub) -> None:
    async with talk(stub) as t:
        answer = await t.start(model_id="fake")
        assert answer.in_reply_to_seq == 1
        started = answer.started
        assert (started.max_objects, started.held_frames) == (2, 3)
        assert started.max_frames_in_flight == 4
        assert started.max_sessions == 8
        assert started.idle_timeout.seconds == 60
        assert started.provenance[0].weights == "fake"
        assert (await stats(stub)).session_count == 1
        assert await t.done() == []
        assert await t.call.code() is grpc.StatusCode.OK
    await sessions(stub, 0)


async def test_frames_prompts_and_removals_are_answered_in_order(stub: Stub) -> None:
    async with talk(stub) as t:
        await t.start()
        pixels = [picture(seed=seed) for seed in range(3)]
        first = await t.frame(10, pixels[0])
        assert not (await t.read()).frame.segments
        prompted = await t.point(7, 10, 20, 24)
        corrected = await t.read()
        assert (first, corrected.in_reply_to_seq) == (2, prompted)
        assert (corrected.frame.frame_index, corrected.frame.revision) == (10, 1)
        await t.frame(20, pixels[1])
        await t.point(0, 20)
        removed = await t.remove(7)
        last = await t.frame(30, pixels[2])
        answers = await t.done()
    assert [a.in_reply_to_seq for a in answers] == [4, 5, removed, last]
    assert [a.WhichOneof("event") for a in answers] == ["frame", "frame", "ack", "frame"]
    frame = answers[0].frame
    assert (frame.frame_index, frame.revision) == (20, 0)
    assert (frame.image_size.height_px, frame.image_size.width_px) == (48, 64)
    (found,) = frame.segments
    assert (found.object_id, found.segment.label) == (7, watermark(pixels[1]))
    assert found.presence == pytest.approx(0.9)
    mask = Mask.from_coco(found.segment.mask.coco_rle, (48, 64))
    assert mask.area == 64
    assert (found.segment.box.x_min_px, found.segment.box.y_min_px) == (16, 20)
    assert frame.timings.total.ToNanoseconds() >= frame.timings.decode.ToNanoseconds() > 0
    assert [s.object_id for s in answers[1].frame.segments] == [0, 7]
    assert [s.object_id for s in answers[3].frame.segments] == [0]


async def test_the_model_s_time_is_counted_while_a_session_is_open_and_after_it(stub: Stub) -> None:
    async def worked_s() -> float:
        return (await stats(stub)).device_time.ToNanoseconds() / 1e9

    before = await worked_s()
    async with talk(stub) as t:
        await t.start()
        for index in range(3):
            await t.frame(index)
            await t.read()
        during = await worked_s()
        assert await t.done() == []
    await sessions(stub, 0)
    assert before < during <= await worked_s()


async def test_a_damaged_frame_is_answered_with_a_warning_once(stub: Stub) -> None:
    damaged = dict(picture_files.damaged())["baseline-without-end.jpg"]
    async with talk(stub) as t:
        await t.start()
        await t.send(frame=pb.VideoFrame(frame_index=0, encoded=damaged))
        first = (await t.read()).frame
        await t.point(1, 0)
        again = (await t.read()).frame
        assert list(first.warnings) == [
            "image: the JPEG file is damaged (its end is missing); all its pixels are there"
        ]
        assert (again.revision, list(again.warnings)) == (1, [])


async def test_a_held_frame_is_corrected_with_higher_revisions(stub: Stub) -> None:
    async with talk(stub) as t:
        await t.start()
        for index in (0, 5, 6, 8):
            await t.frame(index)
            await t.read()
        await t.point(1, 5)
        answers = [await t.read() for _ in range(3)]
        assert [(a.frame.frame_index, a.frame.revision) for a in answers] == [
            (5, 1),
            (6, 1),
            (8, 1),
        ]
        await t.point(1, 6)
        answers = [await t.read() for _ in range(2)]
        assert [(a.frame.frame_index, a.frame.revision) for a in answers] == [(6, 2), (8, 2)]
        await t.point(1, 0)  # no longer held
        refused = await t.read()
        assert (reason(refused), refused.error.frame_index) == ("FRAME_NOT_HELD", 0)
        await t.frame(9)
        assert (await t.read()).frame.revision == 0


async def test_hidden_objects_have_neither_mask_nor_box(stub: Stub) -> None:
    async with talk(stub) as t:
        await t.start()
        await t.frame(0)
        await t.point(1, 0)
        await t.frame(1, picture(HIDE))
        hidden = (await t.done())[-1].frame.segments[0]
        assert hidden.presence == pytest.approx(0.1)
        assert not hidden.segment.HasField("mask")
        assert not hidden.segment.HasField("box")


@pytest.mark.parametrize("encoding", ["png", "polygons"])
async def test_masks_come_as_asked(stub: Stub, encoding: str) -> None:
    async with talk(stub) as t:
        value = pb.MaskEncoding.Value(f"MASK_ENCODING_{encoding.upper()}")
        await t.start(output=pb.OutputOptions(mask_encoding=value))
        await t.frame(0)
        await t.point(1, 0)
        answer = (await t.done())[-1]
        assert answer.frame.segments[0].segment.mask.WhichOneof("encoding") == encoding


async def ends(t: Talk) -> tuple[grpc.StatusCode, str]:
    error = await error_of(t.rest())
    return error.code(), error_info(error).reason


@pytest.mark.parametrize(
    ("start", "code", "why"),
    [
        ({"model_id": "other"}, "NOT_FOUND", "MODEL_UNKNOWN"),
        ({"track_all": True}, "UNIMPLEMENTED", "TASK_UNSUPPORTED"),
        ({"output": pb.OutputOptions(low_res_logits=True)}, "INVALID_ARGUMENT", "OPTION_INVALID"),
        ({"output": pb.OutputOptions(all_candidates=True)}, "INVALID_ARGUMENT", "OPTION_INVALID"),
        ({"output": pb.OutputOptions(min_score=7)}, "INVALID_ARGUMENT", "OPTION_INVALID"),
    ],
)
async def test_a_start_that_is_refused_ends_the_call(
    stub: Stub, start: dict[str, object], code: str, why: str
) -> None:
    async with talk(stub) as t:
        await t.send(start=pb.VideoStart(**start))  # type: ignore[arg-type]
        assert await ends(t) == (grpc.StatusCode[code], why)
    await sessions(stub, 0)


async def test_the_first_message_must_be_start(stub: Stub) -> None:
    async with talk(stub) as t:
        await t.frame(0)
        assert await ends(t) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_ORDER")
    async with talk(stub) as t:
        await t.call.done_writing()
        assert await ends(t) == (grpc.StatusCode.FAILED_PRECONDITION, "SESSION_ORDER")


async def test_bytes_that_are_no_message_end_the_call() -> None:
    async with (
        running_service(ENGINE) as service,
        grpc.aio.insecure_channel(f"127.0.0.1:{service.port}") as channel,
        stub_of(service.port) as stub,
    ):
        method = "/diptych.segment.v1.SegmentService/SegmentVideo"
        call = channel.stream_stream(method)()
        start = pb.SegmentVideoRequest(start=pb.VideoStart())
        await call.write(start.SerializeToString())
        assert pb.SegmentVideoResponse.FromString(await call.read()).HasField("started")
        await call.write(b"no message")
        assert await ends(Talk(call)) == (grpc.StatusCode.INVALID_ARGUMENT, "OPTION_INVALID")
        await sessions(stub, 0)


async def test_the_number_of_sessions_is_bounded() -> None:
    async with running_service(ENGINE, max_sessions=2) as service, stub_of(service.port) as stub:
        async with talk(stub) as a, talk(stub) as b:
            await a.start()
            await b.start()
            async with talk(stub) as c:
                await c.send(start=pb.VideoStart())
                error = await error_of(c.rest())
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert error_info(error).reason == "SESSION_LIMIT"
                assert retry_after(error)
            await a.done()
            await sessions(stub, 1)
            async with talk(stub) as c:
                await c.start()
        await sessions(stub, 0)


async def test_an_idle_session_expires() -> None:
    async with (
        running_service(ENGINE, session_idle_s=0.4) as service,
        stub_of(service.port) as stub,
    ):
        async with talk(stub) as t:
            await t.start()
            assert await ends(t) == (grpc.StatusCode.ABORTED, "SESSION_EXPIRED")
        async with talk(stub) as t:  # says nothing at all
            assert await ends(t) == (grpc.StatusCode.ABORTED, "SESSION_EXPIRED")
        await sessions(stub, 0)


async def test_a_client_that_takes_not_even_the_first_answer_holds_no_session() -> None:
    start = pb.VideoStart()
    message = pb.SegmentVideoRequest(seq=1, start=start).SerializeToString()
    async with (
        running_service(ENGINE, session_idle_s=0.4) as service,
        stub_of(service.port) as stub,
    ):
        connection = await Http2.connect(service.port, window=0)
        call = asyncio.create_task(
            connection.call("/diptych.segment.v1.SegmentService/SegmentVideo", message)
        )
        await sessions(stub, 1)
        await sessions(stub, 0)
        call.cancel()
        await connection.close()


async def test_a_drain_is_announced() -> None:
    async with (
        running_service(ENGINE, drain_s=0.5) as service,
        stub_of(service.port) as stub,
        talk(stub) as t,
        talk(stub) as leaver,
    ):
        await t.start()
        await leaver.start()
        stopping = asyncio.create_task(service.stop())
        assert (await leaver.read()).going_away.grace.ToNanoseconds() == 1_000_000_000
        assert await leaver.done() == []
        assert (await t.read()).HasField("going_away")
        await t.frame(0)  # still answered
        assert (await t.read()).frame.frame_index == 0
        assert await ends(t) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        await stopping
