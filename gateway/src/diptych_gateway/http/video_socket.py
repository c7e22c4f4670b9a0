"""A video session over a WebSocket: one connection is one session with one model.

It is the gateway's own way of a session, with JSON in front of it. Nothing is read ahead: the next
message is taken from the connection when the one before was written to the model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import structlog
from google.protobuf.message import DecodeError
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from diptych import DiptychError
from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb
from diptych_runtime.calls import REQUEST_ID_KEY, Account, Call, Calls, log_fields
from diptych_runtime.engine.errors import Reason, ServiceError, draining
from diptych_runtime.payers import paid_by

from ..backend.registry import Registry
from ..metrics import Metrics
from ..request import Deadline
from ..security import tokens
from ..settings import Settings
from . import problems
from .connections import HEAD_S
from .disconnect import ClientDisconnectedError
from .guard import KNOWN, LEFT, Guard, header_pairs
from .problems import RefusedError
from .video_messages import (
    StartMessage,
    answer_text,
    failed_text,
    read_frame,
    read_start,
    read_text,
    refused_text,
)

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

PATH = "/api/video"
MAX_START_BYTES = 64 * 1024
_LAST_ANSWERS_S = 3.0
"""Time for what is under way when a server that stops takes nothing more."""
_OPEN, _ENDED, _GOING_AWAY, _PROBLEM = 101, 1000, 1001, 4000


class VideoSockets:
    """The endpoint, and the sessions that are open through it."""

    scope = tokens.Scope.VIDEO

    def __init__(
        self, settings: Settings, registry: Registry, guard: Guard, metrics: Metrics
    ) -> None:
        self.settings = settings
        self.registry = registry
        self.guard = guard
        self.calls = Calls()
        self.draining = asyncio.Event()
        """No session is opened any more."""
        self.closing = asyncio.Event()
        """Nothing more is taken from those that are open."""
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        call = self.calls.enter(header_pairs(scope), probe=False)
        socket = WebSocket(scope, receive, send)
        session = _Session(self, socket, call)
        started = time.monotonic()
        try:
            with self._metrics.video_sockets.track_inprogress():
                await session.serve()
        except asyncio.CancelledError:
            if not self.calls.ended(call):
                raise
            call.task.uncancel()
            await session.fail(draining())
        finally:
            self.calls.leave(call)
            seconds = time.monotonic() - started
            self.guard.finish(f"GET {PATH}", session.status, seconds, call)

    async def drain(self, grace_s: float) -> None:
        """Open no session, let those that are open end by themselves for most of the time, then
        take nothing more, answer what is under way and say that the server goes away."""
        self.draining.set()
        last_s = min(_LAST_ANSWERS_S, grace_s / 2)
        await self.calls.settle(grace_s - last_s)
        self.closing.set()
        await self.calls.finish(last_s)


class _Session:
    """One connection; ``status`` is what it ended with."""

    def __init__(self, sockets: VideoSockets, socket: WebSocket, call: Call) -> None:
        self.status = _OPEN
        self._sockets = sockets
        self._socket = socket
        self._call = call
        self._number = 1
        self._closed_normally = False

    async def serve(self) -> None:
        """Serve until one side has ended it."""
        try:
            self._sockets.guard.check_origin(self._socket.scope)
        except RefusedError as error:
            self.status = error.status
            denial = problems.response(error, self._call.request_id)
            denial.headers[REQUEST_ID_KEY] = self._call.request_id
            await self._socket.send_denial_response(denial)
            return
        try:
            named = (REQUEST_ID_KEY.encode(), self._call.request_id.encode())
            await self._socket.accept(headers=[named])
            start = await self._start()
            with paid_by(self._check_token(start)):
                await self._relay(start)
            if self._sockets.closing.is_set():
                raise draining()
            await self._socket.close(_ENDED)
        except (ClientDisconnectedError, WebSocketDisconnect):
            self.status = _OPEN if self._closed_normally else LEFT
        except KNOWN as error:
            await self.fail(error)
        except Exception as error:
            _log.error("handler failed", request_id=self._call.request_id, exc_info=error)
            await self.fail(problems.internal(self._call.request_id))

    async def fail(self, error: Exception) -> None:
        """Say what went wrong, and close; the code is that of the error table."""
        if self._socket.client_state is WebSocketState.DISCONNECTED:
            self.status = LEFT  # whatever became of the work after it
            return
        if reason := getattr(error, "reason", ""):
            self._call.fields["reason"] = str(reason)
        problem = problems.document(error, self._call.request_id)
        self.status = problem["status"]
        code = _PROBLEM + self.status
        if problem["reason"] == Reason.DRAINING and self._sockets.draining.is_set():
            code = _GOING_AWAY
        try:
            await self._socket.send_text(failed_text(problem))
            await self._socket.close(code, problem["reason"])
        except (WebSocketDisconnect, RuntimeError):
            self.status = LEFT
            _log.debug("client left before the end", request_id=self._call.request_id)

    async def _start(self) -> StartMessage:
        """Receive the first message."""
        within_s = min(self._sockets.settings.default_deadline_s, HEAD_S)
        try:
            async with asyncio.timeout(within_s):
                message = await self._receive(until=self._sockets.draining)
        except TimeoutError as error:
            text = f"expected start within {within_s:g} s, got nothing"
            raise ServiceError(Reason.SESSION_EXPIRED, text) from error
        if message is None:
            raise draining()
        text = message.get("text") or ""
        if len(text) > MAX_START_BYTES:
            raise RefusedError(413, f"start: expected at most {MAX_START_BYTES} bytes, got more")
        if not text:
            raise ServiceError(Reason.SESSION_ORDER, "the first message must be start, got a frame")
        return read_start(text)

    def _check_token(self, start: StartMessage) -> Account | None:
        """Check the token of the header, or of the message: browsers send WebSockets no header."""
        gate = self._sockets.guard.gate
        if gate is None:
            return None
        given = self._socket.headers.getlist("authorization")
        if start.token:
            given.append(f"Bearer {start.token}")
        return gate.check(given, self._sockets.scope, self._call.fields)

    async def _relay(self, start: StartMessage) -> None:
        log_fields(model=start.model[:100])
        model = self._sockets.registry.model(start.model)
        deadline = Deadline.of_session_within(start.timeout_s, self._sockets.settings)
        first = _numbered(start.request(), self._number)
        relay = model.video(first, self._requests(), deadline)
        with self._sockets.registry.sessions.opened(relay):
            async with aclosing(relay.answers()) as answers:
                async for raw in answers:
                    await self._answer(raw, start)

    async def _answer(self, raw: bytes, start: StartMessage) -> None:
        try:
            text = await asyncio.to_thread(
                answer_text, raw, self._call.request_id, start.mask_encoding
            )
        except (DecodeError, DiptychError) as error:
            _log.error("answer is no answer", model=start.model)
            raise ServiceError(Reason.MODEL_FAILED, f"model {start.model!r} failed") from error
        if text is not None:
            await self._socket.send_text(text)

    async def _requests(self) -> AsyncIterator[bytes]:
        """Yield what the client sends, until it says that this is all or the server closes."""
        while (message := await self._receive(until=self._sockets.closing)) is not None:
            self._number += 1
            try:
                raw = await asyncio.to_thread(_read, message, self._number)
            except (ServiceError, RefusedError) as error:
                # As in the stream of gRPC: refused without a trace, and the session goes on.
                request_id = self._call.request_id
                await self._socket.send_text(refused_text(error, self._number, request_id))
                continue
            if raw is None:
                return
            yield raw

    async def _receive(self, *, until: asyncio.Event) -> Message | None:
        """Receive the next message; ``None`` when the event comes first.

        Raises:
            ClientDisconnectedError: there is none any more.
        """
        coming = asyncio.ensure_future(self._socket.receive())
        stopping = asyncio.ensure_future(until.wait())
        try:
            await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                return None
            message = coming.result()
        finally:
            coming.cancel()
            stopping.cancel()
        if message["type"] == "websocket.disconnect":
            self._closed_normally = message["code"] == _ENDED
            raise ClientDisconnectedError
        return message


def _read(message: Message, number: int) -> bytes | None:
    """Translate a message to the request of gRPC that it stands for; ``None`` for the end."""
    if (data := message.get("bytes")) is not None:
        raw = read_frame(data, number)
    elif (request := read_text(message.get("text") or "")) is not None:
        raw = _numbered(request, number)
    else:
        return None
    if len(raw) > MAX_REQUEST_BYTES:
        text = f"expected a message of at most {MAX_REQUEST_BYTES} bytes, got {len(raw)}"
        raise RefusedError(413, text)
    return raw


def _numbered(request: pb.SegmentVideoRequest, number: int) -> bytes:
    request.seq = number
    return request.SerializeToString()
