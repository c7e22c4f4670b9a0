"""When a session goes on in another call by itself. No I/O."""

from __future__ import annotations

import random
import re
import time

import grpc

from .._transport.calls import Deadline
from .._types.errors import DiptychError, OverloadedError, SessionLostError, UnavailableError
from ..wire.reasons import Reason

WAITS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0)
"""Before each attempt to open another call; together as long as weights take to load."""

_LONGEST_WAIT_S = 10.0
_HAND_OVERS = 3
_BETWEEN_HAND_OVERS_S = 1.0
_ATTEMPT_S = 5.0
_A_WHILE_S = 30.0
# What gRPC says in place of a server whose stream broke: a proxy that reset it, answered 502 for
# it, or closed it without a status.
_BROKEN = (
    *(grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN),
    *(grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED),
)
_BROKEN_WORDS = re.compile(
    "RST_STREAM|http2 header with status: 5|[Ss]tream (removed|closed)|without (sending )?trailers"
)
_WITHOUT_ENGINE = (Reason.SESSION_LOST, Reason.ENGINE_LOST)


def as_lost(error: DiptychError) -> SessionLostError | None:
    """The error, which ended an open session, as the loss of it; ``None`` if it is no loss."""
    if isinstance(error, SessionLostError):
        return error
    if not isinstance(error, UnavailableError) and not _is_broken(error):
        return None
    # The server, or what stood before it, went away: it cannot say so itself.
    return SessionLostError(
        str(error),
        code=error.code,
        reason=error.reason,
        metadata=error.metadata,
        request_id=error.request_id,
        retry_after_s=error.retry_after_s,
    )


def _is_broken(error: DiptychError) -> bool:
    if error.reason or error.code not in _BROKEN:
        return False
    return _BROKEN_WORDS.search(str(error)) is not None


class Attempts:
    """How often a session is opened again, and how long it waits between.

    Answers to the caller start the count again, as does a call that held for a while. A message
    that has cost two engines is not sent to a third: it may be what ends them.
    """

    def __init__(self) -> None:
        self._done = 0
        self._given = -1
        self._opened = 0.0
        self._at_work: int | None = None
        self._hand_overs = 0
        self._not_before = 0.0

    def lost(self, error: DiptychError, given: int, at_work: int | None) -> bool:
        """Notes a loss after ``given`` answers, while ``at_work`` was being answered; whether to
        go on."""
        if given != self._given:
            self._given, self._done, self._at_work = given, 0, None
        elif time.monotonic() - self._opened > _A_WHILE_S:
            self._done = 0
        killed = at_work is not None and at_work == self._at_work
        if error.reason in _WITHOUT_ENGINE and at_work is not None:
            self._at_work = at_work
        self._hand_overs = 0
        return not (killed and error.reason in _WITHOUT_ENGINE)

    def opened(self) -> None:
        """Notes that another call is open."""
        self._opened = time.monotonic()

    def wait_s(self, error: DiptychError, left: float | None) -> float | None:
        """Seconds to wait before the next attempt after ``error``, of ``left`` in all; ``None`` if
        there is none."""
        again = (UnavailableError, OverloadedError, SessionLostError)
        if self._done == len(WAITS_S) or not (isinstance(error, again) or _is_broken(error)):
            return None
        wait_s = WAITS_S[self._done] * random.uniform(0.5, 1.0)
        wait_s = max(wait_s, min(error.retry_after_s or 0.0, _LONGEST_WAIT_S))
        self._done += 1
        return None if left is not None and left <= wait_s else wait_s

    def hand_over(self, opening: Deadline) -> Deadline | None:
        """How long to try to open a call beside one that will end; ``None`` if not now."""
        now = time.monotonic()
        if self._hand_overs == _HAND_OVERS or now < self._not_before:
            return None
        self._hand_overs += 1
        self._not_before = now + _BETWEEN_HAND_OVERS_S
        left = opening.left()
        return Deadline(_ATTEMPT_S if left is None else min(_ATTEMPT_S, left))
