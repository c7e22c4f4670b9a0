"""One page over plain HTTP, ``/metrics``, for Prometheus: what it costs is bounded, whoever asks.

A model service has no other HTTP. So this takes a few connections at a time, answers one request on
each and ends it, and a new connection ends the oldest when there are too many: scrapes take
milliseconds, and those that send or read slowly are not they.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from http import HTTPStatus

import structlog
from prometheus_client import CONTENT_TYPE_LATEST

from ..grpc_server.server import open_port

PATH = "/metrics"
MOST_CONNECTIONS = 16
HEAD_BYTES = 8 * 1024
WITHIN_S = 5.0
"""Time for a request to come, and again for its answer to be taken."""
FRESH_S = 0.5
"""For so long figures are not read again: reading takes a thousand times what sending does."""
_GAP_S = 0.02
"""After each connection, so that a flood of them costs a fixed share of the event loop."""
_PAUSE_S = 1.0

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class MetricsPage:
    """Listens from ``bind`` on and answers from ``start`` on, with what ``text`` returns."""

    def __init__(
        self, host: str, port: int, text: Callable[[], bytes], *, fresh_s: float = FRESH_S
    ) -> None:
        self._host = host
        self._port = port
        self._text = text
        self._fresh_s = fresh_s
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._open: dict[asyncio.Task[None], None] = {}
        self._kept: bytes = b""
        self._kept_until = 0.0

    def bind(self) -> int:
        """Take the port; returns it.

        Raises:
            PortTakenError: it is in use or the address is not ours.
        """
        self._socket = open_port(self._host, self._port, backlog=MOST_CONNECTIONS)
        self._socket.setblocking(False)
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Answer what comes to the port."""
        assert self._socket is not None
        self._accepting = asyncio.create_task(self._accept(self._socket))

    async def stop(self) -> None:
        """End every connection and give the port back."""
        tasks = [*self._open, *([self._accepting] if self._accepting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                peer, _ = await loop.sock_accept(listening)
            except OSError as error:  # it may open no more files, or the peer has left already
                _log.warning("no connection for metrics can be accepted", error=str(error))
                await asyncio.sleep(_PAUSE_S)
                continue
            if len(self._open) >= MOST_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                oldest.cancel()
            task = asyncio.create_task(self._serve(peer))
            self._open[task] = None
            task.add_done_callback(lambda done: self._open.pop(done, None))
            await asyncio.sleep(_GAP_S)

    async def _serve(self, peer: socket.socket) -> None:
        """Answer the one request of a connection; whatever fails ends only that."""
        loop = asyncio.get_running_loop()
        with peer:
            try:
                async with asyncio.timeout(WITHIN_S):
                    head = await _read_head(peer)
                if head is None:
                    return
                async with asyncio.timeout(WITHIN_S):
                    await loop.sock_sendall(peer, self._answer(head))
                    peer.shutdown(socket.SHUT_WR)
            except (OSError, TimeoutError):
                return

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        target, _, version = rest.partition(b" ")
        if not version.startswith(b"HTTP/1."):
            return _response(HTTPStatus.BAD_REQUEST)
        if len(head) >= HEAD_BYTES:
            return _response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if target.partition(b"?")[0] != PATH.encode():
            return _response(HTTPStatus.NOT_FOUND)
        if method != b"GET":
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, more="Allow: GET\r\n")
        return _response(HTTPStatus.OK, self._figures(), kind=CONTENT_TYPE_LATEST)

    def _figures(self) -> bytes:
        now = asyncio.get_running_loop().time()
        if now >= self._kept_until:
            self._kept = self._text()
            self._kept_until = now + self._fresh_s
        return self._kept


async def _read_head(peer: socket.socket) -> bytes | None:
    """Read up to the end of a request's head, or as much as one may have; ``None``: peer left."""
    loop = asyncio.get_running_loop()
    head = b""
    while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES:
        more = await loop.sock_recv(peer, HEAD_BYTES - len(head))
        if not more:
            return None
        head += more
    return head


def _response(
    status: HTTPStatus,
    body: bytes = b"",
    *,
    kind: str = "text/plain; charset=utf-8",
    more: str = "",
) -> bytes:
    body = body or f"{status.phrase}: the figures are at {PATH}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n"
    )
    return head.encode() + body
