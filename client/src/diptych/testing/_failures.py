"""Failures as a real server words them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from .._types.errors import Violation

_C = grpc.StatusCode
CODES: Mapping[str, grpc.StatusCode] = {
    **dict.fromkeys(
        ["IMAGE_UNREADABLE", "IMAGE_TOO_LARGE", "IMAGE_SHAPE", "PROMPT_INVALID", "OPTION_INVALID"],
        _C.INVALID_ARGUMENT,
    ),
    **dict.fromkeys(["TASK_UNSUPPORTED", "PROMPT_UNSUPPORTED"], _C.UNIMPLEMENTED),
    **dict.fromkeys(["MODEL_UNKNOWN", "IMAGE_NOT_HELD"], _C.NOT_FOUND),
    **dict.fromkeys(["TOKEN_MISSING", "TOKEN_INVALID"], _C.UNAUTHENTICATED),
    "TOKEN_SCOPE": _C.PERMISSION_DENIED,
    **dict.fromkeys(
        ["QUEUE_FULL", "SESSION_LIMIT", "OBJECT_LIMIT", "RATE_LIMIT", "DEVICE_MEMORY"],
        _C.RESOURCE_EXHAUSTED,
    ),
    **dict.fromkeys(["SESSION_ORDER", "FRAME_NOT_HELD", "OBJECT_UNKNOWN"], _C.FAILED_PRECONDITION),
    **dict.fromkeys(["SESSION_EXPIRED", "SESSION_LOST"], _C.ABORTED),
    **dict.fromkeys(["MODEL_LOADING", "DRAINING", "ENGINE_LOST"], _C.UNAVAILABLE),
    "DEADLINE": _C.DEADLINE_EXCEEDED,
    "MODEL_FAILED": _C.INTERNAL,
}
"""The gRPC code of each reason in the error table."""


@dataclass(frozen=True)
class Failure:
    """What a fake model fails with: a reason of the error table, or a bare gRPC code."""

    reason: str = ""
    message: str = "told to fail"
    code: grpc.StatusCode = _C.INTERNAL
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[Violation] = ()
    retry_after_s: float | None = None

    def to_status(self, request_id: str) -> status_pb2.Status:
        """As it travels inside a comparison."""
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        if not self.reason:
            return status
        metadata = {**self.metadata, "requestId": request_id}
        _pack(
            status,
            error_details_pb2.ErrorInfo(reason=self.reason, domain="diptych", metadata=metadata),
        )
        if self.retry_after_s is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromNanoseconds(round(self.retry_after_s * 1e9))
            _pack(status, retry)
        if self.violations:
            bad = error_details_pb2.BadRequest()
            for violation in self.violations:
                bad.field_violations.add(field=violation.field, description=violation.description)
            _pack(status, bad)
        return status


def make_failure(
    reason: str,
    message: str,
    *,
    code: grpc.StatusCode | None = None,
    metadata: Mapping[str, str] | None = None,
    violations: Sequence[Violation] = (),
    retry_after_s: float | None = None,
) -> Failure:
    """A failure with the code that the error table has for the reason.

    Raises:
        ValueError: for a reason that is not in the table, unless a code is given.
    """
    if code is None:
        if reason not in CODES:
            raise ValueError(f"reason: expected one of {', '.join(CODES)}, got {reason!r}")
        code = CODES[reason]
    return Failure(reason, message, code, dict(metadata or {}), tuple(violations), retry_after_s)


class Failed(Exception):
    """A fake model failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def abort(context: grpc.ServicerContext, failure: Failure, request_id: str) -> NoReturn:
    """Ends a call with a failure."""
    if failure.reason:
        details = failure.to_status(request_id).SerializeToString()
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
    context.abort(failure.code, failure.message)


def _pack(status: status_pb2.Status, detail: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
