"""The video session of ``AsyncClient``; ``_video_session`` is its twin."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray

from .._arguments import BoxLike, PointLike
from .._transport.asynchronous import AsyncTransport, read
from .._transport.calls import Patience
from .._transport.timeouts import DEFAULT
from .._types.checkpoint import VideoCheckpoint
from .._types.errors import (
    DeadlineExceededError,
    DiptychError,
    RequestCancelledError,
    SessionLostError,
)
from .._types.prompts import Prompt
from .._types.video import VideoEvent, VideoOptions, VideoRefusal
from ..masks.mask import Mask
from ..segment import v1 as pb
from ..wire.streams import StreamEnd
from ..wire.video import read_video_event
from .base import BaseVideoSession
from .frames import FrameLike, encode_frame, frame_index
from .state import make_prompt

if TYPE_CHECKING:
    from typing_extensions import Self


class AsyncVideoSession(BaseVideoSession):
    """Objects followed through a stream of frames; made by ``video`` of a client.

    Open inside its ``with`` block. Iterate it for results, one per frame and more after each
    correction, while you send and prompt, from the same or another thread or task. ``send`` waits
    while ``limits.max_frames_in_flight`` frames have no result that was taken: whoever
    sends and reads in turn should use ``track``, or take a result for each frame.
    """

    def __init__(self, wire: AsyncTransport, options: VideoOptions) -> None:
        super().__init__(wire, options)
        self._wire = wire
        self._waiting: list[asyncio.Future[None]] = []
        self._reading = asyncio.Lock()
        self._next_message: asyncio.Task[Any] | None = None
        self._end: StreamEnd
        self._messages: AsyncIterator[pb.SegmentVideoResponse]

    async def send(self, frame: FrameLike, index: int | None = None) -> int:
        """Sends the next frame and returns its index; waits while too many are unanswered.

        Indexes grow; without one it is that of a ``VideoFrame``, else the last plus 1. All frames
        have one size.

        Raises:
            DiptychError: the session has failed.
            ValueError, TypeError, OSError: the frame or its index cannot be used.
        """
        encoded = await asyncio.to_thread(encode_frame, frame, self._options.jpeg_quality)
        return await self._send(encoded, frame_index(frame, index))

    async def prompt(
        self,
        object_id: int,
        *,
        points: Sequence[PointLike] = (),
        box: BoxLike | None = None,
        mask: Mask | NDArray[np.bool_] | None = None,
        frame_index: int | None = None,
    ) -> int:
        """Says where an object is, on the newest frame or a held one; returns the frame's index.

        Later prompts for the same object and frame replace earlier ones. That frame and those after
        it are answered again, with higher revisions. Never waits.

        Args:
            object_id: chosen by the caller, not reused after ``remove``. Range [0, 2**30).
            points: ``(x, y)`` or ``(x, y, positive)``, in pixels.
            box: ``(x_min, y_min, x_max, y_max)`` in pixels.
            mask: instead of points and box, as large as the frames.
            frame_index: one of the newest ``limits.held_frames`` frames.

        Raises:
            DiptychError: the session has failed.
            ValueError, TypeError: there is no frame yet, or an argument cannot be used.
        """
        return await self._prompt(object_id, frame_index, make_prompt(points, box, mask))

    async def remove(self, object_id: int) -> None:
        """Stops tracking an object. Never waits.

        Raises:
            DiptychError: the session has failed.
        """
        await self._check_open()
        self._post(self._state.removal(object_id))

    async def track(self, frames: Iterable[FrameLike]) -> AsyncIterator[VideoEvent]:
        """Sends all frames and yields what comes, in turn, then finishes; reads no frame early.

        The first result is yielded when as many frames as may be in flight were sent.
        """
        for frame in frames:
            while not self._state.has_room:
                yield await self.__anext__()
            await self.send(frame)
        async for event in self.finish():
            yield event

    def finish(self) -> Self:
        """Says that nothing more is sent. Iterating, of the session or of what this returns, ends
        after the last result."""
        self._finished = True
        self._notify()
        return self

    async def aclose(self) -> None:
        """Ends the session at once; the server frees it. Leaving the block does this."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()
        if self._next_message is not None:
            await asyncio.gather(self._next_message, return_exceptions=True)
        self._ended()

    async def __aenter__(self) -> Self:
        if self._call is not None:
            raise RuntimeError("a session is opened once; make another")
        self._deadline = self._wire.deadline(self._options.timeout)
        self._opening = self._wire.deadline(DEFAULT)
        patience = Patience(self._opening)
        try:
            while (wait_s := await self._begin(patience)) is not None:
                await asyncio.sleep(wait_s)
                self._start_over()
            if self._options.checkpoint is not None:
                await self._replay(self._options.checkpoint)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> VideoEvent:
        async with self._reading:
            event = self._pending.popleft() if self._pending else await self._next_event()
        if event is None:
            raise StopAsyncIteration
        if isinstance(event, VideoRefusal) and self._options.raise_refusals:
            raise event.error
        return event

    async def _send(self, encoded: bytes, index: int | None) -> int:
        self._check_opened()
        # Checked again after each wait: another task may have taken the place.
        await self._wait_for(lambda: self._over or self._finished or self._state.has_room)
        await self._check_open()
        message = self._state.frame(encoded, index)
        self._post(message)
        return message.frame.frame_index

    async def _prompt(self, object_id: int, index: int | None, prompt: Prompt) -> int:
        await self._check_open()
        message = self._state.prompt(object_id, index, prompt)
        self._post(message, prompt)
        return message.prompt.frame_index

    def _post(self, message: pb.SegmentVideoRequest, prompt: Prompt | None = None) -> None:
        self._wire.check(message)
        self._state.sent(message, prompt)
        self._outbox.append(message)
        self._notify()

    async def _check_open(self) -> None:
        self._check_opened()
        if self._over and self._failure is None:
            await self._check_status()
        self._check_not_ended()

    async def _check_status(self) -> None:
        """Notes how a call that is over has failed, if it has."""
        if (error := await self._end.error()) is not None:
            self._failed(error)

    async def _begin(self, patience: Patience) -> float | None:
        """Opens a call; seconds to wait before the next attempt if a server that stops refused."""
        outbox = self._outbox
        outbox.append(self._state.start())
        self._call = self._wire.open_video(self._requests(outbox), self._deadline)
        # Without this, whoever waits to send would not notice the end of the call.
        self._end = StreamEnd(self._call, lambda: self._ended(outbox))
        self._messages = self._call.__aiter__()
        try:
            await self._open()
        except DiptychError as error:
            wait_s = None if self._closed else patience.wait_s(error)
            if wait_s is None:
                raise
            return wait_s
        return None

    async def _requests(
        self, outbox: deque[pb.SegmentVideoRequest]
    ) -> AsyncIterator[pb.SegmentVideoRequest]:
        """What gRPC's own task sends, until the session is finished."""

        def over() -> bool:
            return self._over or outbox is not self._outbox

        while True:
            await self._wait_for(lambda: bool(outbox) or self._finished or over())
            if over() or not outbox:
                return
            yield outbox.popleft()

    async def _wait_for(self, happened: Callable[[], bool]) -> None:
        while not happened():
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting

    def _notify(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _ended(self, outbox: deque[pb.SegmentVideoRequest] | None = None) -> None:
        """Notes the end of the call that sends what is in ``outbox``; by default, of the last."""
        if outbox is not None and outbox is not self._outbox:
            return
        self._over = True
        self._outbox.clear()
        self._notify()

    async def _open(self) -> None:
        """Waits for the first answer, no longer than for that of any other call."""
        try:
            message = await asyncio.wait_for(self._read(), self._opening.left())
        except asyncio.TimeoutError as error:
            text = f"{self._wire.address}: no session within {self._opening.timeout:g} s"
            raise DeadlineExceededError(text) from error
        if message is None:
            raise SessionLostError(f"{self._wire.address}: the server ended the session at once")
        self._state.opened(message)

    async def _replay(self, checkpoint: VideoCheckpoint) -> None:
        """Sends held frames and their prompts again; what comes meanwhile is yielded later."""
        try:
            for index, encoded in checkpoint.frames:
                await self._take_until(lambda: self._state.has_room)
                await self._send(encoded, index)
                for held in checkpoint.prompts:
                    if held.frame_index == index:
                        await self._prompt(held.object_id, index, held.prompt)
            # The caller may send at once, as in a session that is new.
            await self._take_until(lambda: self._state.all_answered)
        except SessionLostError as error:
            error.checkpoint = checkpoint
            raise

    async def _take_until(self, happened: Callable[[], bool]) -> None:
        while not happened() and (event := await self._next_event()) is not None:
            self._pending.append(event)

    async def _next_event(self) -> VideoEvent | None:
        """The next thing for the caller; ``None`` at the end."""
        while (message := await self._read()) is not None:
            event = self._state.settle(message, await read(read_video_event, message))
            self._notify()
            if event is not None:
                return event
        return None

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
        try:
            message: pb.SegmentVideoResponse | None = reading.result()
        except grpc.aio.AioRpcError as failure:
            raise self._failed(failure) from failure
        if message is None:
            self._ended()
        return message

    async def _receive(self) -> pb.SegmentVideoResponse | None:
        """The next message; ``None`` at the end. A failure is the one that the server told."""
        try:
            async for message in self._messages:
                return message
        except grpc.aio.AioRpcError:
            if (error := await self._end.error()) is not None:
                raise error from None
        return None
