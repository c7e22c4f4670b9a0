"""One call of an ``AsyncVideoSession``; ``call`` is its twin."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import grpc
import grpc.aio

from .._transport.asynchronous import AsyncTransport
from .._transport.calls import Deadline
from .._types.errors import DeadlineExceededError, DiptychError, SessionLostError
from ..segment import v1 as pb
from ..wire.streams import StreamEnd


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
