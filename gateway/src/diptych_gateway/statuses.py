"""What a backend's failure looks like to the gateway's client.

Statuses with the details of the error table pass unchanged. What gRPC itself says is reworded where
it would name addresses or internals of a process.
"""

from __future__ import annotations

from dataclasses import replace

import grpc
import structlog
from google.rpc import status_pb2

from diptych.segment import v1 as pb
from diptych.wire.statuses import (
    MAX_STATUS_BYTES,
    code_of,
    read_details,
    status_message,
    status_of_call,
)
from diptych_runtime.calls import request_id
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.quarantine import ENDED_ENGINE

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_RETRY_AFTER_S = 1.0
_CAUSES = (
    ("http1.x server", "HTTP/1 is spoken there, not gRPC; it may be the port of a page"),
    ("SETTINGS frame as the first", "something else than gRPC is spoken there"),
    ("WRONG_VERSION_NUMBER", "no TLS is spoken there, and DIPTYCH_SERVICES_CA asks for it"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not by the authority in DIPTYCH_SERVICES_CA"),
    ("Hostname Verification", "its certificate has another name"),
    ("Connection refused", "nothing listens there"),
    ("Socket closed", "it ends connections, as for TLS or a certificate that it is not given"),
    ("Handshake read failed", "it ends connections when they begin to speak TLS"),
    ("before receiving SETTINGS", "what listens there says nothing"),
    ("errors resolving", "its name is not known"),
    ("http2 header with status", "an HTTP server answers there, and no model service"),
)
"""Parts of what gRPC says (1.85.1), and what they mean."""


_UNHEALTHY = "backend unhealthy"  # words of grpc, for which it has no code


class BackendError(Exception):
    """A model service's own status, to be passed on unchanged."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status

    @property
    def reason(self) -> str:
        """``ErrorInfo.reason``; empty if the status carries none."""
        return read_details(self.status).reason

    @property
    def code(self) -> grpc.StatusCode:
        """The code of the status."""
        return code_of(self.status)

    @property
    def has_ended_engine(self) -> bool:
        """Whether the image that it was asked about is to be tried on no replica."""
        return ENDED_ENGINE in read_details(self.status).metadata


def unreachable(model_id: str, why: str = "") -> ServiceError:
    """The error for a model whose service does not answer."""
    return ServiceError(
        Reason.MODEL_LOADING,
        f"model {model_id!r} cannot be reached: {why or 'it is starting, stopping or down'}",
        metadata={"modelId": model_id},
        retry_after_s=_RETRY_AFTER_S,
    )


def no_replica(model_id: str) -> ServiceError:
    """The error for a model of which no address is known."""
    return ServiceError(
        Reason.MODEL_LOADING,
        f"model {model_id!r} has no replica: no address of it is known",
        metadata={"modelId": model_id},
        retry_after_s=_RETRY_AFTER_S,
    )


def too_late(model_id: str) -> ServiceError:
    """The error for a model that has not answered in time."""
    return ServiceError(
        Reason.DEADLINE,
        f"model {model_id!r} did not answer before the deadline",
        metadata={"modelId": model_id},
    )


def failed(model_id: str) -> ServiceError:
    """The error for a model that broke, or whose answer is none."""
    return ServiceError(
        Reason.MODEL_FAILED, f"model {model_id!r} failed", metadata={"modelId": model_id}
    )


def task_unsupported(model_id: str, task: pb.Task.ValueType, why: str = "") -> ServiceError:
    """The error of a model that does not do a task."""
    name = pb.Task.Name(task)
    return ServiceError(
        Reason.TASK_UNSUPPORTED,
        f"model {model_id!r} does not do {name}{why and f': {why}'}",
        metadata={"modelId": model_id, "task": name},
    )


def of_part(error: BackendError, model_id: str) -> BackendError:
    """The error of a model that was asked on behalf of another; code and reason stay."""
    details = read_details(error.status)
    details = replace(details, metadata={**details.metadata, "modelId": model_id})
    message = f"{model_id}: {error.status.message}"
    return BackendError(status_message(code_of(error.status), message, details))


def from_rpc_error(
    error: grpc.aio.AioRpcError, model_id: str, why: str = ""
) -> BackendError | ServiceError:
    """The error that the gateway's client is to see for a failed call to a model; ``why`` its
    service does not answer, if that is known."""
    code, message = error.code(), error.details() or ""
    status = status_of_call(error)
    if status is not None and status.details:
        return BackendError(_shortened(status))
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        # CANCELLED from the server means that it stopped before it took the call: our own
        # cancellation never comes here, it raises CancelledError.
        if request_id():  # what the gateway asks for itself is asked again every second
            _log.info("model unreachable", model=model_id, code=code.name, cause=message)
        return unreachable(model_id, why)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return too_late(model_id)
    if code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):
        _log.error("model failed", model=model_id, code=code.name, cause=message)
        return failed(model_id)
    return BackendError(status_message(code, message))


def to_status(error: BackendError | ServiceError, request_id: str) -> status_pb2.Status:
    """As it stands in a result; the gateway's own errors carry its request id."""
    return error.status if isinstance(error, BackendError) else error.to_status(request_id)


def _shortened(status: status_pb2.Status) -> status_pb2.Status:
    """The same status if it is small enough to be sent on."""
    if status.ByteSize() <= MAX_STATUS_BYTES:
        return status
    return status_message(code_of(status), status.message, read_details(status))


def cause_of(error: Exception) -> str:
    """Say why a call to a service failed, in words for an operator and without where it is; empty
    if gRPC, whose error it was made of, says nothing that is known."""
    origin = error.__cause__
    said = (origin.details() or "") if isinstance(origin, grpc.aio.AioRpcError) else ""
    return next((cause for part, cause in _CAUSES if part in said), "")


def is_unhealthy(error: Exception) -> bool:
    """Whether a call was not sent because the service says that it does not serve."""
    origin = error.__cause__
    return isinstance(origin, grpc.aio.AioRpcError) and _UNHEALTHY in (origin.details() or "")


def no_replica_of(model_id: str, why: str) -> status_pb2.Status:
    """The status of an address that is no service of a model."""
    text = f"what answers for {model_id!r} {why}; it is sent no calls"
    return status_message(grpc.StatusCode.FAILED_PRECONDITION, text)
