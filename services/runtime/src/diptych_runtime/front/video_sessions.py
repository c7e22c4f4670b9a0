"""``SegmentVideo``: one stream is one session in the engine process.

The front reads no message before there is room for its answer, so a client that floods, or does not
read, is held back by HTTP/2 and costs no memory. Messages go to the engine process as they came;
what is refused here goes there too, so that answers stay in the order of the messages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError

from diptych.segment import v1 as pb
from diptych.wire.fields import SMALL_BYTES
from diptych.wire.requests import read_checked
from diptych.wire.video import going_away_reply, refusal_reply

from ..calls import log_fields, request_id
from ..engine.errors import Reason, ServiceError, draining, unreadable
from ..settings import RuntimeSettings
from ..wire.video_checks import check_event, check_follows, check_start
from .session_channel import SessionChannel
from .supervisor import Supervisor

_RETRY_S = 5.0

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]


class VideoSessions:
    """The sessions of one service."""

    def __init__(self, supervisor: Supervisor, settings: RuntimeSettings) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._streams: set[_Stream] = set()
        self._draining = False
        self.count = 0
        """Sessions that are open, or not freed yet."""
        self._ended_model_s = 0.0

    @property
    def model_s(self) -> float:
        """Seconds that the model worked for sessions, those that have ended among them."""
        return self._ended_model_s + sum(stream.model_s for stream in self._streams)

    def go_away(self, grace_s: float) -> None:
        """Warn all clients that their session will be closed, and open no other."""
        self._draining = True
        for stream in self._streams:
            stream.go_away(grace_s)

    async def serve(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Serve one stream of serialised messages, from ``start`` to its end.

        Raises:
            ServiceError: what the call ends with, if not with OK.
        """
        card = self._card()
        check_follows(card)
        raw = await _first(requests, self._settings.session_idle_s)
        await _off_loop(raw, lambda: check_start(_parsed(raw), card))
        log_fields(task="video-segmentation")
        engine = await self._supervisor.wait_ready(self._time_limit(context))
        channel = engine.open_session(raw, request_id=request_id(), on_released=self._admit())
        stream = _Stream(channel, card, self._settings)
        try:
            # The first reply says that the session is open, or why not.
            opened = await channel.next()
            assert opened is not None
            self._streams.add(stream)
            await stream.serve(opened.body, requests, context)
        except ServiceError as error:
            if stream in self._streams and error.reason is Reason.ENGINE_LOST:
                text = "the engine was lost, and the session with it; open another one"
                raise ServiceError(Reason.SESSION_LOST, text) from error
            raise
        finally:
            self._streams.discard(stream)
            self._ended_model_s += channel.model_s
            channel.drop()
            log_fields(messages=stream.messages, session_bytes=channel.nbytes)

    def _card(self) -> pb.ModelCard:
        if self._supervisor.card is None:
            raise self._supervisor.not_ready()
        return self._supervisor.card

    def _time_limit(self, context: Context) -> float:
        left, most = context.time_remaining(), self._settings.default_deadline_s
        return most if left is None else min(left, most)

    def _admit(self) -> Callable[[], None]:
        """Count one more session; returns what counts it off again."""
        if self._draining:
            raise draining()
        if self.count >= self._settings.max_sessions:
            raise ServiceError(
                Reason.SESSION_LIMIT,
                f"expected at most {self._settings.max_sessions} video sessions at a time; "
                "try again later",
                metadata={"maxSessions": str(self._settings.max_sessions)},
                retry_after_s=_RETRY_S,
            )
        self.count += 1

        def release() -> None:
            self.count -= 1

        return release


class _Stream:
    """One open session and its client."""

    def __init__(
        self, channel: SessionChannel, card: pb.ModelCard, settings: RuntimeSettings
    ) -> None:
        self._channel = channel
        self._card = card
        self._idle_s = settings.session_idle_s
        self._room = asyncio.Semaphore(settings.frames_in_flight)
        self._active = time.monotonic()
        self.messages = 0

    @property
    def model_s(self) -> float:
        return self._channel.model_s

    def go_away(self, grace_s: float) -> None:
        self._channel.push(going_away_reply(grace_s).SerializeToString())

    async def serve(self, opened: bytes, requests: AsyncIterator[bytes], context: Context) -> None:
        """Say that it is open, and relay until the client sends no more and everything is
        answered."""
        writing = asyncio.create_task(self._write(opened, context))
        others = [
            asyncio.create_task(self._read(requests)),
            asyncio.create_task(self._expire()),
        ]
        waiting = {writing, *others}
        try:
            while writing in waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in (writing, *others):
                task.cancel()
            await asyncio.gather(writing, *others, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        while True:
            await self._room.acquire()
            raw = await anext(requests, None)
            if raw is None:
                break
            received = self._active = time.monotonic()
            self.messages += 1
            refusal = await _off_loop(raw, partial(self._check, raw))
            op = "event" if refusal is None else "refusal"
            self._channel.send(op, raw if refusal is None else refusal, received=received)
        self._channel.send("close", received=time.monotonic())

    def _check(self, raw: bytes) -> bytes | None:
        """Make the serialised reply to a message that is refused; ``None`` for a good one."""
        request = _parsed(raw)
        try:
            check_event(request, self._card)
        except ServiceError as error:
            return refusal_reply(request, error.to_status(request_id())).SerializeToString()
        return None

    async def _write(self, opened: bytes, context: Context) -> None:
        await context.write(opened)
        while reply := await self._channel.next():
            self._active = time.monotonic()
            await context.write(reply.body)
            self._active = time.monotonic()
            if reply.last:
                self._room.release()

    async def _expire(self) -> None:
        """End the session of a client that neither sends anything nor takes its answers."""
        while (left := self._active + self._idle_s - time.monotonic()) > 0:
            await asyncio.sleep(left)
            if self._channel.unanswered:
                self._active = time.monotonic()
        text = f"the session was closed after {self._idle_s:g} s without a message"
        raise ServiceError(Reason.SESSION_EXPIRED, text)


async def _off_loop(raw: bytes, read: Callable[[], T]) -> T:
    """Read a message, a large one in a thread: it would stall other requests."""
    return await asyncio.to_thread(read) if len(raw) > SMALL_BYTES else read()


def _parsed(raw: bytes) -> pb.SegmentVideoRequest:
    try:
        return read_checked(pb.SegmentVideoRequest, raw)
    except DecodeError as error:
        raise unreadable(raw) from error


async def _first(requests: AsyncIterator[bytes], idle_s: float) -> bytes:
    try:
        async with asyncio.timeout(idle_s):
            first = await anext(requests, None)
    except TimeoutError as error:
        text = f"expected start, got nothing for {idle_s:g} s"
        raise ServiceError(Reason.SESSION_EXPIRED, text) from error
    if first is None:
        raise ServiceError(Reason.SESSION_ORDER, "expected start as the first message, got none")
    return first
