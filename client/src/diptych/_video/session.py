"""The video session of ``Client``; ``_async_video_session`` is its twin."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import grpc
import numpy as np
from numpy.typing import NDArray

from .._arguments import BoxLike, PointLike
from .._transport.blocking import Transport
from .._transport.calls import Patience
from .._transport.timeouts import DEFAULT
from .._types.checkpoint import VideoCheckpoint
from .._types.errors import DeadlineExceededError, DiptychError, SessionLostError
from .._types.prompts import Prompt
from .._types.video import VideoEvent, VideoOptions, VideoRefusal
from ..masks.mask import Mask
from ..segment import v1 as pb
from ..wire.video import read_video_event
from .base import BaseVideoSession
from .frames import FrameLike, encode_frame, frame_index
from .state import make_prompt

if TYPE_CHECKING:
    from typing_extensions import Self


class VideoSession(BaseVideoSession):
    """Objects followed through a stream of frames; made by ``video`` of a client.

    Open inside its ``with`` block. Iterate it for results, one per frame and more after each
    correction, while you send and prompt, from the same or another thread or task. ``send`` waits
    while ``limits.max_frames_in_flight`` frames have no result that was taken: whoever
    sends and reads in turn should use ``track``, or take a result for each frame.
    """

    def __init__(self, wire: Transport, options: VideoOptions) -> None:
        super().__init__(wire, options)
        self._wire = wire
        self._changed = threading.Condition()
        self._reading = threading.Lock()

    def send(self, frame: FrameLike, index: int | None = None) -> int:
        """Sends the next frame and returns its index; waits while too many are unanswered.

        Indexes grow; without one it is that of a ``VideoFrame``, else the last plus 1. All frames
        have one size.

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
            self._changed.notify_all()
        return self

    def close(self) -> None:
        """Ends the session at once; the server frees it. Leaving the block does this."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()
        self._ended()

    def __enter__(self) -> Self:
        if self._call is not None:
            raise RuntimeError("a session is opened once; make another")
        self._deadline = self._wire.deadline(self._options.timeout)
        self._opening = self._wire.deadline(DEFAULT)
        patience = Patience(self._opening)
        try:
            while (wait_s := self._begin(patience)) is not None:
                time.sleep(wait_s)
                with self._changed:
                    self._start_over()
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
            self._changed.wait_for(lambda: self._over or self._finished or self._state.has_room)
            self._check_open()
            message = self._state.frame(encoded, index)
            self._post(message)
            return message.frame.frame_index

    def _prompt(self, object_id: int, index: int | None, prompt: Prompt) -> int:
        with self._changed:
            self._check_open()
            message = self._state.prompt(object_id, index, prompt)
            self._post(message, prompt)
            return message.prompt.frame_index

    def _post(self, message: pb.SegmentVideoRequest, prompt: Prompt | None = None) -> None:
        self._wire.check(message)
        self._state.sent(message, prompt)
        self._outbox.append(message)
        self._changed.notify_all()

    def _check_open(self) -> None:
        self._check_opened()
        if self._over and self._failure is None and self._call.code() is not grpc.StatusCode.OK:
            self._failed(self._call)
        self._check_not_ended()

    def _begin(self, patience: Patience) -> float | None:
        """Opens a call; seconds to wait before the next attempt if a server that stops refused."""
        outbox = self._outbox
        outbox.append(self._state.start())
        self._call = self._wire.open_video(self._requests(outbox), self._deadline)
        # Without this, whoever waits to send would not notice the end of the call.
        if not self._call.add_callback(lambda: self._ended(outbox)):
            self._ended(outbox)
        try:
            self._open()
        except DiptychError as error:
            wait_s = None if self._closed else patience.wait_s(error)
            if wait_s is None:
                raise
            return wait_s
        return None

    def _requests(self, outbox: deque[pb.SegmentVideoRequest]) -> Iterator[pb.SegmentVideoRequest]:
        """What gRPC's own thread sends, until the session is finished."""

        def over() -> bool:
            return self._over or outbox is not self._outbox

        while True:
            with self._changed:
                self._changed.wait_for(lambda: outbox or self._finished or over())
                if over() or not outbox:
                    return
                message = outbox.popleft()
            yield message

    def _ended(self, outbox: deque[pb.SegmentVideoRequest] | None = None) -> None:
        """Notes the end of the call that sends what is in ``outbox``; by default, of the last."""
        if outbox is not None and outbox is not self._outbox:
            return
        with self._changed:
            self._over = True
            self._outbox.clear()
            self._changed.notify_all()

    def _open(self) -> None:
        """Waits for the first answer, no longer than for that of any other call."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._call.cancel()

        seconds = self._opening.left()
        timer = None if seconds is None else threading.Timer(seconds, give_up)
        try:
            if timer is not None:
                timer.start()
            message = self._read()
        except DiptychError as error:
            if not late.is_set():
                raise
            message_text = f"{self._wire.address}: no session within {self._opening.timeout:g} s"
            raise DeadlineExceededError(message_text) from error
        finally:
            if timer is not None:
                timer.cancel()
        if message is None:
            raise SessionLostError(f"{self._wire.address}: the server ended the session at once")
        self._state.opened(message)

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
                event = self._state.settle(message, event)
                self._changed.notify_all()
            if event is not None:
                return event
        return None

    def _read(self) -> pb.SegmentVideoResponse | None:
        if self._call is None:
            raise RuntimeError("the session is not open: use it in its with block")
        if self._failure is not None:
            raise self._failure
        try:
            message: pb.SegmentVideoResponse = next(self._call)
        except StopIteration:
            self._ended()
            return None
        except grpc.RpcError as failure:
            with self._changed:
                raise self._failed(failure) from failure
        return message
