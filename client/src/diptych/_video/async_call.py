"""The calls of an ``AsyncVideoSession``; ``call`` is its twin."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import grpc
import grpc.aio

from .._transport.asynchronous import AsyncTransport
from .._transport.calls import Deadline, Patience
from .._types.errors import (
    DeadlineExceededError,
    DiptychError,
    RequestCancelledError,
    SessionLostError,
)
from .._types.video import VideoOptions
from ..segment import v1 as pb
from ..wire.streams import StreamEnd
from .base import BaseVideoSession


class VideoCall:
    """A stream: what waits to be sent in it, and what comes. ``on_end`` is told when it is over."""

    def __init__(
        self,
        wire: AsyncTransport,
        start: pb.SegmentVideoRequest,
        deadline: Deadline,
        on_end: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._deadline = deadline
        self._on_end = on_end
        self._outbox = deque([start])
        self._put = asyncio.Event()
        self._closing = False
        self.over = False
        """It has ended, well or not."""
        self._call = wire.open_video(self._requests(), deadline)
        # Without this, whoever waits to send would not notice the end of the call.
        self._end = StreamEnd(self._call, self._ended)
        self._messages = self._call.__aiter__()

    def put(self, message: pb.SegmentVideoRequest) -> None:
        """Sends a message after those before it, unless the call is over or half-closed."""
        if not self._closing and not self.over:
            self._outbox.append(message)
            self._put.set()

    def half_close(self, *, unsent: bool) -> None:
        """Sends nothing after what was put; with ``unsent`` not set, not that either."""
        self._closing = True
        if not unsent:
            self._outbox.clear()
        self._put.set()

    def cancel(self) -> None:
        """Ends it at once."""
        self._call.cancel()
        self._ended()

    async def open(self, limit: Deadline) -> pb.SegmentVideoResponse:
        """The first answer, waited for no longer than ``limit``.

        Raises:
            DiptychError: there is none.
        """
        try:
            message = await asyncio.wait_for(self.read(), limit.left())
        except asyncio.TimeoutError as error:
            text = f"{self._wire.address}: no session within {limit.timeout:g} s"
            raise DeadlineExceededError(text) from error
        if message is None:
            raise SessionLostError(f"{self._wire.address}: the server ended the session at once")
        return message

    async def read(self) -> pb.SegmentVideoResponse | None:
        """The next message; ``None`` at the end.

        Raises:
            DiptychError: what the call has failed with, as the server told it.
        """
        try:
            async for message in self._messages:
                return message
        except grpc.aio.AioRpcError as failure:
            error = await self.error()
            if error is not None:
                raise error from failure
        self._ended()
        return None

    async def error(self) -> DiptychError | None:
        """What the call, which is over, has failed with; ``None`` if it ended well."""
        error = await self._end.error()
        return None if error is None else self._wire.error(error, self._deadline)

    async def _requests(self) -> AsyncIterator[pb.SegmentVideoRequest]:
        """What gRPC's own task sends, until the call is half-closed."""
        while True:
            while not (self._outbox or self._closing or self.over):
                self._put.clear()
                await self._put.wait()
            if self.over or not self._outbox:
                return
            yield self._outbox.popleft()

    def _ended(self) -> None:
        self.over = True
        self._outbox.clear()
        self._put.set()
        self._on_end()


class SessionCalls(BaseVideoSession):
    """The calls of one session, each of which goes on where the one before was lost."""

    def __init__(self, wire: AsyncTransport, options: VideoOptions) -> None:
        super().__init__(wire, options)
        self._wire = wire
        self._waiting: list[asyncio.Future[None]] = []
        self._next_message: asyncio.Task[pb.SegmentVideoResponse | None] | None = None
        self._call: VideoCall | None = None
        self._opening: VideoCall | None = None
        self._next: tuple[VideoCall, pb.SegmentVideoResponse] | None = None

    async def _pause(self, seconds: float) -> None:
        """Raises ``RequestCancelledError`` if the session is closed before."""
        pause = Deadline(seconds)
        while not self._closed and (left := pause.left()):
            await asyncio.wait([self._change()], timeout=left)
        if self._closed:
            raise RequestCancelledError("the session was closed")

    async def _begin(self, opening: Deadline, patience: Patience) -> float | None:
        """Opens the session; seconds to wait before the next attempt if a server that stops
        refused."""
        try:
            self._call, started = await self._open(opening)
        except DiptychError as error:
            wait_s = None if self._closed else patience.wait_s(error)
            if wait_s is None:
                raise
            return wait_s
        self._state.opened(started)
        return None

    async def _open(self, limit: Deadline) -> tuple[VideoCall, pb.SegmentVideoResponse]:
        """A call and its first answer."""
        start = self._state.start()
        self._opening = call = VideoCall(self._wire, start, self._deadline, self._notify)
        try:
            return call, await call.open(limit)
        except BaseException:
            call.cancel()
            raise
        finally:
            self._opening = None

    def _ended(self) -> None:
        """Notes that nothing more is sent or comes."""
        self._over = True
        self._notify()

    async def _read(self) -> pb.SegmentVideoResponse | None:
        if self._call is None:
            raise RuntimeError("the session is not open: use it in its with block")
        if self._failure is not None:
            raise self._failure
        # In a task of its own: grpcio ends the whole call when a read is cancelled, and a caller
        # that waits for a result with a time limit does not mean that.
        reading = self._next_message or asyncio.ensure_future(self._receive())
        self._next_message = reading
        await asyncio.wait([reading])
        self._next_message = None
        if reading.cancelled():
            self._failure = self._failure or RequestCancelledError("the session was closed")
            raise self._failure
        return reading.result()

    async def _receive(self) -> pb.SegmentVideoResponse | None:
        """The next message of the call, or of the one that the session goes on in."""
        while True:
            assert self._call is not None
            if self._next is None and (limit := self._hand_over_limit()) is not None:
                await self._hand_over(limit)
            try:
                message = await self._call.read()
            except DiptychError as error:
                if self._finished and self._state.all_answered:
                    message = None  # it had nothing more to say
                else:
                    if self._next is None:
                        await self._resume(error)
                    else:
                        self._take_next()
                    continue
            if message is not None:
                return message
            if self._next is None:
                self._ended()
                return None
            self._take_next()

    async def _hand_over(self, limit: Deadline) -> None:
        """Opens another call beside one that will end, which then only answers what it has."""
        try:
            opened = await self._open(limit)
        except DiptychError:
            return  # not there yet: the end itself leaves more time
        self._next = opened
        assert self._call is not None
        self._call.half_close(unsent=False)

    def _take_next(self) -> None:
        assert self._next is not None
        (self._call, started), self._next = self._next, None
        self._go_on(self._call, started)
        self._notify()

    async def _resume(self, lost: DiptychError) -> None:
        """Goes on in another call after the loss of one.

        Raises:
            DiptychError: the session ends here.
        """
        limit = self._begin_resume(lost)
        if limit is None:
            raise self._failed(lost) from lost.__cause__
        error = lost
        while (wait_s := self._wait_s(error, limit)) is not None:
            await self._pause(wait_s)
            try:
                self._next = await self._open(limit)
            except DiptychError as failure:
                error = failure
                continue
            self._take_next()
            return
        raise self._gave_up(lost, error) from error

    def _change(self) -> asyncio.Future[None]:
        """Done when something is different."""
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(changed)
        return changed

    def _notify(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
