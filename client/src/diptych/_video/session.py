"""The video session of ``Client``; ``_async_video_session`` is its twin."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._arguments import BoxLike, PointLike
from .._transport.blocking import Transport
from .._transport.calls import Patience
from .._transport.timeouts import DEFAULT
from .._types.checkpoint import VideoCheckpoint
from .._types.errors import SessionLostError
from .._types.prompts import Prompt
from .._types.video import VideoEvent, VideoOptions, VideoRefusal
from ..masks.mask import Mask
from ..segment import v1 as pb
from ..wire.video import read_video_event
from .call import SessionCalls
from .frames import FrameLike, encode_frame, frame_index
from .options import make_prompt

if TYPE_CHECKING:
    from typing_extensions import Self


class VideoSession(SessionCalls):
    """Objects followed through a stream of frames; made by ``video`` of a client.

    Open inside its ``with`` block. Iterate it for results, one per frame and more after each
    correction, while you send and prompt, from the same or another thread or task. ``send`` waits
    while ``limits.max_frames_in_flight`` frames have no result that was taken: whoever
    sends and reads in turn should use ``track``, or take a result for each frame.
    """

    def __init__(self, wire: Transport, options: VideoOptions) -> None:
        super().__init__(wire, options)
        self._reading = threading.Lock()

    def send(self, frame: FrameLike, index: int | None = None) -> int:
        """Sends the next frame and returns its index; waits while too many are unanswered.

        Indexes grow, or fall from the second frame on, as those of a clip that is played backwards;
        without one it is that of a ``VideoFrame``, else the next one. All frames have one size.

        Raises:
            DiptychError: the session has failed.
            ValueError, TypeError, OSError: the frame or its index cannot be used.
        """
        encoded = encode_frame(frame, self._options.jpeg_quality)
        return self._send(encoded, frame_index(frame, index))

    def prompt(
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
        return self._prompt(object_id, frame_index, make_prompt(points, box, mask))

    def remove(self, object_id: int) -> None:
        """Stops tracking an object. Never waits.

        Raises:
            DiptychError: the session has failed.
        """
        with self._changed:
            self._check_open()
            self._post(self._state.removal(object_id))

    def track(self, frames: Iterable[FrameLike]) -> Iterator[VideoEvent]:
        """Sends all frames and yields what comes, in turn, then finishes; reads no frame early.

        The first result is yielded when as many frames as may be in flight were sent.
        """
        for frame in frames:
            while not self._state.has_room:
                yield self.__next__()
            self.send(frame)
        yield from self.finish()

    def finish(self) -> Self:
        """Says that nothing more is sent. Iterating, of the session or of what this returns, ends
        after the last result."""
        with self._changed:
            self._finished = True
            if self._call is not None and self._next is None:
                self._call.half_close(unsent=True)
            self._changed.notify_all()
        return self

    def close(self) -> None:
        """Ends the session at once; the server frees it. Leaving the block does this."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for call in (self._call, self._opening, self._next and self._next[0]):
            if call is not None:
                call.cancel()
        self._ended()

    def __enter__(self) -> Self:
        if self._call is not None:
            raise RuntimeError("a session is opened once; make another")
        self._deadline = self._wire.deadline(self._options.timeout)
        opening = self._wire.deadline(DEFAULT)
        patience = Patience(opening)
        try:
            while (wait_s := self._begin(opening, patience)) is not None:
                self._pause(wait_s)
            if self._options.checkpoint is not None:
                self._replay(self._options.checkpoint)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> VideoEvent:
        with self._reading:
            event = self._pending.popleft() if self._pending else self._next_event()
        if event is None:
            raise StopIteration
        if isinstance(event, VideoRefusal) and self._options.raise_refusals:
            raise event.error
        return event

    def _send(self, encoded: bytes, index: int | None) -> int:
        self._check_opened()
        with self._changed:
            self._changed.wait_for(
                lambda: self._finished or self._state.has_room or self._has_ended()
            )
            self._check_open()
            message = self._state.frame(encoded, index)
            self._post(message)
            return self._state.own_index(message.frame.frame_index)

    def _prompt(self, object_id: int, index: int | None, prompt: Prompt) -> int:
        with self._changed:
            self._check_open()
            message = self._state.prompt(object_id, index, prompt)
            self._post(message, prompt)
            return self._state.own_index(message.prompt.frame_index)

    def _post(self, message: pb.SegmentVideoRequest, prompt: Prompt | None = None) -> None:
        self._wire.check(message)
        self._state.sent(message, prompt)
        assert self._call is not None
        self._call.put(message)

    def _check_open(self) -> None:
        self._check_opened()
        self._has_ended()
        self._check_not_ended()

    def _has_ended(self) -> bool:
        """Whether nothing can be sent any more; a call that is lost goes on in another."""
        call = self._call
        if self._failure is None and not self._over and call is not None and call.over:
            error = call.error()
            if error is None:
                self._over = self._next is None
            elif self._next is None and not self._resumable(error):
                self._failed(error)
        return self._over or self._failure is not None

    def _replay(self, checkpoint: VideoCheckpoint) -> None:
        """Sends held frames and their prompts again; what comes meanwhile is yielded later."""
        try:
            for index, encoded in checkpoint.frames:
                self._take_until(lambda: self._state.has_room)
                self._send(encoded, index)
                for held in checkpoint.prompts:
                    if held.frame_index == index:
                        self._prompt(held.object_id, index, held.prompt)
            # The caller may send at once, as in a session that is new.
            self._take_until(lambda: self._state.all_answered)
        except SessionLostError as error:
            error.checkpoint = checkpoint
            raise

    def _take_until(self, happened: Callable[[], bool]) -> None:
        while not happened() and (event := self._next_event()) is not None:
            self._pending.append(event)

    def _next_event(self) -> VideoEvent | None:
        """The next thing for the caller; ``None`` at the end."""
        while (message := self._read()) is not None:
            event = read_video_event(message)
            with self._changed:
                try:
                    event = self._state.settle(message, event)
                except SessionLostError as error:
                    raise self._failed(error) from None
                finally:
                    self._changed.notify_all()
            if event is not None:
                return event
        return None
