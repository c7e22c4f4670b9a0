"""A model's service: its connections, the permits of its calls, its last card, its status."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import grpc
import structlog
from google.rpc import status_pb2

from diptych.segment import v1 as pb
from diptych_runtime.calls import account_name
from diptych_runtime.engine import Reason, ServiceError

from ..request import Deadline, charge_reply
from ..statuses import from_rpc_error, too_late, unreachable
from .connection import Connection
from .video_relay import VideoRelay

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_READY = grpc.ChannelConnectivity.READY
_WORK = "Segment"
# For callers who ask for cards and figures; their requests are a few bytes each.
_CONTROL_CALLS = 64
_CONTROL_BYTES = 4 * 1024 * 1024
_HANDOVER_POLL_S = 0.05
_HANDOVER_LATE_S = 10.0


class Permits:
    """Bounds the calls to one model: further ones are refused, not queued.

    A token holds at most as much as is left free (dynamic thresholds, Choudhury and Hahne, IEEE/ACM
    Transactions on Networking 6, 1998): alone half of it, and of n greedy ones each 1 / (n + 1),
    so that room is left for the next. What no token pays for takes all of it.
    """

    def __init__(self, model_id: str, *, requests: int, request_bytes: int) -> None:
        self._model_id = model_id
        self._max_requests = requests
        self._max_bytes = request_bytes
        self._bytes = 0
        self._requests_of: Counter[str] = Counter()
        self._bytes_of: Counter[str] = Counter()
        self.in_flight = 0

    @contextmanager
    def taken(self, request_bytes: int = 0) -> Iterator[None]:
        """Count one more call while it is held.

        Raises:
            ServiceError: the model, or the caller's share of it, has too many already, or too many
                bytes with these.
        """
        name = account_name()
        free, free_bytes = self._max_requests - self.in_flight, self._max_bytes - self._bytes
        held = self._requests_of[name] if name else 0
        held_bytes = self._bytes_of[name] if name else 0
        if held >= free or held_bytes + request_bytes > free_bytes:
            raise ServiceError(
                Reason.QUEUE_FULL,
                f"model {self._model_id!r} has {self.in_flight} requests waiting already",
                metadata={"modelId": self._model_id},
                retry_after_s=1.0,
            )
        self.in_flight += 1
        self._requests_of[name] += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._requests_of[name] -= 1

    @contextmanager
    def holding(self, message: bytes) -> Iterator[None]:
        """Count the bytes of a message while it is sent or kept."""
        name = account_name()
        self._bytes += len(message)
        self._bytes_of[name] += len(message)
        try:
            yield
        finally:
            self._bytes -= len(message)
            self._bytes_of[name] -= len(message)


class ModelEndpoint:
    """A ``Model`` that is one service. Make it inside the event loop that uses it.

    Cards, figures and health have a connection and permits of their own: neither the number nor the
    size of the requests at work can delay or refuse them. ``target`` is what gRPC dials. Without
    credentials the connections are not encrypted; ``proxy`` has them made by the one of the
    environment. ``card`` and ``status`` are kept by a
    ``Follower``.
    """

    def __init__(
        self,
        model_id: str,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        in_flight_requests: int = 128,
        in_flight_bytes: int = 512 * 1024 * 1024,
        proxy: bool = False,
    ) -> None:
        self.model_id = model_id
        self.card: pb.ModelCard | None = None
        self.status: status_pb2.Status = unreachable(model_id).to_status()
        self._target = target
        self._proxy = proxy
        self._work = Connection(target, credentials, proxy=proxy)
        self._control = Connection(target, credentials, proxy=proxy)
        self._handover: asyncio.Task[None] | None = None
        self._permits = Permits(
            model_id, requests=in_flight_requests, request_bytes=in_flight_bytes
        )
        self._control_permits = Permits(
            model_id, requests=_CONTROL_CALLS, request_bytes=_CONTROL_BYTES
        )

    @property
    def in_flight(self) -> int:
        """Requests for work that it has at this moment."""
        return self._permits.in_flight

    async def call(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """Send a serialised request; returns the serialised reply. As ``Model.call``.

        UNAVAILABLE is tried again by the channel, within ``timeout_s``. A model that cannot be
        reached fails at once instead of using up the deadline.
        """
        work = method == _WORK
        permits = self._permits if work else self._control_permits
        connection = self._work if work else self._control
        with permits.taken(len(request)), permits.holding(request):
            reply = await self._send(connection, method, request, timeout_s)
        if work and account_name():
            await charge_reply(pb.SegmentResponse, reply)
        return reply

    async def ask(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """``call`` for the gateway itself, which takes no permit: callers cannot use those up.

        Besides the methods of a model ``Check`` of its health can be asked.
        """
        return await self._send(self._control, method, request, timeout_s)

    async def _send(
        self, connection: Connection, method: str, request: bytes, timeout_s: float
    ) -> bytes:
        try:
            with connection.in_use():
                return await connection.call(method, request, timeout_s=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self.model_id) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled the caller: the channel was closed under the call.
            raise unreachable(self.model_id) from None

    def video(
        self, start: bytes, requests: AsyncIterator[bytes], deadline: Deadline | None
    ) -> VideoRelay:
        """Prepare a session, which takes its permit when it begins. As ``Model.video``."""
        timeout_s = deadline.for_backend_s() if deadline else None
        if timeout_s is not None and timeout_s <= 0:
            raise too_late(self.model_id)
        return VideoRelay(
            self.model_id,
            self._session_permit(),
            self._permits.holding,
            start=start,
            requests=requests,
            timeout_s=timeout_s,
        )

    @contextmanager
    def _session_permit(self) -> Iterator[Connection]:
        """Count one more call while it is held, on the connection that it gives.

        Raises:
            ServiceError: as ``Permits.taken``.
        """
        connection = self._work
        with self._permits.taken(), connection.in_use():
            yield connection

    def state(self) -> grpc.ChannelConnectivity:
        """Read the state of the connections, READY only if both are; connects what is not."""
        states = (self._control.state(), self._work.state())
        return next((state for state in states if state is not _READY), _READY)

    async def control_changed(self) -> None:
        """Return once the control connection has another state, or is another connection."""
        await self._control.state_other_than(self._control.state())

    def renew(self, credentials: grpc.ChannelCredentials) -> None:
        """Go over to connections with other credentials; no call notices."""
        if self._handover is not None:
            self._handover.cancel()
        work, control = (Connection(self._target, credentials, proxy=self._proxy) for _ in range(2))
        self._handover = asyncio.create_task(self._hand_over(work, control))

    async def _hand_over(self, work: Connection, control: Connection) -> None:
        """Let these take the calls once they are ready, or once those before are not any more."""
        late = asyncio.get_running_loop().call_later(_HANDOVER_LATE_S, self._log_late_handover)
        try:
            while not _ready(work, control) and _ready(self._work, self._control):
                await asyncio.sleep(_HANDOVER_POLL_S)
        except asyncio.CancelledError:
            work.retire()
            control.retire()
            raise
        finally:
            late.cancel()
        before = (self._work, self._control)
        self._work, self._control = work, control
        for connection in before:
            connection.retire()

    def _log_late_handover(self) -> None:
        text = "no connection with the new certificates, the one before stays in use"
        _log.error(text, model=self.model_id)

    async def close(self) -> None:
        """End the calls that run and the connections."""
        if self._handover is not None:
            self._handover.cancel()
            await asyncio.gather(self._handover, return_exceptions=True)
        await asyncio.gather(self._work.close(), self._control.close())


def _ready(*connections: Connection) -> bool:
    # All are asked: asking is what makes an idle one connect.
    return [connection.state() for connection in connections] == [_READY] * len(connections)
