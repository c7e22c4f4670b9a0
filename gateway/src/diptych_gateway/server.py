"""The gateway as one server: connections, cards, pictures and handlers put together."""

from __future__ import annotations

from diptych_runtime.serving import GrpcServer, listen_address

from .backends import SEGMENT_SERVICE, Backend
from .handlers import GATEWAY_SERVICE, Handlers
from .pictures import PictureCache
from .registry import Registry
from .settings import Settings


class Gateway:
    """Make and use it inside one event loop. Serves whether any model is up or not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        backends = {
            endpoint.model_id: Backend(
                endpoint.model_id,
                endpoint.target,
                in_flight_requests=settings.in_flight_requests,
                in_flight_bytes=settings.in_flight_bytes,
            )
            for endpoint in settings.models
        }
        self.registry = Registry(backends, refresh_s=settings.card_refresh_s)
        self.pictures = PictureCache(settings.picture_cache_bytes)
        self._server = GrpcServer(
            address=listen_address(settings.host, settings.port),
            handlers=Handlers(settings, self.registry, self.pictures).generic(),
            services=(SEGMENT_SERVICE, GATEWAY_SERVICE),
            with_reflection=settings.reflection,
        )

    async def start(self) -> int:
        """Serve; returns the port.

        Raises:
            PortTakenError: the address is in use or not ours.
        """
        port = await self._server.start()
        self.registry.start()
        await self._server.set_serving(True)
        return port

    async def stop(self) -> None:
        """Let running requests finish, then close everything."""
        await self._server.drain(self._settings.drain_s)
        await self.registry.close()
