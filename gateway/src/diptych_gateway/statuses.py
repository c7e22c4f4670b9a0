"""What a backend's failure looks like to the gateway's client.

Statuses with the details of the error table pass unchanged. What gRPC itself says is reworded where
it would name addresses or internals of a process.
"""

from __future__ import annotations

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from diptych.segment import v1 as pb
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.grpc_server.interceptor import STATUS_DETAILS_KEY
from diptych_runtime.logs import logger

_MAX_DETAILS_BYTES = 4096  # larger trailers may be replaced by RESOURCE_EXHAUSTED on the way
_MAX_MESSAGE_CHARS = 1000
_RETRY_AFTER_S = 1.0


class BackendError(Exception):
    """A model service's own status, to be passed on unchanged."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status

    @property
    def reason(self) -> str:
        """``ErrorInfo.reason``; empty if the status carries none."""
        info = error_details_pb2.ErrorInfo()
        for detail in self.status.details:
            if detail.Unpack(info):
                return str(info.reason)
        return ""


def unreachable(model_id: str) -> ServiceError:
    """The error for a model whose service does not answer."""
    return ServiceError(
        Reason.MODEL_LOADING,
        f"model {model_id!r} cannot be reached: it is starting, stopping or down",
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
    status = status_pb2.Status(code=error.status.code)
    status.message = f"{model_id}: {error.status.message}"[:_MAX_MESSAGE_CHARS]
    for detail in error.status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            info.metadata["modelId"] = model_id
            status.details.add().Pack(info)
        else:
            status.details.append(detail)
    return BackendError(status)


def from_rpc_error(error: grpc.aio.AioRpcError, model_id: str) -> BackendError | ServiceError:
    """The error that the gateway's client is to see for a failed call to a model."""
    code, message = error.code(), error.details() or ""
    status = _rich_status(error)
    if status is not None:
        return BackendError(status)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        # CANCELLED from the server means that it stopped before it took the call: our own
        # cancellation never comes here, it raises CancelledError.
        logger().info("model unreachable", model=model_id, code=code.name, cause=message)
        return unreachable(model_id)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return too_late(model_id)
    if code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):
        logger().error("model failed", model=model_id, code=code.name, cause=message)
        return failed(model_id)
    return BackendError(status_pb2.Status(code=code.value[0], message=message[:_MAX_MESSAGE_CHARS]))


def to_status(error: BackendError | ServiceError, request_id: str) -> status_pb2.Status:
    """As it stands in a result; the gateway's own errors carry its request id."""
    return error.status if isinstance(error, BackendError) else error.to_status(request_id)


def _rich_status(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    """The ``google.rpc.Status`` in the trailers; ``None`` if there is none that fits the code."""
    for key, value in error.trailing_metadata() or ():
        if key != STATUS_DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            status = status_pb2.Status.FromString(value)
        except DecodeError:
            return None
        if status.code != error.code().value[0] or not status.details:
            return None
        return status if len(value) <= _MAX_DETAILS_BYTES else _shortened(status)
    return None


def _shortened(status: status_pb2.Status) -> status_pb2.Status:
    short = status_pb2.Status(code=status.code, message=status.message[:_MAX_MESSAGE_CHARS])
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR) and detail.ByteSize() <= 2048:
            short.details.append(detail)
            break
    return short
