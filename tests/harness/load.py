"""Load that does not wait for answers; each call is counted by its end and whose answer it got."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import fake_engine
import grpc
import numpy as np
from serving_helpers import CHANNEL_OPTIONS, error_info, picture, png

from diptych.segment import v1 as pb
from diptych.wire.streams import StreamEnd
from diptych_runtime.front.stats import quantile

_FOREGROUND = pb.PointLabel.POINT_LABEL_FOREGROUND
_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]


@dataclass(frozen=True)
class Picture:
    """A file, the digest that stands for it, and the label that the fake engine gives it."""

    encoded: bytes
    mark: str
    sha256: bytes


def pictures(
    count: int, *, first: int = 0, corner: tuple[int, int, int] = (0, 0, 0)
) -> list[Picture]:
    """Small pictures that all differ, in pixels and size."""
    made = []
    for seed in range(first, first + count):
        pixels: np.ndarray = picture(corner, (40 + seed % 17, 60 + seed % 23), seed)
        encoded = png(pixels)
        mark = fake_engine.watermark(pixels)
        made.append(Picture(encoded, mark, hashlib.sha256(encoded).digest()))
    return made


@dataclass(frozen=True)
class Outcome:
    """How one call ended."""

    kind: str
    began: float
    ended: float
    code: str
    """Name of the gRPC code, or the number of the HTTP status."""
    reason: str = ""
    """Of the ErrorInfo; what gRPC said itself is in ``text``."""
    wrong: bool = False
    """It was OK and held somebody else's answer."""
    text: str = ""
    mark: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def ok(self) -> bool:
        return self.code in ("OK", "200") and not self.wrong


@dataclass
class Tally:
    """All outcomes of some load."""

    outcomes: list[Outcome] = field(default_factory=list)
    offered: int = 0
    lag_s: float = 0.0
    """How late the load generator was at worst; above 50 ms it measures itself."""
    unfinished: int = 0
    """Calls that did not end within the time that was left to them."""
    began: float = 0.0
    ended: float = 0.0

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def codes(self) -> Counter[str]:
        """Outcomes by code and reason, as ``RESOURCE_EXHAUSTED/QUEUE_FULL``."""
        return Counter(f"{o.code}/{o.reason}" if o.reason else o.code for o in self.outcomes)

    @property
    def ok(self) -> int:
        return sum(outcome.ok for outcome in self.outcomes)

    @property
    def wrong(self) -> int:
        return sum(outcome.wrong for outcome in self.outcomes)

    def rate(self) -> float:
        """Good answers per second."""
        return self.ok / max(self.ended - self.began, 1e-9)

    def latency(self, q: float, *, ok: bool = True) -> float:
        """A quantile in seconds, of the good answers or of all others; 0 if there are none."""
        seconds = [outcome.seconds for outcome in self.outcomes if outcome.ok is ok]
        return quantile(sorted(seconds), q) if seconds else 0.0


@asynccontextmanager
async def channel_to(port: int) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of its own, that comes back quickly after the peer was lost."""
    own = ("grpc.use_local_subchannel_pool", 1)
    options = [*CHANNEL_OPTIONS, *_RECONNECT, own]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield channel


class Caller:
    """Asks for pictures through one connection and judges what comes."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        model: str = "",
        deadline_s: float = 5.0,
        token: str = "",
    ) -> None:
        self._segment = pb.SegmentServiceStub(channel)
        self._gateway = pb.GatewayServiceStub(channel)
        self._model = model
        self._deadline_s = deadline_s
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def request(
        self, picture: Picture, *, prompt: bool = False, digest: bool = False
    ) -> pb.SegmentRequest:
        """The request for a picture, by its bytes or its digest."""
        image = pb.Image(sha256=picture.sha256) if digest else pb.Image(encoded=picture.encoded)
        kind = "PROMPTED" if prompt else "INSTANCE"
        task = pb.Task.Value(f"TASK_{kind}_SEGMENTATION")
        request = pb.SegmentRequest(model_id=self._model, image=image, task=task)
        if prompt:
            request.prompts.add().points.add(x_px=9, y_px=9, label=_FOREGROUND)
        return request

    async def segment(
        self, picture: Picture, *, prompt: bool = False, digest: bool = False
    ) -> Outcome:
        """``Segment``."""
        request = self.request(picture, prompt=prompt, digest=digest)

        async def ask() -> list[str]:
            answer = await self._segment.Segment(
                request, timeout=self._deadline_s, metadata=self._metadata
            )
            return [segment.label for segment in answer.segments]

        return await self._judged("prompt" if prompt else "segment", picture, ask)

    async def compare(self, picture: Picture) -> Outcome:
        """``Compare``; a model that failed in it is no failure of the call."""
        request = pb.CompareRequest(request=self.request(picture))
        request.request.model_id = ""

        async def ask() -> list[str]:
            answer = await self._gateway.Compare(
                request, timeout=self._deadline_s, metadata=self._metadata
            )
            return [s.label for result in answer.results for s in result.response.segments]

        return await self._judged("compare", picture, ask)

    async def stream_compare(self, picture: Picture) -> Outcome:
        """``StreamCompare``, likewise."""
        compare = pb.CompareRequest(request=self.request(picture))
        compare.request.model_id = ""

        async def ask() -> list[str]:
            found: list[str] = []
            request = pb.StreamCompareRequest(compare=compare)
            async for event in self._gateway.StreamCompare(
                request, timeout=self._deadline_s, metadata=self._metadata
            ):
                found += [segment.label for segment in event.result.response.segments]
            return found

        return await self._judged("stream_compare", picture, ask)

    async def video(self, frames: Sequence[Picture]) -> Outcome:
        """One session: a prompt on the first frame, then the others."""

        async def ask() -> list[str]:
            wrong: list[str] = []
            call = self._segment.SegmentVideo(timeout=self._deadline_s, metadata=self._metadata)
            end = StreamEnd(call)
            try:
                start = pb.VideoStart(model_id=self._model)
                await _said(call, pb.SegmentVideoRequest(seq=1, start=start))
                for index, frame in enumerate(frames):
                    sent = pb.VideoFrame(frame_index=index, encoded=frame.encoded)
                    message = pb.SegmentVideoRequest(seq=2 * index + 2, frame=sent)
                    wrong += _strangers(await _said(call, message), frame)
                    if index == 0:
                        prompt = pb.VideoPrompt(object_id=1, frame_index=0)
                        prompt.prompt.points.add(x_px=9, y_px=9, label=_FOREGROUND)
                        message = pb.SegmentVideoRequest(seq=3, prompt=prompt)
                        wrong += _strangers(await _said(call, message), frame)
                await call.done_writing()
                while await call.read() is not grpc.aio.EOF:
                    pass
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as failure:
                raise await end.error() or failure from failure
            finally:
                call.cancel()
            return wrong

        return await self._judged("video", frames[0], ask)

    async def _judged(
        self, kind: str, picture: Picture, ask: Callable[[], Awaitable[list[str]]]
    ) -> Outcome:
        began, code, reason, text, wrong = time.monotonic(), "OK", "", "", False
        try:
            wrong = any(label != picture.mark for label in await ask())
        except grpc.aio.AioRpcError as error:
            code, reason = error.code().name, error_info(error).reason
            text = error.details() or ""
        return Outcome(kind, began, time.monotonic(), code, reason, wrong, text, picture.mark)


def _strangers(answer: pb.SegmentVideoResponse, frame: Picture) -> list[str]:
    labels = [found.segment.label for found in answer.frame.segments]
    return ["of another frame" for label in labels if label != frame.mark]


async def _said(
    call: grpc.aio.StreamStreamCall, message: pb.SegmentVideoRequest
) -> pb.SegmentVideoResponse:
    """Send one message and read until it is answered; gives the last frame of the answer."""
    await call.write(message)
    frame = pb.SegmentVideoResponse()
    while True:
        answer = await call.read()
        if answer is grpc.aio.EOF:
            raise grpc.aio.AioRpcError(
                await call.code(),
                await call.initial_metadata(),
                await call.trailing_metadata(),
                await call.details(),
            )
        if answer.WhichOneof("event") in ("frame", "started"):
            frame = answer
        if answer.in_reply_to_seq == message.seq:
            return frame


async def open_loop(
    call: Callable[[int], Awaitable[Outcome]],
    *,
    rate: float,
    seconds: float,
    patience_s: float = 30.0,
    tally: Tally | None = None,
) -> Tally:
    """Begin ``rate`` calls each second for so long, whatever becomes of those before.

    ``call`` gets a running number. Calls that have not ended ``patience_s`` after the last was
    begun are cancelled and counted as unfinished.
    """
    found = tally or Tally()
    found.began = time.monotonic()
    tasks: set[asyncio.Task[None]] = set()

    async def one(number: int) -> None:
        found.add(await call(number))

    for number in range(int(rate * seconds)):
        due = found.began + number / rate
        if (left := due - time.monotonic()) > 0:
            await asyncio.sleep(left)
        found.lag_s = max(found.lag_s, time.monotonic() - due)
        found.offered += 1
        task = asyncio.create_task(one(number))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    found.ended = time.monotonic()
    found.unfinished = await _waited(tasks, patience_s)
    return found


async def closed_loop(
    call: Callable[[random.Random], Awaitable[Outcome]],
    *,
    callers: int,
    until: Callable[[Tally], bool],
    think_s: float = 0.0,
    seed: int = 1,
    patience_s: float = 30.0,
) -> Tally:
    """Callers that each ask again once they are answered, until the condition holds."""
    found = Tally(began=time.monotonic())

    async def caller(number: int) -> None:
        chance = random.Random(f"{seed}:{number}")
        while not until(found):
            found.offered += 1
            found.add(await call(chance))
            await asyncio.sleep(think_s)

    tasks = {asyncio.create_task(caller(number)) for number in range(callers)}
    while not until(found):
        await asyncio.sleep(0.05)
        if all(task.done() for task in tasks):
            break
    found.unfinished = await _waited(tasks, patience_s)
    found.ended = time.monotonic()
    return found


async def _waited(tasks: set[asyncio.Task[None]], seconds: float) -> int:
    """Wait for calls; cancels those that take longer and returns how many those were."""
    running = list(tasks)
    if not running:
        return 0
    done, late = await asyncio.wait(running, timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in done:
        task.result()
    return len(late)
