"""One model service: a server, a servicer and a supervised engine."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from ..allocator import give_back_soon
from ..calls import RequestBytes
from ..grpc_server.server import NOTICE_S, GrpcServer, PortTakenError, listen_address
from ..grpc_server.tls import ServerTls
from ..machine import connections_of, raise_file_limit
from ..release import release_fields
from ..settings import RuntimeSettings
from .metrics import ServiceMetrics
from .servicer import SERVICE, ModelServicer
from .supervisor import Supervisor
from .worker_client import EngineClient

CONNECTION_AGE_S = 300.0
"""A client without a gateway finds replicas that have joined only when it connects anew; a gateway
looks for them itself. Not for the gateway's own clients: a large request can be lost at that
moment, which they would have to send again."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class ModelService:
    """Serves one engine, named as ``module:function``, on one port.

    Raises:
        SettingsError: a certificate or key cannot be used.
    """

    def __init__(self, engine: str, settings: RuntimeSettings, *, port: int) -> None:
        self._settings = settings
        self.supervisor = Supervisor(engine, settings, on_state=self._on_state)
        self.servicer = ModelServicer(self.supervisor, settings)
        tls = ServerTls.if_set(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        self.metrics = ServiceMetrics(self.servicer, self.supervisor, settings)
        if tls:
            self.metrics.process.add_files("tls", partial(getattr, tls, "usable"))
        self._server = GrpcServer(
            address=listen_address(settings.host, port),
            handlers=[self.servicer.handler()],
            services=[SERVICE],
            with_reflection=settings.reflection,
            observer=self.servicer.stats.count_call,
            tls=tls,
            connection_age_s=CONNECTION_AGE_S,
            bodies=RequestBytes(settings.request_bytes, give_back_soon),
            max_connections=connections_of(raise_file_limit(), settings.max_connections),
        )
        self.engine_task: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> int:
        """Listen and begin to load the model; returns the port.

        Raises:
            PortTakenError: the address cannot be listened on.
        """
        self.metrics.bind()
        try:
            self.port = await self._server.start()
        except PortTakenError:
            await self.metrics.stop()
            raise
        self.metrics.start()
        where = {"host": self._settings.host, "port": self.port}
        _log.info("listening", **release_fields(), **where)
        self.engine_task = asyncio.create_task(self.supervisor.run())
        return self.port

    async def ready(self, timeout_s: float) -> EngineClient:
        """Wait until the engine serves; returns it."""
        return await self.supervisor.wait_ready(timeout_s)

    async def stop(self) -> None:
        """Drain, then end the engine."""
        # Without an engine for good, no grace brings an answer.
        gone = self.engine_task is not None and self.engine_task.done()
        grace_s = 0 if gone else self._settings.drain_s
        self.servicer.videos.go_away(NOTICE_S + grace_s)
        await self._server.drain(grace_s)
        if self.engine_task:
            self.engine_task.cancel()
            await asyncio.gather(self.engine_task, return_exceptions=True)
        await self.metrics.stop()  # last: how a drain goes can be seen

    async def _on_state(self, serving: bool) -> None:
        if engine := self.supervisor.engine:
            self.servicer.expect_batches(engine.max_batch)
        await self._server.set_serving(serving)
