"""The routes of the HTTP server and the headers of every answer."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..security import tokens
from . import problems, video_socket
from .api import Api
from .description.openapi import describe
from .export.api import Export
from .guard import READ, Endpoint, Guard, Handler
from .packed import PackedFiles
from .problems import RefusedError
from .video_socket import VideoSockets

PAGE = Path(__file__).parent.parent / "page"
VIEWER = PAGE.with_name("viewer")
_POST = ("POST",)
_ANY = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def routes(api: Api, export: Export, guard: Guard, sockets: VideoSockets) -> list[BaseRoute]:
    """List everything that is served; what has no scope here needs a token for everything."""
    read, segment = tokens.Scope.READ, tokens.Scope.SEGMENT

    def route(
        path: str,
        handler: Handler,
        scope: tokens.Scope | None = None,
        methods: tuple[str, ...] = READ,
        public: bool = False,
        *,
        goes_on: bool = False,
        beside: tuple[str, ...] = (),
        often: bool = False,
    ) -> Route:
        """``goes_on``: other methods are for the next route of this path, which names ``beside``
        itself those of this one."""
        endpoint = Endpoint(
            guard,
            path,
            handler,
            methods=methods,
            scope=scope,
            public=public,
            beside=beside,
            often=often,
        )
        return Route(path, endpoint, methods=methods if goes_on else None)

    found: list[BaseRoute] = []

    async def openapi(_: Request) -> Response:
        """This description."""
        return JSONResponse(describe(found))

    found += [
        route("/api/openapi.json", openapi, public=True),
        route("/api/models", api.models, read),
        route("/api/models/{model_id}", api.model, read),
        route("/api/cards", api.cards, read),
        route("/api/server", api.server, read),
        route("/version", api.version, read),
        route("/api/segment", api.segment, segment, _POST),
        route("/api/compare", api.compare, segment, _POST),
        route("/api/compare/stream", api.compare_stream, segment, _POST),
        route("/api/export", export.formats, read, goes_on=True),
        route("/api/export", export.export, segment, _POST, beside=READ),
        WebSocketRoute(video_socket.PATH, sockets),
        route("/api/docs", api.docs, public=True),
        Mount("/api/docs", PackedFiles(directory=VIEWER, html=True), name="viewer"),
        route("/api/{path:path}", api.nothing, methods=_ANY),
        route("/healthz", api.healthz, public=True),
        route("/readyz", api.readyz, public=True),
        route("/metrics", api.metrics, read, often=True),
        # Images and clips are small as they are, and a clip is asked for in parts.
        Mount("/samples", StaticFiles(directory=PAGE / "samples"), name="samples"),
        Mount("/", GZipMiddleware(StaticFiles(directory=PAGE, html=True)), name="page"),
    ]
    return found


def application(routes: list[BaseRoute]) -> ASGIApp:
    """Make the application that serves these routes."""
    handlers = {HTTPException: _problem}
    return _WithHeaders(Starlette(routes=routes, exception_handlers=handlers))


async def _problem(request: Request, error: Exception) -> Response:
    """Answer errors about the files of the page; everything else has a guard of its own."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    return problems.response(RefusedError(error.status_code, error.detail, **headers), "")


class _WithHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, send_with_headers)
