"""Why something is refused, said where X-AnyLabeling shows it.

It tells its user the status line of an answer and nothing else of it, so the sentence stands there,
in place of the phrase that goes with a status. The body says the same to other programs.
"""

from __future__ import annotations

from typing import Any

import h11
from starlette.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from diptych import DiptychError, MessageTooLargeError
from diptych.wire.reasons import http_status

_REASON = b"x-reason"
_MAX_REASON_BYTES = 400
_CODES = {
    401: "UNAUTHORIZED",
    404: "MODEL_NOT_FOUND",
    429: "QUEUE_FULL",
}


class RefusedError(Exception):
    """What this server refuses by itself: the message says what was expected and what came."""

    def __init__(self, message: str, *, status: int = 400, code: str = "INVALID_REQUEST") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def refusal(error: RefusedError | DiptychError) -> JSONResponse:
    """Answer a request that cannot be done."""
    status, code = _status_and_code(error)
    message = " ".join(str(error).split())
    body = {"success": False, "error": {"code": code, "message": message}}
    answer = JSONResponse(body, status)
    shown = message.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
    answer.raw_headers.append((_REASON, shown.encode()))
    return answer


def _status_and_code(error: RefusedError | DiptychError) -> tuple[int, str]:
    if isinstance(error, RefusedError):
        return error.status, error.code
    if error.code is None:  # the SDK would not even send it
        status = 413 if isinstance(error, MessageTooLargeError) else 400
        return status, "INVALID_IMAGE" if str(error).startswith("image") else "INVALID_REQUEST"
    status = http_status(error.code, error.reason)
    if error.reason.startswith("IMAGE_"):
        return status, "INVALID_IMAGE"
    return status, _CODES.get(status, "INFERENCE_ERROR")


class Http(H11Protocol):
    """HTTP/1.1 with sentences in its status lines."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = _Connection(h11.SERVER)


class _Connection(h11.Connection):
    def send(self, event: h11.Event) -> bytes | None:  # type: ignore[override]
        if isinstance(event, h11.Response):
            event = _with_reason(event)
        return super().send(event)


def _with_reason(event: h11.Response) -> h11.Response:
    reason = next((value for name, value in event.headers if name == _REASON), event.reason)
    others = [(name, value) for name, value in event.headers if name != _REASON]
    return h11.Response(status_code=event.status_code, headers=others, reason=reason)
