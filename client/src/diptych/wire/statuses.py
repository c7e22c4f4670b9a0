"""Errors as they travel: ``google.rpc.Status`` with details, filled, read, and as exceptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from .._types.errors import (
    AuthenticationError,
    DeadlineExceededError,
    DiptychError,
    ImageNotHeldError,
    InvalidRequestError,
    MessageTooLargeError,
    ModelNotFoundError,
    OverloadedError,
    RequestCancelledError,
    ServerError,
    SessionLostError,
    UnavailableError,
    UnsupportedCallError,
    UnsupportedTaskError,
    Violation,
)
from .reasons import Reason
from .replies import duration, seconds

DOMAIN = "diptych"
"""``ErrorInfo.domain`` of every reason of the error table."""
DETAILS_KEY = "grpc-status-details-bin"
"""The trailer that a rich status travels in."""
MAX_STATUS_BYTES = 4096
"""gRPC replaces a status whose trailers pass about 8 KiB."""
CODES_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
"""Codes by their numbers in a ``Status``."""

_MAX_MESSAGE_BYTES = 1000
_MAX_INFO_BYTES = 2048
_MAX_VALUE_BYTES = 200
_ENVELOPE_BYTES = 100  # type name and lengths around a packed detail

_C = grpc.StatusCode
_BY_REASON: Mapping[tuple[grpc.StatusCode, str], type[DiptychError]] = {
    (_C.NOT_FOUND, Reason.IMAGE_NOT_HELD): ImageNotHeldError,
    # A message over the limit is refused by gRPC itself, which knows no reasons.
    (_C.RESOURCE_EXHAUSTED, ""): MessageTooLargeError,
    (_C.UNIMPLEMENTED, ""): UnsupportedCallError,
}
_BY_CODE: Mapping[grpc.StatusCode, type[DiptychError]] = {
    _C.INVALID_ARGUMENT: InvalidRequestError,
    _C.FAILED_PRECONDITION: InvalidRequestError,
    _C.OUT_OF_RANGE: InvalidRequestError,
    _C.UNIMPLEMENTED: UnsupportedTaskError,
    _C.NOT_FOUND: ModelNotFoundError,
    _C.UNAUTHENTICATED: AuthenticationError,
    _C.PERMISSION_DENIED: AuthenticationError,
    _C.RESOURCE_EXHAUSTED: OverloadedError,
    _C.ABORTED: SessionLostError,
    _C.UNAVAILABLE: UnavailableError,
    _C.DEADLINE_EXCEEDED: DeadlineExceededError,
    _C.CANCELLED: RequestCancelledError,
    _C.INTERNAL: ServerError,
    _C.UNKNOWN: ServerError,
    _C.DATA_LOSS: ServerError,
}


@dataclass(frozen=True)
class StatusDetails:
    """What the details of a status say; what they leave out is empty."""

    reason: str = ""
    """Machine-readable cause; empty when gRPC itself spoke."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Variables of the message, under lowerCamel keys."""
    request_id: str = ""
    violations: Sequence[Violation] = ()
    """Fields that cannot be used."""
    retry_after_s: float | None = None


class RpcFailure(Protocol):
    """What the errors of sync and async calls share."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def error_class(code: grpc.StatusCode, reason: str) -> type[DiptychError]:
    """The exception for a gRPC code and an ``ErrorInfo.reason`` (empty if there was none)."""
    return _BY_REASON.get((code, reason)) or _BY_CODE.get(code, DiptychError)


def error_from_status(status: status_pb2.Status) -> DiptychError:
    """The exception that a ``google.rpc.Status`` stands for."""
    code = code_of(status)
    details = read_details(status)
    kind = error_class(code, details.reason)
    return kind(
        status.message or code.name,
        code=code,
        reason=details.reason,
        metadata=details.metadata,
        request_id=details.request_id,
        violations=details.violations,
        retry_after_s=details.retry_after_s,
    )


def code_of(status: status_pb2.Status) -> grpc.StatusCode:
    """The code of a status; UNKNOWN for a number that gRPC does not have."""
    return CODES_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)


def status_of_call(failure: grpc.RpcError) -> status_pb2.Status | None:
    """The status in the trailers of a failed call; ``None`` if there is none that fits its code."""
    call = cast(RpcFailure, failure)
    for key, value in call.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:
                return None
            return status if status.code == call.code().value[0] else None
    return None


def trailers(status: status_pb2.Status) -> tuple[tuple[str, bytes], ...]:
    """What ``status_of_call`` finds, as the trailing metadata of a call."""
    return ((DETAILS_KEY, status.SerializeToString()),)


def status_message(
    code: grpc.StatusCode, message: str, details: StatusDetails | None = None
) -> status_pb2.Status:
    """A status that never passes 4 KiB: long texts are cut, and the violations that do not fit
    are counted instead."""
    status = status_pb2.Status(code=code.value[0], message=_cut(message, _MAX_MESSAGE_BYTES))
    if details is None:
        return status
    if details.reason:
        _pack(status, _error_info(details))
    if details.retry_after_s is not None:
        _pack(status, error_details_pb2.RetryInfo(retry_delay=duration(details.retry_after_s)))
    if details.violations:
        room = MAX_STATUS_BYTES - status.ByteSize() - _ENVELOPE_BYTES
        _pack(status, _bad_request(details.violations, room))
    return status


def ok_status() -> status_pb2.Status:
    """The status of what works."""
    return status_pb2.Status()


def read_details(status: status_pb2.Status) -> StatusDetails:
    """What the details of a status say; those of other domains are not read."""
    reason, metadata = "", dict[str, str]()
    violations: list[Violation] = []
    retry_after_s: float | None = None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        bad = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        try:
            # A proxy on the way may add an ErrorInfo of its own domain.
            if detail.Unpack(info):
                if info.domain == DOMAIN:
                    reason, metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(bad):
                violations = [Violation(v.field, v.description) for v in bad.field_violations]
            elif detail.Unpack(retry) and retry.HasField("retry_delay"):
                retry_after_s = seconds(retry.retry_delay)
        except DecodeError:
            continue
    request_id = metadata.pop("requestId", "")
    return StatusDetails(reason, metadata, request_id, tuple(violations), retry_after_s)


def _error_info(details: StatusDetails) -> error_details_pb2.ErrorInfo:
    metadata = {key: _cut(value, _MAX_VALUE_BYTES) for key, value in details.metadata.items()}
    if details.request_id:
        metadata["requestId"] = _cut(details.request_id, _MAX_VALUE_BYTES)
    reason = _cut(details.reason, _MAX_VALUE_BYTES)
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)
    if info.ByteSize() > _MAX_INFO_BYTES:
        info.metadata.clear()
    return info


def _bad_request(violations: Sequence[Violation], room: int) -> error_details_pb2.BadRequest:
    """As many violations as fit into ``room`` bytes; the last one counts the rest."""
    bad = error_details_pb2.BadRequest()
    for done, violation in enumerate(violations):
        left = len(violations) - done
        note = f"and {left} more"
        where, text = _cut(violation.field, 200), _cut(violation.description, 300)
        bad.field_violations.add(field=where, description=text)
        if bad.ByteSize() + (len(note) + 4 if left > 1 else 0) > room:
            bad.field_violations[-1].field = ""
            bad.field_violations[-1].description = note
            break
    return bad


def _pack(status: status_pb2.Status, detail: Message) -> None:
    status.details.add().Pack(detail)


def _cut(text: str, max_bytes: int) -> str:
    return text.encode(errors="replace")[:max_bytes].decode(errors="ignore")
