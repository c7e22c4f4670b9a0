"""The error table: what can go wrong, under which gRPC code, and how it travels.

Code that meets a problem raises a ``ServiceError`` with a ``Reason``; the interceptor turns it into
a ``google.rpc.Status``. Nothing else decides on codes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "diptych"
_MAX_STATUS_BYTES = 4096  # gRPC replaces a status whose trailers pass about 8 KiB
_MAX_MESSAGE_BYTES = 1000
_MAX_VALUE_BYTES = 200
_ENVELOPE_BYTES = 100  # type name and lengths around a packed detail


class Reason(enum.StrEnum):
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


@dataclass(frozen=True)
class Violation:
    """One field that cannot be used: its path, such as ``prompts[3].box``, and why."""

    field: str
    description: str


class ServiceError(Exception):
    """A request that is refused or failed, for a reason of the table.

    ``message`` says what was expected and what came; ``metadata`` repeats its variables under
    lowerCamel keys; ``violations`` name fields; ``retry_after_s`` says when to try again.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC code of the table."""
        return CODES[self.reason]

    def to_status(self, request_id: str = "") -> status_pb2.Status:
        """As it travels; never over 4 KiB, the violations that do not fit are counted instead."""
        metadata = {key: _cut(value, _MAX_VALUE_BYTES) for key, value in self.metadata.items()}
        if request_id:
            metadata["requestId"] = request_id
        info = error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=metadata)
        status = status_pb2.Status(
            code=self.code.value[0],
            message=_cut(self.message, _MAX_MESSAGE_BYTES),
            details=[_packed(info)],
        )
        if self.retry_after_s is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(int(self.retry_after_s * 1e9))
            status.details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
        if self.violations:
            room = _MAX_STATUS_BYTES - status.ByteSize() - _ENVELOPE_BYTES
            status.details.append(_packed(_bad_request(self.violations, room)))
        return status

    @classmethod
    def from_status(cls, status: status_pb2.Status) -> ServiceError:
        """The error that another process raised; unknown reasons become ``MODEL_FAILED``."""
        reason, metadata, violations = Reason.MODEL_FAILED, {}, []
        retry_after_s = None
        for detail in status.details:
            info, bad, retry = (
                error_details_pb2.ErrorInfo(),
                error_details_pb2.BadRequest(),
                error_details_pb2.RetryInfo(),
            )
            if detail.Unpack(info) and info.reason in Reason.__members__:
                reason, metadata = Reason(info.reason), dict(info.metadata)
            elif detail.Unpack(bad):
                violations = [Violation(v.field, v.description) for v in bad.field_violations]
            elif detail.Unpack(retry):
                retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
        metadata.pop("requestId", None)
        return cls(
            reason,
            status.message,
            metadata=metadata,
            violations=violations,
            retry_after_s=retry_after_s,
        )


def draining() -> ServiceError:
    """The error of what a server that is about to stop does not take or finish any more."""
    return ServiceError(Reason.DRAINING, "the server is stopping", retry_after_s=1.0)


def not_held(digest: str) -> ServiceError:
    """The error for a digest of a picture that is not held (any longer)."""
    text = f"expected the digest of a picture held here, got {digest[:12]}…; send the bytes"
    return invalid(Reason.IMAGE_NOT_HELD, "image.sha256", text, sha256=digest)


def invalid(reason: Reason, field: str, description: str, **metadata: str) -> ServiceError:
    """The error for one field that cannot be used."""
    message = f"{field}: {description}"
    return ServiceError(
        reason, message, metadata=metadata, violations=[Violation(field, description)]
    )


def _packed(
    detail: error_details_pb2.ErrorInfo
    | error_details_pb2.RetryInfo
    | error_details_pb2.BadRequest,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _bad_request(violations: Sequence[Violation], room: int) -> error_details_pb2.BadRequest:
    """As many violations as fit into ``room`` bytes; the last one counts the rest."""
    bad = error_details_pb2.BadRequest()
    for done, violation in enumerate(violations):
        left = len(violations) - done
        note = f"and {left} more"
        field, text = _cut(violation.field, 200), _cut(violation.description, 300)
        bad.field_violations.add(field=field, description=text)
        if bad.ByteSize() + (len(note) + 4 if left > 1 else 0) > room:
            bad.field_violations[-1].field = ""
            bad.field_violations[-1].description = note
            break
    return bad


def _cut(text: str, max_bytes: int) -> str:
    return text.encode(errors="replace")[:max_bytes].decode(errors="ignore")
