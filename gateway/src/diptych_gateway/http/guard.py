"""What stands around every route: tokens, one log line, errors as problem documents, the drain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from diptych import DiptychError
from diptych_runtime.calls import REQUEST_ID_KEY, Account, Call, Calls, RequestBytes
from diptych_runtime.engine.errors import ServiceError, draining
from diptych_runtime.payers import paid_by

from ..security import tokens
from ..security.gate import TokenGate
from ..statuses import BackendError
from . import events, problems
from .disconnect import ClientDisconnectedError
from .origin import check_origin
from .problems import RefusedError

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

Handler = Callable[[Request], Awaitable[Response]]
Observer = Callable[[str, int, float], None]
"""Called with each answered request: method and route, status, seconds."""

READ = ("GET", "HEAD")
LEFT = 499  # what servers write down for a client that did not wait; never sent
KNOWN = (RefusedError, ServiceError, BackendError, DiptychError)


class Guard:
    """What the endpoints of one server share; ``calls`` are those under way.

    ``origins`` are those of pages that may make it work, beside its own; ``bodies`` has the room
    for forms.
    """

    def __init__(
        self,
        gate: TokenGate | None,
        observer: Observer,
        origins: Collection[str] = (),
        *,
        bodies: RequestBytes,
    ) -> None:
        self.gate = gate
        self.observer = observer
        self.origins = origins
        self.bodies = bodies
        self.calls = Calls()

    def check_origin(self, scope: Scope) -> None:
        """Refuse what a page from elsewhere sends; with tokens it cannot, for it has none.

        Raises:
            RefusedError: 403.
        """
        if self.gate is None:
            check_origin(scope, self.origins)

    def finish(
        self, method: str, status: int, seconds: float, call: Call, *, quiet: bool = False
    ) -> None:
        """Count a request that is over, and write its one line; a ``quiet`` one for debugging."""
        self.observer(method, status, seconds)
        (_log.debug if quiet else _log.info)(
            "request",
            method=method,
            request_id=call.request_id,
            status=status,
            seconds=round(seconds, 4),
            **call.fields,
        )


class Endpoint:
    """A handler as an application of its own. Any method gets to it, so that none goes unguarded.

    ``scope`` is what a token has to be for; ``None`` means everything. ``public`` ones need no
    token, and are not logged, because probes would drown the log. ``beside`` are the methods that
    another endpoint has at the same path. Of what is asked ``often``, only failures are logged.
    """

    def __init__(
        self,
        guard: Guard,
        route: str,
        handler: Handler,
        *,
        methods: tuple[str, ...] = READ,
        scope: tokens.Scope | None = None,
        public: bool = False,
        beside: tuple[str, ...] = (),
        often: bool = False,
    ) -> None:
        self._often = often
        self._allowed = (*beside, *methods)
        self.methods = methods
        self.scope = scope
        self.public = public
        self._guard = guard
        self._route = route
        self.handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        calls = self._guard.calls
        call = calls.enter(header_pairs(scope), probe=self.public)
        reply = _Reply(call.request_id, scope, receive, send)
        started = time.monotonic()
        try:
            with self._guard.bodies.hold() as held:
                request = Request(scope, receive)
                request.state.held = held
                await self._answer(request, reply, call)
        except asyncio.CancelledError:
            if not calls.ended(call):
                raise
            call.task.uncancel()
            await reply.problem(draining())
        finally:
            calls.leave(call)
            # Clients may invent methods; those are counted as one.
            method = scope["method"] if scope["method"] in self.methods else "other"
            if not self.public:
                seconds = time.monotonic() - started
                quiet = self._often and reply.status < 400
                named = f"{method} {self._route}"
                self._guard.finish(named, reply.status, seconds, call, quiet=quiet)

    async def _answer(self, request: Request, reply: _Reply, call: Call) -> None:
        try:
            with paid_by(self._check(request, call)):
                response = await self.handler(request)
                await response(request.scope, request.receive, reply.send)
        except ClientDisconnectedError:
            reply.status = LEFT
        except KNOWN as error:
            if reason := getattr(error, "reason", ""):
                call.fields["reason"] = str(reason)
            await reply.problem(error)
        except Exception as error:
            _log.error("handler failed", request_id=call.request_id, exc_info=error)
            await reply.problem(problems.internal(call.request_id))

    def _check(self, request: Request, call: Call) -> Account | None:
        account: Account | None = None
        if self._guard.gate and not self.public:
            given = request.headers.getlist("authorization")
            account = self._guard.gate.check(given, self.scope, call.fields)
        if request.method not in self.methods:
            allowed = ", ".join(self._allowed)
            text = f"expected {allowed}, got {request.method}"
            raise RefusedError(405, text, Allow=allowed)
        if request.method not in READ:
            self._guard.check_origin(request.scope)
        return account


def header_pairs(scope: Scope) -> list[tuple[str, str]]:
    """Return the headers of a request, their names in lower case."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]


class _Reply:
    """One answer on its way; ``status`` is 0 until it has begun."""

    def __init__(self, request_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        self.status = 0
        self._request_id = request_id
        self._scope = scope
        self._receive = receive
        self._send = send
        self._streams = False

    async def send(self, message: Message) -> None:
        """Send as an application does; every answer names its request."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = list(message.get("headers", ()))
            kind = dict(given).get(b"content-type", b"")
            self._streams = kind.startswith(events.MEDIA_TYPE.encode())
            named = (REQUEST_ID_KEY.encode(), self._request_id.encode())
            message = {**message, "headers": [*given, named]}
        await self._send(message)

    async def problem(self, error: Exception) -> None:
        """Say what went wrong; as the last event of a stream that has begun.

        Of another answer that has begun nothing can be said: its connection is closed.
        """
        if not self.status:
            response = problems.response(error, self._request_id)
            await response(self._scope, self._receive, self.send)
        elif self._streams:
            last = events.event("error", problems.document(error, self._request_id))
            await self.send({"type": "http.response.body", "body": last})
