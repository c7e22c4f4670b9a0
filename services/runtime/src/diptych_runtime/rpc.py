"""The border between handlers and gRPC: errors become statuses, each request becomes one log line.

Handlers raise ``ServiceError``; whatever else leaves one is answered INTERNAL with a request id and
without its text, because exception texts carry addresses and paths.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import status_pb2

from .errors import Reason, ServiceError
from .logs import logger

STATUS_DETAILS_KEY = "grpc-status-details-bin"
_HIDDEN = ("/grpc.health.v1.", "/grpc.reflection.")  # probes would drown the log


@dataclass
class RequestLog:
    """What is known of the request that this task serves."""

    request_id: str
    fields: dict[str, object] = field(default_factory=dict)


_current: contextvars.ContextVar[RequestLog] = contextvars.ContextVar("diptych_request")


def request_id() -> str:
    """Id of the request being served, as in the log and in errors; empty outside of one."""
    current = _current.get(None)
    return current.request_id if current else ""


def log_fields(**fields: object) -> None:
    """Add fields to the log line of the request being served."""
    current = _current.get(None)
    if current:
        current.fields.update(fields)


Observer = Callable[[str, grpc.StatusCode, float], None]
"""Told of each finished call: full method name, code, seconds."""


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler of a server; must be the outermost interceptor."""

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Replace the handler's behaviour by a guarded one."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        guarded: grpc.RpcMethodHandler[Any, Any] = handler
        if handler.unary_unary:
            behaviour = self._single(method, handler.unary_unary)
            guarded = _with(handler, unary_unary=behaviour)
        elif handler.stream_unary:
            behaviour = self._single(method, handler.stream_unary)
            guarded = _with(handler, stream_unary=behaviour)
        elif handler.unary_stream:
            guarded = _with(handler, unary_stream=self._many(method, handler.unary_stream))
        elif handler.stream_stream:
            guarded = _with(handler, stream_stream=self._many(method, handler.stream_stream))
        return guarded

    def _single(self, method: str, behaviour: Any) -> Any:
        async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            async with _Guard(method, context, self._observer):
                return await behaviour(request, context)

        return guarded

    def _many(self, method: str, behaviour: Any) -> Any:
        async def guarded(
            request: Any, context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[Any]:
            async with _Guard(method, context, self._observer):
                async for reply in behaviour(request, context):
                    yield reply

        return guarded


def _with(handler: Any, **changes: Any) -> Any:
    """A copy of a handler (a named tuple in grpcio) with some behaviour replaced."""
    return handler._replace(**changes)


class _Guard:
    """Runs around one call."""

    def __init__(
        self, method: str, context: grpc.aio.ServicerContext[Any, Any], observer: Observer | None
    ) -> None:
        self._method = method
        self._context = context
        self._observer = observer
        self._log = RequestLog(uuid.uuid4().hex[:16])
        self._started = 0.0

    async def __aenter__(self) -> None:
        self._started = time.monotonic()
        _current.set(self._log)

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, GeneratorExit):
            return False
        code = grpc.StatusCode.OK
        try:
            code = await self._settle(error)
        finally:
            self._finish(code, error)
        return True

    async def _settle(self, error: BaseException | None) -> grpc.StatusCode:
        """Answer what the handler left; raises to end the call."""
        if error is None or isinstance(error, grpc.aio.AbortError):
            code = self._context.code()
            known = {c.value[0]: c for c in grpc.StatusCode}
            if error is not None:
                self._finish(known.get(_number(code), grpc.StatusCode.UNKNOWN), error)
                raise error
            return known.get(_number(code), grpc.StatusCode.OK)
        if isinstance(error, asyncio.CancelledError):
            if self._context.cancelled() or self._context.done():
                self._finish(grpc.StatusCode.CANCELLED, error)
                raise error
            # A CancelledError that the client did not cause would leave it waiting for ever.
            error = ServiceError(Reason.DRAINING, "the server is stopping", retry_after_s=1.0)
        if not isinstance(error, ServiceError):
            logger().error("handler failed", request_id=self._log.request_id, exc_info=error)
            error = ServiceError(Reason.MODEL_FAILED, f"internal error {self._log.request_id}")
        self._log.fields["reason"] = error.reason.value
        self._finish(error.code, error)
        await abort_with(self._context, error.to_status(self._log.request_id))
        raise AssertionError("abort returned")

    def _finish(self, code: grpc.StatusCode, error: BaseException | None) -> None:
        if not self._started:
            return
        seconds, self._started = time.monotonic() - self._started, 0.0
        if self._method.startswith(_HIDDEN):
            return
        if self._observer:
            self._observer(self._method, code, seconds)
        logger().info(
            "request",
            method=self._method.rpartition("/")[2],
            request_id=self._log.request_id,
            code=code.name,
            seconds=round(seconds, 4),
            **self._log.fields,
        )


def _number(code: Any) -> int:
    """The number of a code that grpcio gives as an enum member or as an int."""
    if code is None:
        return 0
    value = code.value if isinstance(code, grpc.StatusCode) else code
    return int(value[0] if isinstance(value, tuple) else value)


async def abort_with(
    context: grpc.aio.ServicerContext[Any, Any], status: status_pb2.Status
) -> None:
    """End a call with a rich status. Does not return: grpcio raises."""
    codes = {c.value[0]: c for c in grpc.StatusCode}
    details = ((STATUS_DETAILS_KEY, status.SerializeToString()),)
    await context.abort(codes[status.code], status.message, details)
