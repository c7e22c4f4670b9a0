"""The calls of a ``VideoSession``; ``async_call`` is its twin."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, cast

import grpc

from .._transport.blocking import Transport
from .._transport.calls import Deadline, Patience
from .._types.errors import (
    DeadlineExceededError,
    DiptychError,
    RequestCancelledError,
    SessionLostError,
)
from .._types.video import VideoOptions
from ..segment import v1 as pb
from .base import BaseVideoSession


class VideoCall:
    """A stream: what waits to be sent in it, and what comes.

    ``changed`` guards it, and is notified when it is over. Messages are put under it.
    """

    def __init__(
        self,
        wire: Transport,
        changed: threading.Condition,
        start: pb.SegmentVideoRequest,
        deadline: Deadline,
    ) -> None:
        self._wire = wire
        self._changed = changed
        self._deadline = deadline
        self._outbox = deque([start])
        self._closing = False
        self.over = False
        """It has ended, well or not."""
        self._call = cast(Any, wire.open_video(self._requests(), deadline))
        # Without this, whoever waits to send would not notice the end of the call.
        if not self._call.add_callback(self._ended):
            self._ended()

    def put(self, message: pb.SegmentVideoRequest) -> None:
        """Sends a message after those before it, unless the call is over or half-closed."""
        if not self._closing and not self.over:
            self._outbox.append(message)
            self._changed.notify_all()

    def half_close(self, *, unsent: bool) -> None:
        """Sends nothing after what was put; with ``unsent`` not set, not that either."""
        self._closing = True
        if not unsent:
            self._outbox.clear()
        self._changed.notify_all()

    def cancel(self) -> None:
        """Ends it at once."""
        self._call.cancel()
        self._ended()

    def open(self, limit: Deadline) -> pb.SegmentVideoResponse:
        """The first answer, waited for no longer than ``limit``.

        Raises:
            DiptychError: there is none.
        """
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._call.cancel()

        seconds = limit.left()
        timer = None if seconds is None else threading.Timer(seconds, give_up)
        try:
            if timer is not None:
                timer.start()
            message = self.read()
        except DiptychError as error:
            if not late.is_set():
                raise
            text = f"{self._wire.address}: no session within {limit.timeout:g} s"
            raise DeadlineExceededError(text) from error
        finally:
            if timer is not None:
                timer.cancel()
        if message is None:
            raise SessionLostError(f"{self._wire.address}: the server ended the session at once")
        return message

    def read(self) -> pb.SegmentVideoResponse | None:
        """The next message; ``None`` at the end.

        Raises:
            DiptychError: what the call has failed with.
        """
        try:
            message: pb.SegmentVideoResponse = next(self._call)
        except StopIteration:
            self._ended()
            return None
        except grpc.RpcError as failure:
            raise self._wire.error(failure, self._deadline) from failure
        return message

    def error(self) -> DiptychError | None:
        """What the call, which is over, has failed with; ``None`` if it ended well."""
        if self._call.code() is grpc.StatusCode.OK:
            return None
        return self._wire.error(self._call, self._deadline)

    def _requests(self) -> Iterator[pb.SegmentVideoRequest]:
        """What gRPC's own thread sends, until the call is half-closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._outbox or self._closing or self.over)
                if self.over or not self._outbox:
                    return
                message = self._outbox.popleft()
            yield message

    def _ended(self) -> None:
        with self._changed:
            self.over = True
            self._outbox.clear()
            self._changed.notify_all()


class SessionCalls(BaseVideoSession):
    """The calls of one session, each of which goes on where the one before was lost."""

    def __init__(self, wire: Transport, options: VideoOptions) -> None:
        super().__init__(wire, options)
        self._wire = wire
        self._changed = threading.Condition()
        self._call: VideoCall | None = None
        self._opening: VideoCall | None = None
        self._next: tuple[VideoCall, pb.SegmentVideoResponse] | None = None

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _pause(self, seconds: float) -> None:
        """Raises ``RequestCancelledError`` if the session is closed before."""
        with self._changed:
            if self._changed.wait_for(lambda: self._closed, seconds):
                raise RequestCancelledError("the session was closed")

    def _begin(self, opening: Deadline, patience: Patience) -> float | None:
        """Opens the session; seconds to wait before the next attempt if a server that stops
        refused."""
        try:
            self._call, started = self._open(opening)
        except DiptychError as error:
            wait_s = None if self._closed else patience.wait_s(error)
            if wait_s is None:
                raise
            return wait_s
        self._state.opened(started)
        return None

    def _open(self, limit: Deadline) -> tuple[VideoCall, pb.SegmentVideoResponse]:
        """A call and its first answer."""
        with self._changed:
            start = self._state.start()
        self._opening = call = VideoCall(self._wire, self._changed, start, self._deadline)
        try:
            if self._closed:
                raise RequestCancelledError("the session was closed")
            return call, call.open(limit)
        except BaseException:
            call.cancel()
            raise
        finally:
            self._opening = None

    def _ended(self) -> None:
        """Notes that nothing more is sent or comes."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _read(self) -> pb.SegmentVideoResponse | None:
        """The next message of the call, or of the one that the session goes on in."""
        while True:
            if self._call is None:
                raise RuntimeError("the session is not open: use it in its with block")
            if self._failure is not None:
                raise self._failure
            if self._next is None and (limit := self._hand_over_limit()) is not None:
                self._hand_over(limit)
            try:
                message = self._call.read()
            except DiptychError as error:
                if self._finished and self._state.all_answered:
                    message = None  # it had nothing more to say
                else:
                    if self._next is None:
                        self._resume(error)
                    else:
                        self._take_next()
                    continue
            if message is not None:
                return message
            if self._next is None:
                self._ended()
                return None
            self._take_next()

    def _hand_over(self, limit: Deadline) -> None:
        """Opens another call beside one that will end, which then only answers what it has."""
        try:
            opened = self._open(limit)
        except DiptychError:
            return  # not there yet: the end itself leaves more time
        with self._changed:
            self._next = opened
            assert self._call is not None
            self._call.half_close(unsent=False)

    def _take_next(self) -> None:
        with self._changed:
            assert self._next is not None
            (self._call, started), self._next = self._next, None
            self._go_on(self._call, started)
            self._changed.notify_all()

    def _resume(self, lost: DiptychError) -> None:
        """Goes on in another call after the loss of one.

        Raises:
            DiptychError: the session ends here.
        """
        with self._changed:
            limit = self._begin_resume(lost)
            if limit is None:
                raise self._failed(lost) from lost.__cause__
        error = lost
        while (wait_s := self._wait_s(error, limit)) is not None:
            self._pause(wait_s)
            try:
                self._next = self._open(limit)
            except DiptychError as failure:
                error = failure
                continue
            self._take_next()
            return
        with self._changed:
            raise self._gave_up(lost, error) from error
