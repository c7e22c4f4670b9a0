"""The models' services: errors of our own kind, and connections that change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import grpc

from diptych_runtime.logs import logger

from ..statuses import from_rpc_error, unreachable
from .connection import Connection
from .permits import Places

_HANDOVER_LOOK_S = 0.05
_HANDOVER_LATE_S = 10.0


class Backend:
    """A model's service. Make it inside the event loop that uses it.

    Without credentials the connection is not encrypted.
    """

    def __init__(
        self,
        model_id: str,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        in_flight_requests: int = 128,
        in_flight_bytes: int = 512 * 1024 * 1024,
    ) -> None:
        self.model_id = model_id
        self._target = target
        self._connection = Connection(target, credentials)
        self._handover: asyncio.Task[None] | None = None
        self._places = Places(model_id, requests=in_flight_requests, request_bytes=in_flight_bytes)

    @property
    def in_flight(self) -> int:
        """Calls that it has at this moment."""
        return self._places.in_flight

    async def call(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """Send a serialised request; returns the serialised reply.

        UNAVAILABLE is tried again by the channel, within ``timeout_s``. A model that cannot be
        reached fails at once instead of using up the deadline.

        Raises:
            BackendError: the service's own status.
            ServiceError: it cannot be reached, is late, or has too many requests waiting.
        """
        with self.place(len(request)) as connection, self.holding(request):
            try:
                return await connection.call(method, request, timeout_s=timeout_s)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error, self.model_id) from error
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Nobody cancelled the caller: the channel was closed under the call.
                raise unreachable(self.model_id) from None

    @contextmanager
    def place(self, request_bytes: int = 0) -> Iterator[Connection]:
        """Counts as one call while it is held, on the connection that it gives.

        Raises:
            ServiceError: the model has too many already, or too many bytes with these.
        """
        connection = self._connection
        with self._places.taken(request_bytes), connection.in_use():
            yield connection

    def holding(self, message: bytes) -> AbstractContextManager[None]:
        """Counts the bytes of a message while it is sent."""
        return self._places.holding(message)

    def state(self) -> grpc.ChannelConnectivity:
        """How the connection stands now; connects if nothing has yet."""
        return self._connection.state()

    async def state_other_than(self, state: grpc.ChannelConnectivity) -> None:
        """Return once the connection stands otherwise than ``state``, or is another one."""
        await self._connection.state_other_than(state)

    def renew(self, credentials: grpc.ChannelCredentials) -> None:
        """Go over to a connection with other credentials; no call notices."""
        if self._handover is not None:
            self._handover.cancel()
        self._handover = asyncio.create_task(self._hand_over(Connection(self._target, credentials)))

    async def _hand_over(self, new: Connection) -> None:
        """Let ``new`` take the calls once it stands, or once the one before stands no more."""
        ready, old = grpc.ChannelConnectivity.READY, self._connection
        late = asyncio.get_running_loop().call_later(_HANDOVER_LATE_S, self._say_late)
        try:
            while new.state() is not ready and old.state() is ready:
                await asyncio.sleep(_HANDOVER_LOOK_S)
        except asyncio.CancelledError:
            new.retire()
            raise
        finally:
            late.cancel()
        self._connection = new
        old.retire()

    def _say_late(self) -> None:
        text = "no connection with the new certificates, the one before stays in use"
        logger().error(text, model=self.model_id)

    async def close(self) -> None:
        """End the calls that run and the connection."""
        if self._handover is not None:
            self._handover.cancel()
            await asyncio.gather(self._handover, return_exceptions=True)
        await self._connection.close()
