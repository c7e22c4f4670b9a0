"""The error table: what can go wrong, under which gRPC code and HTTP status.

Servers raise by it and clients read by it; nothing else decides on codes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import grpc


class Reason(str, enum.Enum):
    """Machine-readable cause, as in ``ErrorInfo.reason``; stable, unlike messages."""

    IMAGE_UNREADABLE = "IMAGE_UNREADABLE"
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"
    IMAGE_SHAPE = "IMAGE_SHAPE"
    IMAGE_NOT_HELD = "IMAGE_NOT_HELD"
    PROMPT_INVALID = "PROMPT_INVALID"
    PROMPT_UNSUPPORTED = "PROMPT_UNSUPPORTED"
    OPTION_INVALID = "OPTION_INVALID"
    TASK_UNSUPPORTED = "TASK_UNSUPPORTED"
    MODEL_UNKNOWN = "MODEL_UNKNOWN"
    TOKEN_MISSING = "TOKEN_MISSING"
    TOKEN_INVALID = "TOKEN_INVALID"
    TOKEN_SCOPE = "TOKEN_SCOPE"
    QUEUE_FULL = "QUEUE_FULL"
    SESSION_LIMIT = "SESSION_LIMIT"
    OBJECT_LIMIT = "OBJECT_LIMIT"
    RATE_LIMIT = "RATE_LIMIT"
    DEVICE_MEMORY = "DEVICE_MEMORY"
    SESSION_ORDER = "SESSION_ORDER"
    FRAME_NOT_HELD = "FRAME_NOT_HELD"
    OBJECT_UNKNOWN = "OBJECT_UNKNOWN"
    SESSION_EXPIRED = "SESSION_EXPIRED"
    SESSION_LOST = "SESSION_LOST"
    MODEL_LOADING = "MODEL_LOADING"
    DRAINING = "DRAINING"
    ENGINE_LOST = "ENGINE_LOST"
    DEADLINE = "DEADLINE"
    MODEL_FAILED = "MODEL_FAILED"

    # As in enum.StrEnum, which Python 3.10 does not have.
    __str__ = str.__str__


_C = grpc.StatusCode
CODES: Mapping[Reason, grpc.StatusCode] = {
    Reason.IMAGE_UNREADABLE: _C.INVALID_ARGUMENT,
    Reason.IMAGE_TOO_LARGE: _C.INVALID_ARGUMENT,
    Reason.IMAGE_SHAPE: _C.INVALID_ARGUMENT,
    Reason.IMAGE_NOT_HELD: _C.NOT_FOUND,
    Reason.PROMPT_INVALID: _C.INVALID_ARGUMENT,
    Reason.PROMPT_UNSUPPORTED: _C.UNIMPLEMENTED,
    Reason.OPTION_INVALID: _C.INVALID_ARGUMENT,
    Reason.TASK_UNSUPPORTED: _C.UNIMPLEMENTED,
    Reason.MODEL_UNKNOWN: _C.NOT_FOUND,
    Reason.TOKEN_MISSING: _C.UNAUTHENTICATED,
    Reason.TOKEN_INVALID: _C.UNAUTHENTICATED,
    Reason.TOKEN_SCOPE: _C.PERMISSION_DENIED,
    Reason.QUEUE_FULL: _C.RESOURCE_EXHAUSTED,
    Reason.SESSION_LIMIT: _C.RESOURCE_EXHAUSTED,
    Reason.OBJECT_LIMIT: _C.RESOURCE_EXHAUSTED,
    Reason.RATE_LIMIT: _C.RESOURCE_EXHAUSTED,
    Reason.DEVICE_MEMORY: _C.RESOURCE_EXHAUSTED,
    Reason.SESSION_ORDER: _C.FAILED_PRECONDITION,
    Reason.FRAME_NOT_HELD: _C.FAILED_PRECONDITION,
    Reason.OBJECT_UNKNOWN: _C.FAILED_PRECONDITION,
    Reason.SESSION_EXPIRED: _C.ABORTED,
    Reason.SESSION_LOST: _C.ABORTED,
    Reason.MODEL_LOADING: _C.UNAVAILABLE,
    Reason.DRAINING: _C.UNAVAILABLE,
    Reason.ENGINE_LOST: _C.UNAVAILABLE,
    Reason.DEADLINE: _C.DEADLINE_EXCEEDED,
    Reason.MODEL_FAILED: _C.INTERNAL,
}
"""The gRPC code of each reason."""

_HTTP_BY_REASON: Mapping[str, int] = {
    Reason.IMAGE_TOO_LARGE: 413,
    Reason.QUEUE_FULL: 429,
    Reason.SESSION_LIMIT: 429,
    Reason.OBJECT_LIMIT: 429,
    Reason.RATE_LIMIT: 429,
    Reason.DEVICE_MEMORY: 503,
}
_HTTP_BY_CODE: Mapping[grpc.StatusCode, int] = {
    _C.INVALID_ARGUMENT: 400,
    _C.NOT_FOUND: 404,
    _C.FAILED_PRECONDITION: 409,
    _C.ABORTED: 410,  # a video session that is gone
    _C.UNIMPLEMENTED: 422,
    _C.UNAUTHENTICATED: 401,
    _C.PERMISSION_DENIED: 403,
    _C.RESOURCE_EXHAUSTED: 413,  # without a reason gRPC itself spoke: a message over its limit
    _C.UNAVAILABLE: 503,
    _C.DEADLINE_EXCEEDED: 504,
}


def http_status(code: grpc.StatusCode, reason: str) -> int:
    """The HTTP status of the table; ``reason`` is empty where gRPC itself spoke."""
    return _HTTP_BY_REASON.get(reason) or _HTTP_BY_CODE.get(code, 500)
