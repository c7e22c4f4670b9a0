"""A session that the model ends while the gateway writes: the client is told the model's reason."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import numpy as np
import pytest
from serving_helpers import CHANNEL_OPTIONS, error_info
from socket_talk import socket_talk
from websockets.exceptions import ConnectionClosed

from diptych import AsyncClient, DiptychError
from diptych.segment import v1 as pb
from diptych_runtime.engine import Reason, ServiceError

MiB = 1024 * 1024
SESSIONS = 60


def start() -> pb.SegmentVideoRequest:
    return pb.SegmentVideoRequest(seq=1, start=pb.VideoStart(model_id="one"))


def frame(seq: int, size: int) -> pb.SegmentVideoRequest:
    data = pb.VideoFrame(frame_index=seq, encoded=bytes(size))
    return pb.SegmentVideoRequest(seq=seq, frame=data)


def opened() -> pb.SegmentVideoResponse:
    return pb.SegmentVideoResponse(
        started=pb.VideoStarted(held_frames=1, max_objects=1, max_frames_in_flight=8)
    )


async def full(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
    """Refuse every session; the frames behind its start are never read."""
    await anext(requests)
    raise ServiceError(Reason.SESSION_LIMIT, "expected at most 1 video session")
    yield


class Caller:
    """A session of a client whose own writes hide no status: grpcio without asyncio."""

    def __init__(self, address: str, size: int) -> None:
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        requests = [start(), *(frame(seq, size) for seq in range(2, 5))]
        self._call = pb.SegmentServiceStub(self._channel).SegmentVideo(iter(requests), timeout=30)

    async def read(self) -> None:
        await asyncio.to_thread(next, self._call)

    async def end(self) -> tuple[str, str]:
        """The code and the reason that it ends with."""
        return await asyncio.to_thread(self._end)

    def _end(self) -> tuple[str, str]:
        with self._channel, suppress(grpc.RpcError):
            for _ in self._call:
                pass
        return self._call.code().name, error_info(self._call).reason


@pytest.mark.parametrize("size", [100, 100_000, 4 * MiB])
async def test_a_refusal_reaches_a_client_that_still_sends(
    stage: Any, open_model: Any, size: int
) -> None:
    await open_model(full)
    ends = Counter([await Caller(stage.address, size).end() for _ in range(SESSIONS)])
    assert set(ends) == {("RESOURCE_EXHAUSTED", "SESSION_LIMIT")}, ends


async def test_a_refusal_reaches_a_websocket_that_still_sends(stage: Any, open_model: Any) -> None:
    await open_model(full)
    ends: Counter[str] = Counter()
    for _ in range(SESSIONS):
        async with socket_talk(stage.gateway.http_port) as talk:
            await talk.say("start", model="one")
            with suppress(ConnectionClosed):
                for index in range(3):
                    await talk.frame(index, bytes(100_000))
            answers, code = await talk.end()
            ends[f"{answers[-1]['problem']['reason']} {code}"] += 1
    assert set(ends) == {"SESSION_LIMIT 4429"}, ends


async def test_a_refusal_reaches_the_async_client_that_still_sends(
    stage: Any, open_model: Any
) -> None:
    release = asyncio.Event()

    async def ends_later(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await anext(requests)
        yield opened()
        await release.wait()
        raise ServiceError(Reason.SESSION_EXPIRED, "idle")

    model, _ = await open_model(ends_later)
    noise = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), dtype=np.uint8)
    ends: Counter[str] = Counter()
    async with AsyncClient(model.address) as client:
        for _ in range(8):
            release.clear()
            async with client.video(model="one") as session:
                for _ in range(4):
                    await session.send(noise)
                release.set()
                with pytest.raises(DiptychError) as caught:
                    await anext(session)
                ends[caught.value.reason] += 1
    assert set(ends) == {"SESSION_EXPIRED"}, ends


async def test_a_model_that_vanishes_under_a_write_loses_the_session(
    stage: Any, open_model: Any
) -> None:
    async def reads_nothing(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await anext(requests)
        yield opened()
        await asyncio.sleep(60)

    model, _ = await open_model(reads_nothing)
    ends: Counter[tuple[str, str]] = Counter()
    for _ in range(6):
        await stage.until(lambda: stage.reachable() == {"one"})
        caller = Caller(stage.address, 4 * MiB)
        await caller.read()
        await stage.until(lambda: model.running == 1)
        await model.stop()
        ends[await caller.end()] += 1
        await stage.until(lambda: not stage.reachable())
        await model.start()
    assert set(ends) == {("ABORTED", "SESSION_LOST")}, ends
