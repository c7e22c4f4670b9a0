"""A model service in a replica of Ray Serve, which gateways dial directly."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import ray.util
import structlog
from ray import serve

from diptych_runtime import logs
from diptych_runtime.allocator import keep_freed_memory, keep_what_is_there
from diptych_runtime.front.service import ModelService
from diptych_runtime.grpc_server.server import listen_address
from diptych_runtime.main import ServiceSpec
from diptych_runtime.settings import RuntimeSettings, read_settings
from diptych_runtime.watchdog import watch_loop

from . import directory
from .options import spec_of
from .policy import IN_SERVICE

_ANYWHERE = ("0.0.0.0", "::", "[::]")  # noqa: S104  # compared with, not listened on
_SAY_S = 2.0
STOP_RESERVE_S = 15.0
"""Beyond the drain: the notice to gateways, the reserve of the server, the end of the engine."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class DirectModel:
    """Serves one model on a port of its own, on the node's address or on ``DIPTYCH_HOST``.

    Settings are ``DIPTYCH_*`` variables, as everywhere. Serve waits for the constructor: a replica
    counts as running once its engine has answered.
    """

    async def __init__(self, model_id: str) -> None:  # type: ignore[misc]  # Serve waits for it
        spec, settings = spec_of(model_id), read_settings()
        named = {"service": model_id, "replica": _replica_id()}
        logs.configure(settings.log_level, log_format=settings.log_format, **named)
        keep_freed_memory()
        watch_loop(f"diptych-ray {model_id}", settings.loop_timeout_s)
        node = ray.util.get_node_ip_address()
        host = settings.host if "host" in settings.model_fields_set else node
        # Replicas of one node would meet on one port for metrics, and only the first would start.
        settings = settings.model_copy(update={"host": host, "metrics_port": None})
        self._model_id = model_id
        self._service = await _started(spec, settings)
        keep_what_is_there()
        self._address = listen_address(node if host in _ANYWHERE else host, self._service.port)
        self._announcing = asyncio.create_task(self._announce())

    async def check_health(self) -> None:
        """Have Serve replace the replica once its engine is given up.

        Raises:
            RuntimeError: it is.
        """
        task = self._service.engine_task
        if task is None or task.done():
            raise RuntimeError(f"the engine of {self._model_id} is gone and is not started again")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Tell Serve how much there is to do, which it cannot see: see ``LoadPolicy``."""
        return {IN_SERVICE: float(self._service.servicer.in_service)}

    async def __del__(self) -> None:
        """Drain; Serve calls this before it ends the process."""
        if announcing := getattr(self, "_announcing", None):  # else the constructor failed
            announcing.cancel()
            await self._say("leave")
            await self._service.stop()
            logs.flush()

    async def _announce(self) -> None:
        while True:
            await self._say("announce")
            await asyncio.sleep(directory.ANNOUNCE_S)

    async def _say(self, what: str) -> None:
        """Tell the directory; while it is away, the next announcement is soon."""
        with suppress(Exception):
            app_name = serve.get_replica_context().app_name
            handle = serve.get_deployment_handle(directory.NAME, app_name)
            said = getattr(handle, what).remote(self._model_id, self._address)
            await asyncio.wait_for(said, _SAY_S)


async def _started(spec: ServiceSpec, settings: RuntimeSettings) -> ModelService:
    """Start a service and wait until its engine has answered.

    Raises:
        RuntimeError: it cannot be started, or its engine not loaded; the message says why.
    """
    service = ModelService(spec.engine, settings, port=0)
    await service.start()
    assert service.engine_task is not None
    longest_s = settings.load_timeout_s * settings.restart_tries
    ready = asyncio.ensure_future(service.ready(longest_s))
    try:
        await asyncio.wait({ready, service.engine_task}, return_when=asyncio.FIRST_COMPLETED)
        if service.engine_task.done():
            await service.engine_task
        await ready
    except BaseException as error:
        ready.cancel()
        await service.stop()
        if isinstance(error, Exception):
            # Serve shows it to whoever deploys, in a process without our classes.
            raise RuntimeError(f"{spec.model_id} did not start: {error}") from None
        raise
    return service


def _replica_id() -> str:
    return str(serve.get_replica_context().replica_id.unique_id)
