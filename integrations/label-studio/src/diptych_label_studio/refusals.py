"""What goes wrong, as one sentence that Label Studio shows."""

from __future__ import annotations

import logging

from diptych import (
    AuthenticationError,
    DeadlineExceededError,
    DiptychError,
    InvalidRequestError,
    MessageTooLargeError,
    ModelNotFoundError,
    OverloadedError,
    UnavailableError,
    UnsupportedTaskError,
)

_log = logging.getLogger(__name__)
_MOST = 300  # characters of a reason phrase
_STATUS: tuple[tuple[type[DiptychError], int], ...] = (
    (InvalidRequestError, 400),
    (MessageTooLargeError, 413),
    (UnsupportedTaskError, 422),
    (ModelNotFoundError, 404),
    (AuthenticationError, 502),  # ours, not that of whoever asks
    (OverloadedError, 429),
    (UnavailableError, 503),
    (DeadlineExceededError, 504),
)


class Refusal(Exception):
    """A request that cannot be answered, and the HTTP status that says so."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def refusal_of(error: BaseException) -> Refusal:
    """What a caller is told of an error; of one that nobody expected, that there was one."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, DiptychError):
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
        asked = f" (request {error.request_id})" if status == 500 and error.request_id else ""
        return Refusal(f"Diptych: {error}{asked}", status)
    _log.error("unexpected", exc_info=error)
    return Refusal("Diptych's backend failed; its log says how", 500)


def reason_phrase(message: str) -> str:
    """The sentence as HTTP's status line takes it: all that Label Studio repeats of an answer."""
    plain = " ".join(message.split()).encode("ascii", "replace").decode()
    return plain if len(plain) <= _MOST else plain[: _MOST - 3] + "..."
