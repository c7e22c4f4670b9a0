"""One call of a ``VideoSession``; ``async_call`` is its twin."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, cast

import grpc

from .._transport.blocking import Transport
from .._transport.calls import Deadline
from .._types.errors import DeadlineExceededError, DiptychError, SessionLostError
from ..segment import v1 as pb


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
