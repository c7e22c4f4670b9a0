"""The video session of ``AsyncClient``; ``_video_session`` is its twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._arguments import BoxLike, PointLike
from .._transport.asynchronous import AsyncTransport, read
from .._transport.calls import Patience
from .._transport.timeouts import DEFAULT
from .._types.checkpoint import VideoCheckpoint
from .._types.errors import SessionLostError
from .._types.prompts import Prompt
from .._types.video import VideoEvent, VideoOptions, VideoRefusal
from ..masks.mask import Mask
from ..segment import v1 as pb
from ..wire.video import read_video_event
from .async_call import SessionCalls
from .frames import FrameLike, encode_frame, frame_index
from .options import make_prompt

if TYPE_CHECKING:
    from typing_extensions import Self


class AsyncVideoSession(SessionCalls):
    """Objects followed through a stream of frames; made by ``video`` of a client.

    Open inside its ``with`` block. Iterate it for results, one per frame and more after each
    correction, while you send and prompt, from the same or another thread or task. ``send`` waits
    while ``limits.max_frames_in_flight`` frames have no result that was taken: whoever
    sends and reads in turn should use ``track``, or take a result for each frame.
    """

    def __init__(self, wire: AsyncTransport, options: VideoOptions) -> None:
        super().__init__(wire, options)
        self._reading = asyncio.Lock()

    async def send(self, frame: FrameLike, index: int | None = None) -> int:
        """Sends the next frame and returns its index; waits while too many are unanswered.

        Indexes grow, or fall from the second frame on, as those of a clip that is played backwards;
        without one it is that of a ``VideoFrame``, else the next one. All frames have one size.

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
        if self._call is not None and self._next is None:
            self._call.half_close(unsent=True)
        self._notify()
        return self

    async def aclose(self) -> None:
        """Ends the session at once; the server frees it. Leaving the block does this."""
        self._closed = True
        self._notify()
        for call in (self._call, self._opening, self._next and self._next[0]):
            if call is not None:
                call.cancel()
        if self._next_message is not None:
            await asyncio.gather(self._next_message, return_exceptions=True)
        self._ended()

    async def __aenter__(self) -> Self:
        if self._call is not None:
            raise RuntimeError("a session is opened once; make another")
        self._deadline = self._wire.deadline(self._options.timeout)
        opening = self._wire.deadline(DEFAULT)
        patience = Patience(opening)
        try:
            while (wait_s := await self._begin(opening, patience)) is not None:
                await self._pause(wait_s)
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
        while True:
            # Before looking, which waits, too: a change meanwhile would be missed.
            changed = self._change()
            if self._finished or self._state.has_room or await self._has_ended():
                break
            await changed
        await self._check_open()
        message = self._state.frame(encoded, index)
        self._post(message)
        return self._state.own_index(message.frame.frame_index)

    async def _prompt(self, object_id: int, index: int | None, prompt: Prompt) -> int:
        await self._check_open()
        message = self._state.prompt(object_id, index, prompt)
        self._post(message, prompt)
        return self._state.own_index(message.prompt.frame_index)

    def _post(self, message: pb.SegmentVideoRequest, prompt: Prompt | None = None) -> None:
        self._wire.check(message)
        self._state.sent(message, prompt)
        assert self._call is not None
        self._call.put(message)

    async def _check_open(self) -> None:
        self._check_opened()
        await self._has_ended()
        self._check_not_ended()

    async def _has_ended(self) -> bool:
        """Whether nothing can be sent any more; a call that is lost goes on in another."""
        call = self._call
        if self._failure is None and not self._over and call is not None and call.over:
            error = await call.error()
            if call is self._call and self._next is None:
                if error is None:
                    self._over = True
                elif not self._resumable(error):
                    self._failed(error)
        return self._over or self._failure is not None

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
            event = await read(read_video_event, message)
            try:
                event = self._state.settle(message, event)
            except SessionLostError as error:
                raise self._failed(error) from None
            finally:
                self._notify()
            if event is not None:
                return event
        return None
