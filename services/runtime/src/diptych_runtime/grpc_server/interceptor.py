"""The border between handlers and gRPC: errors become statuses, each request becomes one log line.

Handlers raise ``ServiceError``; whatever else leaves one is answered INTERNAL with a request id and
without its text, because exception texts carry addresses and paths.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import grpc
import structlog
from google.rpc import status_pb2

from diptych.wire.statuses import CODES_BY_NUMBER, code_of, trailers

from ..calls import REQUEST_ID_KEY, Calls, request_id
from ..engine.errors import Reason, ServiceError, draining, invalid

_HIDDEN = ("/grpc.health.v1.", "/grpc.reflection.")  # probes would drown the log
_C = grpc.StatusCode
_REFUSED = (_C.UNAUTHENTICATED, _C.PERMISSION_DENIED)

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


Observer = Callable[[str, grpc.StatusCode, float], None]
"""Gets each finished call: full method name, code, seconds."""


Gate = Callable[[grpc.HandlerCallDetails, dict[str, object]], None]
"""Checks each call, also of methods that do not exist, before its request is read. Adds to the
fields of its log line; raises a ``ServiceError`` to refuse it."""


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler of a server; must be the outermost interceptor.

    ``calls`` are those under way.
    """

    def __init__(self, observer: Observer | None = None, gate: Gate | None = None) -> None:
        self._observer = observer
        self._gate = gate
        self.calls = Calls()

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Replace the handler's behaviour by a guarded one."""
        handler: Any = await continuation(handler_call_details)
        fields: dict[str, object] = {}
        try:
            if self._gate:
                self._gate(handler_call_details, fields)
        except Exception as error:  # a gate that fails lets nobody in
            handler = _refusal(error)
        if handler is None:
            return None
        kind = _kind(handler)
        wrap = self._single if kind.endswith("unary") else self._many
        read = _reader(handler.request_deserializer, streams=handler.request_streaming)
        guard = partial(_Guard, handler_call_details, fields, self._observer, self.calls)
        behaviour = wrap(guard, getattr(handler, kind), read)
        # Requests are read inside the guard: what grpcio says of unreadable ones is not ours.
        guarded: grpc.RpcMethodHandler[Any, Any] = handler._replace(
            request_deserializer=None, **{kind: behaviour}
        )
        return guarded

    def _single(self, guard: _MakeGuard, behaviour: Any, read: Callable[[Any], Any]) -> Any:
        async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            async with guard(context):
                return await behaviour(read(request), context)

        return guarded

    def _many(self, guard: _MakeGuard, behaviour: Any, read: Callable[[Any], Any]) -> Any:
        if inspect.iscoroutinefunction(behaviour):
            # It writes its replies to the context itself, as the Watch of health does.
            return self._single(guard, behaviour, read)

        async def guarded(
            request: Any, context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[Any]:
            async with guard(context):
                async for reply in behaviour(read(request), context):
                    yield reply

        return guarded


def _kind(handler: Any) -> str:
    """Name the attribute that has a handler's behaviour."""
    request = "stream" if handler.request_streaming else "unary"
    response = "stream" if handler.response_streaming else "unary"
    return f"{request}_{response}"


def _refusal(error: Exception) -> grpc.RpcMethodHandler[Any, Any]:
    """Make a handler that fails with ``error``, for a method of any kind.

    As one of streams it is handed no request, so that the megabytes of a refused image are never
    read; a unary handler runs only when they are.
    """

    async def refuse(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        raise error

    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(refuse)
    return handler


def _reader(parse: Callable[[bytes], Any] | None, *, streams: bool) -> Callable[[Any], Any]:
    """Make a reader of what grpcio hands over, bytes or an iterator of bytes, for a handler."""
    if parse is None:
        return lambda request: request

    def read(raw: bytes) -> Any:
        try:
            return parse(raw)
        except Exception as error:
            raise unreadable(raw) from error

    async def read_each(stream: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for raw in stream:
            yield read(raw)

    return read_each if streams else read


def unreadable(raw: bytes) -> ServiceError:
    """Make the error for bytes that are not the message of their method."""
    text = f"expected the message of this method, got {len(raw)} bytes of something else"
    return invalid(Reason.OPTION_INVALID, "request", text)


class _Guard:
    """Runs around one call; ``fields`` begin its log line."""

    def __init__(
        self,
        details: grpc.HandlerCallDetails,
        fields: Mapping[str, object],
        observer: Observer | None,
        calls: Calls,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        self._details = details
        self._fields = fields
        self._observer = observer
        self._calls = calls
        self._context = context
        self._hidden = details.method.startswith(_HIDDEN)

    async def __aenter__(self) -> None:
        self._started = time.monotonic()
        headers = self._details.invocation_metadata
        self._call = self._calls.enter(headers, self._fields, probe=self._hidden)

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        try:
            await self._settle(error)
        finally:
            self._calls.leave(self._call)
        return False

    async def _settle(self, error: BaseException | None) -> None:
        """Log what became of the call; answer an error that gRPC cannot answer well itself."""
        if error is None or isinstance(error, grpc.aio.AbortError):
            self._finish(_code_of(self._context, failed=error is not None))
            return
        if isinstance(error, GeneratorExit):  # the client left while replies were sent to it
            self._finish(_C.CANCELLED)
            return
        if self._calls.ended(self._call):
            error = draining()
        elif isinstance(error, asyncio.CancelledError) and self._call.task.cancelling():
            # gRPC cancels the task when the client leaves; context.cancelled() does not say so.
            late = self._context.time_remaining() == 0
            self._finish(_C.DEADLINE_EXCEEDED if late else _C.CANCELLED)
            return
        # Any other CancelledError is a fault, and would leave the client waiting for ever.
        if not isinstance(error, ServiceError):
            _log.error("handler failed", request_id=self._call.request_id, exc_info=error)
            error = ServiceError(Reason.MODEL_FAILED, f"internal error {self._call.request_id}")
        self._call.fields["reason"] = error.reason.value
        self._finish(error.code)
        await abort_with(self._context, error.to_status(self._call.request_id))

    def _finish(self, code: grpc.StatusCode) -> None:
        if self._hidden and code not in _REFUSED:
            return
        seconds = time.monotonic() - self._started
        if self._observer:
            self._observer(self._details.method, code, seconds)
        if code is _C.OK:
            # In the next iteration of the loop, so that the reply does not wait for it.
            asyncio.get_running_loop().call_soon(self._write, code, seconds)
        else:
            self._write(code, seconds)

    def _write(self, code: grpc.StatusCode, seconds: float) -> None:
        _log.info(
            "request",
            method=self._details.method.rpartition("/")[2],
            request_id=self._call.request_id,
            code=code.name,
            seconds=round(seconds, 4),
            **self._call.fields,
        )


_MakeGuard = Callable[[grpc.aio.ServicerContext[Any, Any]], _Guard]


def _code_of(context: grpc.aio.ServicerContext[Any, Any], *, failed: bool) -> grpc.StatusCode:
    """Read the code that a handler set; grpcio gives it as an enum member, a number or nothing."""
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return CODES_BY_NUMBER.get(code or 0, _C.UNKNOWN if failed else _C.OK)


async def abort_with(
    context: grpc.aio.ServicerContext[Any, Any], status: status_pb2.Status
) -> None:
    """End the call being served with a rich status. Does not return: grpcio raises."""
    # Only with errors, which have trailers anyway: on an answer they took 0.1 ms over two hops.
    own: tuple[tuple[str, str | bytes], ...] = ((REQUEST_ID_KEY, request_id()),)
    await context.abort(code_of(status), status.message, own + trailers(status))
