"""What both kinds of video session keep of their call."""

from __future__ import annotations

from collections import deque
from typing import Any

import grpc

from .._transport.calls import BaseTransport, Deadline
from .._types.errors import DiptychError, RequestCancelledError
from .._types.results import Provenance
from .._types.video import VideoEvent, VideoLimits, VideoOptions
from ..segment import v1 as pb
from .state import SessionState


class BaseVideoSession:
    """The part of a session that does no I/O."""

    def __init__(self, wire: BaseTransport, options: VideoOptions) -> None:
        self._options = options
        self._state = SessionState(options)
        self._address = wire.address
        self._errors = wire.error
        self._deadline = self._opening = Deadline(None)
        self._outbox: deque[pb.SegmentVideoRequest] = deque()
        self._pending: deque[VideoEvent] = deque()
        self._finished = False
        self._closed = False
        self._over = False
        self._failure: DiptychError | None = None
        self._call: Any = None

    @property
    def limits(self) -> VideoLimits:
        """What the server allows in this session."""
        if self._state.limits is None:
            raise RuntimeError("the session is not open: use it in its with block")
        return self._state.limits

    @property
    def provenance(self) -> tuple[Provenance, ...]:
        """What produces the results."""
        return self._state.provenance

    @property
    def going_away_s(self) -> float | None:
        """Seconds that the server gave, when it said that it will close the session."""
        return self._state.going_away_s

    def _start_over(self) -> None:
        """Forget a call that was refused before anything had begun.

        Raises:
            RequestCancelledError: the session was closed meanwhile.
        """
        if self._closed:
            raise RequestCancelledError("the session was closed")
        # A queue of its own for each call: what still sends for the one before must find nothing.
        self._outbox = deque()
        self._state = SessionState(self._options)
        self._failure = None
        self._over = False

    def _check_opened(self) -> None:
        if self._state.limits is None:
            raise RuntimeError("the session is not open: use it in its with block")
        if self._closed and self._failure is None:
            raise RuntimeError("the session is closed")

    def _check_not_ended(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._over or self._finished:
            raise RuntimeError("the session is finished: nothing more can be sent")

    def _failed(self, failure: grpc.RpcError) -> DiptychError:
        """The one error of this session."""
        if self._failure is None:
            self._failure = self._state.lost(self._errors(failure, self._deadline))
        return self._failure
