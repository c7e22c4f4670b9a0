"""One stream of a test: sends messages, reads answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
from google.rpc import error_details_pb2
from serving_helpers import picture, png

from diptych.segment import v1 as pb

FOREGROUND = pb.PointLabel.POINT_LABEL_FOREGROUND
BACKGROUND = pb.PointLabel.POINT_LABEL_BACKGROUND


class Talk:
    """One ``SegmentVideo`` call; ``seq`` counts up by itself."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.seq = 0

    async def send(self, **event: Any) -> int:
        """Send one message; returns its seq."""
        self.seq += 1
        await self.call.write(pb.SegmentVideoRequest(seq=self.seq, **event))
        return self.seq

    async def start(self, **fields: Any) -> pb.SegmentVideoResponse:
        """Open the session; returns the answer."""
        await self.send(start=pb.VideoStart(**fields))
        return await self.read()

    async def frame(self, index: int, pixels: np.ndarray | bytes | None = None) -> int:
        """Send a frame, of noise if not given; returns the seq."""
        if pixels is None:
            pixels = picture(seed=index)
        encoded = pixels if isinstance(pixels, bytes) else png(pixels)
        return await self.send(frame=pb.VideoFrame(frame_index=index, encoded=encoded))

    async def point(self, object_id: int, index: int, x: float = 20, y: float = 20) -> int:
        """Send a prompt of one point; returns the seq."""
        prompt = pb.ObjectPrompt()
        prompt.points.add(x_px=x, y_px=y, label=FOREGROUND)
        return await self.prompt(object_id, index, prompt)

    async def prompt(self, object_id: int, index: int, prompt: pb.ObjectPrompt) -> int:
        """Send a prompt; returns the seq."""
        return await self.send(
            prompt=pb.VideoPrompt(object_id=object_id, frame_index=index, prompt=prompt)
        )

    async def remove(self, object_id: int) -> int:
        """Send a removal; returns the seq."""
        return await self.send(removal=pb.VideoObjectRemoval(object_id=object_id))

    async def read(self) -> pb.SegmentVideoResponse:
        """The next answer."""
        async with asyncio.timeout(60):
            answer: Any = await self.call.read()
        assert answer is not grpc.aio.EOF, await self.call.code()
        return answer  # type: ignore[no-any-return]

    async def rest(self) -> list[pb.SegmentVideoResponse]:
        """Everything until the stream ends; raises what it ends with."""
        async with asyncio.timeout(60):
            return [answer async for answer in _until_end(self.call)]

    async def done(self) -> list[pb.SegmentVideoResponse]:
        """Half-close, then everything until the end."""
        await self.call.done_writing()
        return await self.rest()


async def _until_end(call: Any) -> AsyncIterator[pb.SegmentVideoResponse]:
    while (answer := await call.read()) is not grpc.aio.EOF:
        yield answer
    if await call.code() is not grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(
            await call.code(),
            await call.initial_metadata(),
            await call.trailing_metadata(),
            await call.details(),
        )


@asynccontextmanager
async def talk(stub: pb.SegmentServiceStub, **options: Any) -> AsyncIterator[Talk]:
    """A stream that is cancelled at the end if it still runs."""
    call: Any = stub.SegmentVideo(**options)
    try:
        yield Talk(call)
    finally:
        call.cancel()


def reason(answer: pb.SegmentVideoResponse) -> str:
    """The reason of a message refused in band; empty if it was not."""
    info = error_details_pb2.ErrorInfo()
    for detail in answer.error.status.details:
        detail.Unpack(info)
    found: str = info.reason
    return found
