"""One grpc.aio server: options, port, health, reflection, and a stop that loses no call."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from diptych.limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES
from diptych.wire.health import RELEASE_KEY, health_list

from ..calls import RequestBytes
from ..release import RELEASE
from .interceptor import ErrorInterceptor, Gate, Observer
from .tls import ServerTls

NOTICE_S = 0.5
"""Time for clients that watch health to go elsewhere before calls are refused."""

_STOP_RESERVE_S = 5.0

CLIENT_PING_MS = 2_000
"""How often a gateway asks a silent connection whether its peer is there; servers allow it."""

SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", MAX_REPLY_BYTES),
    # gRPC resets what comes over it without a status, calls counted that are just ending (1.85.1):
    # so it is well above what a queue holds, and a full queue says so itself.
    ("grpc.max_concurrent_streams", 512),
    # What a call may send before it is read. Left to itself gRPC takes 4 MiB of each (1.85.1).
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 256 * 1024),
    ("grpc.max_metadata_size", 8192),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", CLIENT_PING_MS // 2),
    ("grpc.keepalive_permit_without_calls", 1),
    # A peer that says nothing, or not enough for HTTP/2, is gone after this; by default 120 s.
    ("grpc.server_handshake_timeout_ms", 4_000),
    # Keepalive does not end connections without calls whose peer answers no ping (1.85.1).
    ("grpc.max_connection_idle_ms", 25_000),
)


_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class PortTakenError(Exception):
    """The address cannot be listened on; the message is one line."""


class GrpcServer:
    """A server with health per service, reflection and a drain.

    ``services`` are the full names that health and reflection speak of. ``gate`` is asked about
    every call of every one of them before the call is read. Clients have to connect anew every
    ``connection_age_s`` seconds; calls under way stay on the connection that they have. What comes
    over ``max_connections`` is closed. ``bodies`` has the room for requests.
    """

    def __init__(
        self,
        *,
        address: str,
        handlers: Sequence[grpc.GenericRpcHandler],
        services: Sequence[str],
        with_reflection: bool = True,
        observer: Observer | None = None,
        gate: Gate | None = None,
        tls: ServerTls | None = None,
        connection_age_s: float | None = None,
        bodies: RequestBytes | None = None,
        max_connections: int | None = None,
    ) -> None:
        self._address = address
        self._tls = tls
        self._following: asyncio.Task[None] | None = None
        self._services = ("", *services)
        interceptor = ErrorInterceptor(observer, gate, bodies)
        self._calls = interceptor.calls
        options = SERVER_OPTIONS
        if connection_age_s is not None:
            options += (("grpc.max_connection_age_ms", round(connection_age_s * 1000)),)
        if max_connections is not None:
            options += (("grpc.max_allowed_incoming_connections", max_connections),)
        self._server = grpc.aio.server(interceptors=[interceptor], options=options)
        self._health = _Health()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_generic_rpc_handlers(tuple(handlers))
        if with_reflection:
            names = [*services, health.SERVICE_NAME, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(names, self._server)
        self.draining = False

    async def start(self) -> int:
        """Listen; returns the port. Health says NOT_SERVING until ``set_serving``.

        Raises:
            PortTakenError: the address is in use or not ours.
        """
        await self.set_serving(False)
        try:
            port = self._add_port()
        except RuntimeError as error:
            raise _port_taken(self._address) from error
        await self._server.start()
        if self._tls:
            self._following = asyncio.create_task(self._tls.follow())
        elif not is_loopback(self._address):
            _log.warning(
                "serving without TLS: whoever shares the network can read along",
                address=self._address,
            )
        return port

    def _add_port(self) -> int:
        if self._tls is None:
            return self._server.add_insecure_port(self._address)
        return self._server.add_secure_port(self._address, self._tls.credentials())

    async def set_serving(self, serving: bool) -> None:
        """Set what health says of every service."""
        if self.draining and serving:
            return
        state = health_pb2.HealthCheckResponse
        status = state.SERVING if serving else state.NOT_SERVING
        for name in self._services:
            await self._health.set(name, status)

    async def drain(self, grace_s: float) -> None:
        """Say NOT_SERVING, let clients notice, finish running calls, then stop.

        Calls that are not done after ``grace_s`` seconds are answered DRAINING.
        """
        self.draining = True
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(NOTICE_S)
        # First no new calls, then the end of those under way; its own grace only has to be longer.
        stopped = asyncio.create_task(self._server.stop(grace_s + _STOP_RESERVE_S))
        await self._calls.finish(grace_s)
        await stopped
        if self._following:
            self._following.cancel()


class _Health(health.aio.HealthServicer):  # type: ignore[misc]  # has no types
    """Health with ``List``, which grpcio-health-checking declares and does not answer, and with the
    release that runs beside each answer of ``Check``."""

    async def Check(
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> health_pb2.HealthCheckResponse:
        context.set_trailing_metadata(((RELEASE_KEY, RELEASE),))
        reply: health_pb2.HealthCheckResponse = await super().Check(request, context)
        return reply

    async def List(
        self, request: health_pb2.HealthListRequest, context: object
    ) -> health_pb2.HealthListResponse:
        """Say how every service stands at this moment."""
        return health_list(self._server_status)


def listen_address(host: str, port: int) -> str:
    """Join host and port as gRPC reads them: an IPv6 address needs brackets."""
    bare = ":" in host and not host.startswith("[")
    return f"[{host}]:{port}" if bare else f"{host}:{port}"


def open_port(host: str, port: int, *, backlog: int) -> socket.socket:
    """Listen on a port for something else than gRPC; 0 is one that the system chooses.

    Raises:
        PortTakenError: it is in use or the address is not ours.
    """
    try:
        bare = host.strip("[]")
        family = socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM)[0][0]
        dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        return socket.create_server(
            (bare, port), family=family, backlog=backlog, dualstack_ipv6=dual
        )
    except OSError as error:
        raise _port_taken(f"{host}:{port}") from error


def would_listen(host: str, port: int) -> str:
    """Say where a start would listen, and whether it could now; takes the port for that long.

    Raises:
        PortTakenError: the address is not ours.
    """
    where = listen_address(host, port) if port else f"{listen_address(host, port)}, any free port"
    try:
        open_port(host, port, backlog=1).close()
    except PortTakenError:
        with contextlib.suppress(PortTakenError):
            open_port(host, 0, backlog=1).close()
            return f"{where}, in use now"
        raise
    return where


def _port_taken(address: str) -> PortTakenError:
    return PortTakenError(
        f"cannot listen on {address}: the port is in use or the address is not ours"
    )


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach ``host:port``."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def wait_for_stop_signal(also: Iterable[asyncio.Future[None]] = ()) -> None:
    """Return at SIGTERM or SIGINT, or when one of ``also`` is done (its error is raised).

    From then on a second SIGINT, an impatient Ctrl-C, ends the process at once; SIGTERM does not,
    because process runners like to repeat themselves.
    """
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[None] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        if not stopping.done():
            _log.info("stopping", signal=number.name)
            stopping.set_result(None)
        elif number is signal.SIGINT:
            os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    done, _ = await asyncio.wait([stopping, *also], return_when=asyncio.FIRST_COMPLETED)
    for future in done:
        future.result()
