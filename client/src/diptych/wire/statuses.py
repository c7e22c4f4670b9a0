"""Errors as they travel, read into exceptions; the codes of the error table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, cast

import grpc
from google.protobuf.message import DecodeError
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

_DOMAIN = "diptych"
_DETAILS_KEY = "grpc-status-details-bin"
CODES = {code.value[0]: code for code in grpc.StatusCode}
"""By their numbers in a ``Status``."""

_C = grpc.StatusCode
_BY_REASON: Mapping[tuple[grpc.StatusCode, str], type[DiptychError]] = {
    (_C.NOT_FOUND, "IMAGE_NOT_HELD"): ImageNotHeldError,
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


class RpcFailure(Protocol):
    """What the errors of sync and async calls share."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def error_class(code: grpc.StatusCode, reason: str) -> type[DiptychError]:
    """The exception for a gRPC code and an ``ErrorInfo.reason`` (empty if there was none)."""
    return _BY_REASON.get((code, reason)) or _BY_CODE.get(code, DiptychError)


def error_from_rpc(failure: grpc.RpcError, *, address: str, timeout: float | None) -> DiptychError:
    """The exception for a failed call to ``address`` that was given ``timeout`` seconds."""
    call = cast(RpcFailure, failure)
    status = _rich_status(call)
    if status is not None and status.code == call.code().value[0]:
        return error_from_status(status)
    code, details = call.code(), call.details() or ""
    kind = error_class(code, "")
    return kind(_plain_message(code, details, address, timeout), code=code)


def error_from_status(status: status_pb2.Status) -> DiptychError:
    """The exception that a ``google.rpc.Status`` stands for."""
    code = CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    info, bad, retry = _details(status)
    metadata = dict(info.metadata)
    request_id = metadata.pop("requestId", "")
    kind = error_class(code, info.reason)
    return kind(
        status.message or code.name,
        code=code,
        reason=info.reason,
        metadata=metadata,
        request_id=request_id,
        violations=[Violation(v.field, v.description) for v in bad.field_violations],
        retry_after_s=retry.retry_delay.ToNanoseconds() / 1e9
        if retry.HasField("retry_delay")
        else None,
    )


def _details(
    status: status_pb2.Status,
) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo]:
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        found = error_details_pb2.ErrorInfo()
        try:
            # A proxy on the way may add an ErrorInfo of its own domain.
            if detail.Unpack(found) and found.domain == _DOMAIN:
                info = found
            elif not detail.Unpack(bad):
                detail.Unpack(retry)
        except DecodeError:
            continue
    return info, bad, retry


def _rich_status(call: RpcFailure) -> status_pb2.Status | None:
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _plain_message(code: grpc.StatusCode, details: str, address: str, timeout: float | None) -> str:
    if code is grpc.StatusCode.UNAVAILABLE:
        return f"{address}: {_why_unavailable(details)}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        within = "in time" if timeout is None else f"within {timeout:g} s"
        return f"{address}: no answer {within}"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return (
            f"{address}: the server does not offer this call ({details}); "
            "comparisons and lists of cards are the gateway's"
        )
    return f"{address}: {details or code.name}"


def _why_unavailable(details: str) -> str:
    # gRPC lists what it tried; the cause comes last: "...: connect: Connection refused (111)".
    cause = details.removesuffix(": OK").rpartition(": ")[2]
    if "WRONG_VERSION_NUMBER" in details:
        return "TLS failed: what listens there does not speak it"
    if "Hostname Verification" in details:
        return "TLS failed: the server's certificate is for another name"
    if "handshake failed" in details:
        return f"TLS failed: the server's certificate is not trusted ({cause})"
    if "failed to connect" in details and cause == "Socket closed":
        return "the server hung up at once; does it want TLS, or a certificate of the client?"
    return f"no server answers there ({cause.lower() or 'unavailable'}); is it running?"
