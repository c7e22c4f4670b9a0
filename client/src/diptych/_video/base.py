"""What both kinds of video session keep of their calls."""

from __future__ import annotations

import logging
from collections import deque
from typing import Protocol

from .._transport.calls import BaseTransport, Deadline
from .._transport.timeouts import DEFAULT
from .._types.errors import DiptychError
from .._types.results import Provenance
from .._types.video import VideoEvent, VideoLimits, VideoOptions
from ..segment import v1 as pb
from ..wire.reasons import Reason
from .resume import Attempts, as_lost
from .state import SessionState

_log = logging.getLogger("diptych.video")


class Call(Protocol):
    """What a session asks of a call without waiting."""

    def put(self, message: pb.SegmentVideoRequest) -> None: ...
    def half_close(self, *, unsent: bool) -> None: ...


class BaseVideoSession:
    """The part of a session that does no I/O."""

    def __init__(self, wire: BaseTransport, options: VideoOptions) -> None:
        self._options = options
        self._state = SessionState(options)
        self._attempts = Attempts()
        self._new_deadline = wire.deadline
        self._deadline = Deadline(None)
        self._pending: deque[VideoEvent] = deque()
        self._finished = False
        self._closed = False
        self._over = False
        self._failure: DiptychError | None = None
        self._resume_count = 0

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

    @property
    def resume_count(self) -> int:
        """How often the session was opened again by itself and went on."""
        return self._resume_count

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

    def _failed(self, error: DiptychError) -> DiptychError:
        """The one error of this session."""
        if self._failure is None:
            self._failure = self._state.lost(error)
            self._notify()
        return self._failure

    def _notify(self) -> None:
        """Wakes whoever waits for a change."""
        raise NotImplementedError

    def _resumable(self, error: DiptychError) -> bool:
        """Whether the reader goes on in another call after this end of one.

        Not where the client was silent for too long: nobody may be left.
        """
        wanted = self._options.auto_resume and not self._closed and self._failure is None
        if not wanted or error.reason == Reason.SESSION_EXPIRED or self._state.lost_objects:
            return False
        return as_lost(error) is not None

    def _begin_resume(self, error: DiptychError) -> Deadline | None:
        """Notes the loss of a call; how long to try to go on, or ``None`` if it is the end."""
        if not self._resumable(error):
            return None
        if not self._attempts.lost(error, self._state.given, self._state.at_work):
            return None
        _log.warning("the video session was lost and is opened again: %s", error)
        return self._new_deadline(DEFAULT)

    def _wait_s(self, error: DiptychError, limit: Deadline) -> float | None:
        """Seconds to wait before the next attempt to go on; ``None`` if there is none."""
        left = [each for each in (limit.left(), self._deadline.left()) if each is not None]
        return self._attempts.wait_s(error, min(left, default=None))

    def _gave_up(self, first: DiptychError, last: DiptychError) -> DiptychError:
        """What is raised where a lost session could not go on."""
        lost = self._failed(first)
        if first is not last and lost.args:
            lost.args = (f"{lost.args[0]}; it could not go on: {last}",)
        return lost

    def _hand_over_limit(self) -> Deadline | None:
        """How long to try to open another call beside one that will end; ``None`` if not now."""
        wanted = self._options.auto_resume and self._state.going_away_s is not None
        done = self._finished and self._state.all_answered
        if not wanted or done or self._closed or self._state.lost_objects:
            return None
        return self._attempts.hand_over(self._deadline)

    def _go_on(self, call: Call, started: pb.SegmentVideoResponse) -> None:
        """Lets a call that was opened be the one of the session."""
        warned_s = self._state.going_away_s or 0.0
        self._state.opened(started)
        for message in self._state.replay():
            call.put(message)
        if self._finished:
            call.half_close(unsent=True)
        self._attempts.opened()
        self._resume_count += 1
        _log.info("the video session, warned of %g s, goes on in another call", warned_s)
