"""The HTTP server, in the event loop of the gateway; who starts and stops it is the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import uvicorn
from starlette.routing import BaseRoute

from diptych.limits import MAX_REQUEST_BYTES
from diptych_runtime.calls import RequestBytes
from diptych_runtime.grpc_server import server as serving
from diptych_runtime.grpc_server.tls import ServerTls

from ..backend.images import ImageCache
from ..backend.registry import Registry
from ..metrics import Metrics
from ..security.gate import TokenGate
from ..settings import Settings
from .api import About, Api
from .app import application, routes
from .connections import Connections, Http, Socket
from .export.api import Export
from .guard import Guard
from .video_socket import VideoSockets

_STOP_RESERVE_S = 5
_LAST_REQUESTS_S = 2.0


class HttpServer:
    """Listens from ``bind`` on and answers from ``start`` on."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        cache: ImageCache,
        *,
        metrics: Metrics,
        gate: TokenGate | None = None,
        tls: ServerTls | None = None,
        bodies: RequestBytes | None = None,
        max_connections: int = 1000,
        grpc_port: Callable[[], int] = lambda: 0,
    ) -> None:
        self._host = settings.host
        self._wanted_port = settings.http_port or 0
        self._tls = tls
        bodies = bodies or RequestBytes(settings.request_bytes)
        self._guard = Guard(gate, metrics.http_request, settings.http_origins, bodies=bodies)
        self._draining = False
        self._grpc_port = grpc_port
        self._sockets = VideoSockets(settings, registry, self._guard, metrics)
        self._max_connections = max_connections
        api = self._api = Api(
            settings, registry, cache, metrics, lambda: self._draining, self._about, bodies
        )
        export = Export(settings, registry, bodies)
        self.routes: list[BaseRoute] = routes(api, export, self._guard, self._sockets)
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    def _about(self) -> About:
        return {"grpc_port": self._grpc_port(), "tls": self._tls is not None}

    def bind(self) -> int:
        """Take the port; returns it.

        Raises:
            PortTakenError: it is in use or the address is not ours.
        """
        self._socket = serving.open_port(self._host, self._wanted_port, backlog=1024)
        # Connections inherit it; asyncio sets it on those of its own listeners. Without it the last
        # piece of an answer waits 40 ms for the peer's acknowledgement of the others.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return int(self._socket.getsockname()[1])

    async def start(self) -> None:
        """Answer what comes to the port."""
        assert self._socket is not None
        config = uvicorn.Config(
            application(self.routes),
            http=Http,
            ws=Socket,
            ws_max_size=MAX_REQUEST_BYTES,
            # A model that is slow holds its client back, whose pongs then come late.
            ws_ping_timeout=None,
            # Frames are compressed already.
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        config.load()
        config.ssl = self._tls.ssl_context() if self._tls else None
        self._server = _Server(config, self._max_connections)
        self._serving = asyncio.create_task(self._server.serve([self._socket]))
        await self._server.listening.wait()

    async def drain(self, grace_s: float) -> None:
        """Say that it is not ready, let clients notice, finish running requests, then stop.

        Requests that are not done after ``grace_s`` seconds are answered DRAINING. Video sessions
        are so told once what they sent is answered.
        """
        self._draining = True
        if self._server is None or self._serving is None:
            self.close()
            return
        await asyncio.sleep(serving.NOTICE_S)
        until = time.monotonic() + grace_s
        # Some of it is for requests that come while sessions end.
        await self._sockets.drain(grace_s - min(_LAST_REQUESTS_S, grace_s / 4))
        grace_s = max(0.0, until - time.monotonic())
        self._server.config.timeout_graceful_shutdown = int(grace_s) + _STOP_RESERVE_S
        self._server.should_exit = True
        await self._guard.calls.finish(grace_s)
        await self._serving
        self._api.close()

    def close(self) -> None:
        """Give the port back if nothing was served."""
        if self._socket is not None and self._server is None:
            self._socket.close()


class _Server(uvicorn.Server):
    """Leaves the signals to the gateway, and says when it listens."""

    def __init__(self, config: uvicorn.Config, max_connections: int) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._max_connections = max_connections

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self.servers = [
            Connections(  # type: ignore[misc]  # has of a server what uvicorn uses
                listening,
                self._connection,
                self.server_state.connections,
                most=self._max_connections,
                tls=self.config.ssl,
            )
            for listening in sockets or ()
        ]
        self.listening.set()

    def _connection(self) -> Http:
        return Http(self.config, self.server_state, self.lifespan.state)
