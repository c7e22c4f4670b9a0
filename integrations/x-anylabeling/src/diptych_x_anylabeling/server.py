"""The server: a port, and uvicorn on it."""

from __future__ import annotations

import socket

import uvicorn

from .app import Wire
from .options import Options
from .refusals import Http

_CONNECTIONS = 100


class RemoteServer:
    """What X-AnyLabeling takes for its remote server. Listens once it is made.

    Raises:
        OSError: the port is in use, or the address is not ours.
        ValueError: the gateway's address or token cannot be used.
    """

    def __init__(self, options: Options) -> None:
        app = Wire(options).application()
        self._socket = socket.create_server((options.host, options.port), backlog=_CONNECTIONS)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=Http,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until a signal comes, or ``stop``."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Let ``run`` end, from another thread."""
        self._server.should_exit = True
