"""The border between handlers and gRPC: errors become statuses, each request becomes one log line.

Handlers raise ``ServiceError``; whatever else leaves one is answered INTERNAL with a request id and
without its text, because exception texts carry addresses and paths.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

import grpc
import structlog
from google.rpc import status_pb2

from diptych.limits import MAX_REQUEST_BYTES
from diptych.wire.statuses import CODES_BY_NUMBER, code_of, trailers

from ..calls import REQUEST_ID_KEY, Account, Calls, RequestBytes, log_field, request_id
from ..engine.errors import Reason, ServiceError, draining, unreadable
from ..payers import paid_by
from .peers import hang_up

_HIDDEN = ("/grpc.health.v1.", "/grpc.reflection.")  # probes would drown the log
WRITE_S = 20.0
"""Time for a client to take a message that was sent to it."""
_UNREAD_BYTES = 64 * 1024  # what HTTP/2 sends to a client that takes nothing
_PROBE_BYTES = 4 * MAX_REQUEST_BYTES
_C = grpc.StatusCode
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Behaviour: TypeAlias = "Callable[[_Context, Any], AbstractAsyncContextManager[Any]]"
_REFUSED = (_C.UNAUTHENTICATED, _C.PERMISSION_DENIED)

_OFTEN = frozenset(("GetModelStats",))

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


Observer = Callable[[str, grpc.StatusCode, float], None]
"""Gets each finished call: full method name, code, seconds."""


Gate = Callable[[grpc.HandlerCallDetails, dict[str, object]], Account | None]
"""Checks each call, also of methods that do not exist, before its request is read. Adds to the
fields of its log line and says who pays for it; raises a ``ServiceError`` to refuse it."""


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler of a server; must be the outermost interceptor.

    ``calls`` are those under way.
    """

    def __init__(
        self,
        observer: Observer | None = None,
        gate: Gate | None = None,
        bodies: RequestBytes | None = None,
        write_s: float = WRITE_S,
    ) -> None:
        self._observer = observer
        self._gate = gate
        self._bodies = bodies or RequestBytes(sys.maxsize)
        # Nobody who sends much can take the room of those who ask whether we live.
        self._probes = RequestBytes(_PROBE_BYTES)
        self._write_s = write_s
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
        account: Account | None = None
        try:
            if self._gate:
                account = self._gate(handler_call_details, fields)
        except Exception as error:  # a gate that fails lets nobody in
            handler = _refusal(error)
        if handler is None:
            return None
        hidden = handler_call_details.method.startswith(_HIDDEN)
        read = _reader(handler.request_deserializer, streams=handler.request_streaming)
        guard = partial(_Guard, handler_call_details, fields, self._observer, self.calls)
        behaviour = getattr(handler, _kind(handler))
        if not handler.request_streaming:
            behaviour = _of_one(behaviour, read, self._probes if hidden else self._bodies)
        else:
            behaviour = _of_many(behaviour, read)
        if account is not None:
            behaviour = _paid(behaviour, account)
        # For gRPC all requests are streams: the one message of a call is read when there is room.
        # They are read inside the guard: what grpcio says of unreadable ones is not ours.
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._many(guard, behaviour), None, handler.response_serializer
            )
        return grpc.stream_unary_rpc_method_handler(
            self._single(guard, behaviour), None, handler.response_serializer
        )

    def _single(self, guard: _MakeGuard, behaviour: _Behaviour) -> Any:
        async def guarded(requests: Any, context: _Context) -> Any:
            async with guard(context), behaviour(context, requests) as reply:
                reply = await reply
                if isinstance(reply, bytes) and len(reply) > _UNREAD_BYTES:
                    self._watch(context)
                return reply

        return guarded

    def _many(self, guard: _MakeGuard, behaviour: _Behaviour) -> Any:
        async def guarded(requests: Any, context: _Context) -> None:
            async with guard(context), behaviour(context, requests) as replies:
                if inspect.isawaitable(replies):
                    await replies  # it writes to the context itself, as the Watch of health does
                    return
                async with aclosing(replies):
                    async for reply in replies:
                        await self._write(context, reply)

        return guarded

    async def _write(self, context: _Context, reply: Any) -> None:
        try:
            async with asyncio.timeout(self._write_s):
                await context.write(reply)
        except TimeoutError:
            _end_of_reader(context)
            await asyncio.sleep(self._write_s)  # until gRPC sees that the connection is gone
            raise

    def _watch(self, context: _Context) -> None:
        """End the connection unless the reply is taken in time."""
        loop = asyncio.get_running_loop()
        late = loop.call_later(self._write_s, _end_of_reader, context)
        context.add_done_callback(lambda _: late.cancel())  # type: ignore[arg-type]


def _end_of_reader(context: _Context) -> None:
    peer = context.peer()
    _log.warning("client does not read, hung up", peer=peer, found=hang_up(peer))


def _of_one(behaviour: Any, read: Callable[[Any], Any], bodies: RequestBytes) -> _Behaviour:
    """Have a behaviour answer one message, which counts as held until it has."""

    @asynccontextmanager
    async def answering(context: _Context, _: Any) -> AsyncIterator[Any]:
        with bodies.hold() as held:
            message = await bodies.read(held, context.read)
            raw = message if isinstance(message, bytes) else b""  # else the client has left
            held.resize(len(raw))
            yield behaviour(read(raw), context)

    return answering


def _of_many(behaviour: Any, read: Callable[[Any], Any]) -> _Behaviour:
    @asynccontextmanager
    async def answering(context: _Context, requests: Any) -> AsyncIterator[Any]:
        yield behaviour(read(requests), context)

    return answering


def _paid(behaviour: _Behaviour, account: Account) -> _Behaviour:
    """Have an account pay, which may refuse before the request is read."""

    @asynccontextmanager
    async def answering(context: _Context, requests: Any) -> AsyncIterator[Any]:
        with paid_by(account):
            async with behaviour(context, requests) as reply:
                yield reply

    return answering


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
        name = self._details.method.rpartition("/")[2]
        # Whoever scrapes asks for these all day.
        quiet = code is _C.OK and name in _OFTEN
        (_log.debug if quiet else _log.info)(
            "request",
            method=name,
            request_id=self._call.request_id,
            code=code.name,
            seconds=round(seconds, 4),
            **self._call.fields,
        )


def failure_reason() -> str:
    """Read why the call being served failed: a reason of the error table, ``"other"``, or nothing.

    For labels of metrics, which must be few whatever a service says.
    """
    reason = str(log_field("reason") or log_field("backend_reason") or "")
    return reason if not reason or reason in Reason.__members__ else "other"


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
