"""The gateway as one server: connections, cards, images and handlers put together."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc
import structlog

from diptych.proxies import proxy_for
from diptych_runtime.allocator import give_back_soon
from diptych_runtime.calls import RequestBytes
from diptych_runtime.grpc_server.server import (
    NOTICE_S,
    GrpcServer,
    PortTakenError,
    listen_address,
)
from diptych_runtime.grpc_server.tls import ServerTls, watch_pem
from diptych_runtime.machine import connections_of, raise_file_limit
from diptych_runtime.settings import SettingsError
from diptych_runtime.watched import WatchedFiles

from .backend.addresses import Fixed, Name, Source
from .backend.discovery import Discovery
from .backend.images import ImageCache
from .backend.registry import Registry
from .backend.replicas import Replicas
from .cascade.cascade import Cascade
from .contract import SERVICES
from .handlers import Handlers
from .http.server import HttpServer
from .metrics import Metrics
from .security.gate import TokenGate
from .security.tokens import watch_tokens
from .settings import Endpoint, Settings

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Gateway:
    """Make and use it inside one event loop. Serves whether any model is up or not.

    Raises:
        SettingsError: a file of certificates, keys or tokens cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        tls = ServerTls.if_set(settings.tls_cert, settings.tls_key)
        self._tokens = watch_tokens(settings.tokens_file) if settings.tokens_file else None
        self._credentials = _watch_credentials(settings)
        self._following: list[asyncio.Task[None]] = []
        self.image_cache = ImageCache(settings.image_cache_bytes)
        self.registry = self._make_registry()
        self._metrics = Metrics(self.registry, self.image_cache)
        for name, files in (("tokens", self._tokens), ("services", self._credentials)):
            if files:
                self._metrics.process.add_files(name, partial(getattr, files, "usable"))
        if tls:
            self._metrics.process.add_files("tls", partial(getattr, tls, "usable"))
        self._bodies = RequestBytes(settings.request_bytes, give_back_soon)
        ports = 1 if settings.http_port is None else 2
        most = connections_of(raise_file_limit(), settings.max_connections, ports)
        self._max_connections = most
        gate = TokenGate(self._tokens) if self._tokens else None
        if gate:
            self._metrics.add(gate.accounts)
        self.http = self._http_server(gate, tls) if settings.http_port is not None else None
        self.http_port: int | None = None
        self._grpc_port = 0
        self._server = GrpcServer(
            address=listen_address(settings.host, settings.port),
            handlers=Handlers(settings, self.registry, self.image_cache).generic(),
            services=[service.full_name for service in SERVICES],
            with_reflection=settings.reflection,
            observer=self._metrics.grpc_call,
            gate=gate,
            tls=tls,
            bodies=self._bodies,
            max_connections=most,
        )

    def _make_registry(self) -> Registry:
        settings = self._settings
        discoveries, services = {}, {}
        for each in settings.models:
            source, proxy = _reached(each, settings)
            discovery = Discovery(each.model_id, source, ca=settings.services_ca)
            discoveries[each.model_id] = discovery
            services[each.model_id] = Replicas(
                each.model_id,
                discovery.addresses,
                credentials=self._credentials.value if self._credentials else None,
                in_flight_requests=settings.in_flight_requests,
                in_flight_bytes=settings.in_flight_bytes,
                proxy=proxy,
                quarantine_s=settings.quarantine_s,
            )
        cascades = [
            Cascade(
                pair.model_id,
                services[pair.detector],
                services[pair.segmenter],
                cache=self.image_cache,
                in_flight_requests=settings.in_flight_requests,
                in_flight_bytes=settings.in_flight_bytes,
            )
            for pair in settings.cascades
        ]
        return Registry(
            [*services.values()],
            cascades,
            refresh_s=settings.card_refresh_s,
            discoveries=discoveries,
        )

    def _http_server(self, gate: TokenGate | None, tls: ServerTls | None) -> HttpServer:
        return HttpServer(
            self._settings,
            self.registry,
            self.image_cache,
            metrics=self._metrics,
            gate=gate,
            tls=tls,
            bodies=self._bodies,
            max_connections=self._max_connections,
            grpc_port=lambda: self._grpc_port,
        )

    async def start(self) -> int:
        """Serve; returns the port of gRPC. ``http_port`` is then that of HTTP, if it is served.

        Raises:
            PortTakenError: the address is in use or not ours.
        """
        if self.http:
            self.http_port = self.http.bind()
        try:
            port = self._grpc_port = await self._server.start()
        except PortTakenError:
            if self.http:
                self.http.close()
            raise
        self._following.append(asyncio.create_task(self._metrics.process.watch()))
        if self._tokens:
            self._following.append(asyncio.create_task(self._tokens.follow()))
        if self._credentials:
            follow = self._credentials.follow(self.registry.renew)
            self._following.append(asyncio.create_task(follow))
        self.registry.start()
        if self.http:
            await self.http.start()
        await self._server.set_serving(True)
        return port

    async def stop(self) -> None:
        """Let running requests finish, then close everything."""
        self.registry.sessions.go_away(NOTICE_S + self._settings.drain_s)
        async with asyncio.TaskGroup() as stopping:
            stopping.create_task(self._server.drain(self._settings.drain_s))
            if self.http:
                stopping.create_task(self.http.drain(self._settings.drain_s))
        for task in self._following:
            task.cancel()
        await self.registry.close()


def _watch_credentials(settings: Settings) -> WatchedFiles[grpc.ChannelCredentials] | None:
    """Read what the gateway shows to model services and asks of them; ``None`` without TLS."""
    ca = "DIPTYCH_SERVICES_CA", settings.services_ca
    certificate = "DIPTYCH_SERVICES_CERT", settings.services_cert
    key = "DIPTYCH_SERVICES_KEY", settings.services_key
    if settings.services_ca is None:
        for name, path in (certificate, key):
            if path is not None:
                raise SettingsError(f"{name} is set and DIPTYCH_SERVICES_CA is not")
        return None
    return watch_pem(ca, certificate, key, _credentials)


def _credentials(
    ca: bytes | None, certificate: bytes | None, key: bytes | None
) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(ca, key, certificate)


def _reached(endpoint: Endpoint, settings: Settings) -> tuple[Source, bool]:
    """Say where the replicas of a model are, and whether the proxy of the environment is used.

    Writes down by which a model is asked, or could be: it looks as if it were down when that is
    wrong. A proxy looks names up itself, so that one stands for one replica there.
    """
    source, used = endpoint.source, settings.proxy_to_services
    found = next((proxy for host in source.hosts if (proxy := proxy_for(host))), None)
    if found is not None:
        event = "model is asked by a proxy" if used else "proxy is not used for a model"
        _log.info(event, model=endpoint.model_id, proxy=found.url, variable=found.variable)
    if isinstance(source, Name) and used:
        return (Fixed((source.address,)), True) if found else (source, False)
    return source, used
