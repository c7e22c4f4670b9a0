"""Video sessions and everything else: what is freed, who is held back, who gets a turn."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from fake_engine import CRASH, GATED, HANG
from gates import Gate, ask, fresh
from serving_helpers import (
    automatic_request,
    error_info,
    error_of,
    eventually,
    picture,
    png,
    point_request,
    running_service,
    stats,
    stub_of,
)
from video_calls import Talk, reason, talk

from diptych import Mask
from diptych.segment import v1 as pb
from diptych_runtime.front.service import ModelService
from diptych_runtime.grpc_server import server as serving

Stub = pb.SegmentServiceStub
ENGINE = "fake_video:create"


@asynccontextmanager
async def gated(folder: Path, **settings: object) -> AsyncIterator[tuple[Gate, Stub, ModelService]]:
    gate = Gate(folder)
    with gate.environment():
        async with running_service(ENGINE, **settings) as service, stub_of(service.port) as stub:
            try:
                yield gate, stub, service
            finally:
                gate.open()


SMALL_WINDOWS = (("grpc.http2.lookahead_bytes", 65536), ("grpc.http2.bdp_probe", 0))


def small_windows(port: int) -> grpc.aio.Channel:
    """A channel whose flow control does not grow with what the network could take."""
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=SMALL_WINDOWS)


async def freed(stub: Stub, gate: Gate, count: int) -> None:
    async def none_left() -> bool:
        return (await stats(stub)).session_count == 0 and len(gate.lines("close")) == count

    await eventually(none_left, "no session left")


async def test_a_cancelled_session_is_freed_within_a_step(tmp_path: Path) -> None:
    async with gated(tmp_path) as (gate, stub, _):
        pixels = fresh(GATED)
        async with talk(stub) as t:
            await t.start()
            for index in range(3):
                await t.frame(index, pixels if index == 0 else None)
            await eventually(lambda: gate.lines("step", pixels), "it is in the model")
        await freed(stub, gate, 1)  # although the gate is closed
        assert len(gate.lines("frame")) == 1


async def test_a_deadline_ends_a_session(tmp_path: Path) -> None:
    async with gated(tmp_path) as (gate, stub, _), talk(stub, timeout=1) as t:
        await t.start()
        error = await error_of(t.rest())
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await freed(stub, gate, 1)


# A frame that an engine ended over is not to be sent to the next one: its session is not resumed.
@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [
        ("kill", grpc.StatusCode.ABORTED, "SESSION_LOST"),
        ("crash", grpc.StatusCode.INTERNAL, "MODEL_FAILED"),
    ],
)
async def test_a_lost_engine_ends_its_sessions(
    tmp_path: Path, how: str, code: grpc.StatusCode, reason: str
) -> None:
    async with gated(tmp_path) as (_, stub, service), talk(stub) as t:
        await t.start()
        await t.frame(0)
        await t.read()
        if how == "kill":
            assert service.supervisor.engine
            os.kill(service.supervisor.engine.pid, signal.SIGKILL)
        else:
            await t.frame(1, picture(CRASH))
        error = await error_of(t.rest())
        assert error.code() is code
        assert error_info(error).reason == reason
        assert (await stats(stub)).session_count == 0
        await service.ready(60)
        async with talk(stub) as again:
            assert (await again.start()).HasField("started")


async def test_a_frame_that_hangs_costs_the_engine(tmp_path: Path) -> None:
    async with gated(tmp_path, step_timeout_s=1) as (_, stub, _), talk(stub) as t:
        await t.start()
        await t.frame(0, picture(HANG))
        error = await error_of(t.rest())
        assert error_info(error).reason == "MODEL_FAILED"


async def test_a_flood_is_held_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Who reads decides how much may be sent, so it is the server whose windows must not grow.
    options = serving.SERVER_OPTIONS + SMALL_WINDOWS
    monkeypatch.setattr(serving, "SERVER_OPTIONS", options)
    async with (
        gated(tmp_path) as (gate, stub, service),
        small_windows(service.port) as channel,
        talk(Stub(channel)) as t,
    ):
        await t.start()
        large = np.random.default_rng(0).integers(0, 255, (1200, 1600, 3), dtype=np.uint8)
        large[0, 0] = GATED
        encoded = png(large)  # 5 MB
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for index in range(20):
                await t.frame(index, encoded)
                sent += 1

        flooding = asyncio.create_task(flood())
        await eventually(lambda: gate.lines("step"), "the first one is in the model")
        (stream,) = service.servicer.videos._streams
        await eventually(lambda: stream.messages == 4, "four are read")
        for _ in range(20):
            await stats(stub)
            await asyncio.sleep(0.01)
        assert stream.messages == 4
        assert sent < 10
        gate.open()
        await asyncio.gather(flooding, asyncio.create_task(read(t, 20)))
        assert stream.messages == 20


async def read(t: Talk, count: int) -> list[pb.SegmentVideoResponse]:
    return [await t.read() for _ in range(count)]


async def test_a_client_that_does_not_read_is_held_back(tmp_path: Path) -> None:
    async with (
        gated(tmp_path, frames_in_flight=2, session_idle_s=3) as (gate, _, service),
        small_windows(service.port) as channel,
        talk(Stub(channel)) as t,
    ):
        polygons = pb.MaskEncoding.MASK_ENCODING_POLYGONS  # the largest answers
        await t.start(output=pb.OutputOptions(mask_encoding=polygons))
        (stream,) = service.servicer.videos._streams
        await t.frame(0)
        prompt = pb.ObjectPrompt(mask=pb.MaskPrompt(mask=pb.Mask(png=noisy_mask())))
        for object_id in range(4):
            await t.prompt(object_id, 0, prompt)
        frames = asyncio.create_task(send_frames(t, 400))
        last = -1

        async def settled() -> bool:
            nonlocal last
            before, last = last, stream.messages
            await asyncio.sleep(0.1)
            return before == last

        await eventually(settled)
        assert stream.messages < 400
        assert stream._channel._replies.qsize() <= 2
        frames.cancel()
        # Such a client is idle, too.
        await freed(Stub(channel), gate, 1)


async def send_frames(t: Talk, count: int) -> None:
    for index in range(1, count):
        await t.frame(index)


def noisy_mask() -> bytes:
    return Mask.from_array(np.random.default_rng(0).random((48, 64)) > 0.5).to_png()


async def test_images_and_sessions_do_not_starve_each_other(tmp_path: Path) -> None:
    async with gated(tmp_path) as (gate, stub, _), talk(stub) as t:
        await t.start()
        # An image request that stays in the model does not keep frames waiting.
        _, slow = await gate.occupy(stub)
        for index in range(5):
            await t.frame(index)
            assert (await t.read()).frame.frame_index == index
        assert not slow.done()
        # Nor does another one that is decoded ahead of it and blocks the decoder of pictures.
        others = [ask(stub.Segment(automatic_request(png(fresh())))) for _ in range(3)]
        await t.frame(7)
        assert (await t.read()).frame.frame_index == 7
        gate.open()
        await asyncio.gather(slow, *others)
        # A frame that stays in the model keeps neither images nor other sessions waiting.
        gate.close()
        pixels = fresh(GATED)
        await t.frame(8, pixels)
        await eventually(lambda: gate.lines("step", pixels))
        assert (await stub.Segment(automatic_request(png(fresh())))).segments
        assert (await stub.Segment(point_request(png(fresh())))).segments
        async with talk(stub) as other:
            await other.start()
            await other.frame(0)
            await other.read()
        gate.open()
        assert (await t.read()).frame.frame_index == 8


async def test_two_hundred_sessions_leave_nothing_behind(tmp_path: Path) -> None:
    async with gated(tmp_path) as (gate, stub, service):

        async def one(number: int) -> None:
            async with talk(stub) as t:
                await t.start()
                await t.frame(0)
                await t.point(1, 0)
                if number % 2:
                    await t.done()
                else:
                    await t.frame(1, b"broken")
                    assert reason([await t.read() for _ in range(3)][-1])

        for _ in range(25):
            await asyncio.gather(*(one(number) for number in range(8)))
            await freed_count(stub)
        assert len(gate.lines("close")) == 200
        assert service.supervisor.engine
        assert not service.supervisor.engine._sessions
        assert not service.servicer.videos._streams


async def freed_count(stub: Stub) -> None:
    async def none() -> bool:
        return (await stats(stub)).session_count == 0

    await eventually(none)
