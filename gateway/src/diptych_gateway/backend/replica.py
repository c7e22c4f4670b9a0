"""One replica of a model: its connections, the permits of its calls, its last card, its status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
import structlog
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2

from diptych.segment import v1 as pb
from diptych.wire.statuses import code_of
from diptych_runtime.calls import outgoing_metadata

from ..contract import SEGMENT, is_unary, path
from ..request import Permits
from ..statuses import from_rpc_error, too_late, unreachable
from .channels import CHANNEL_OPTIONS, OWN_METADATA, WITHOUT_HEALTH

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_HEALTH_CHECK = health_pb2.DESCRIPTOR.services_by_name["Health"].methods_by_name["Check"]
_UNARY_METHODS = (*(method for method in SEGMENT.methods if is_unary(method)), _HEALTH_CHECK)
_VIDEO_METHOD = SEGMENT.methods_by_name["SegmentVideo"]
_READY = grpc.ChannelConnectivity.READY
_BROKEN = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)
# For callers who ask for cards and figures; their requests are a few bytes each.
_CONTROL_CALLS = 64
_CONTROL_BYTES = 4 * 1024 * 1024
_HANDOVER_POLL_S = 0.05
_HANDOVER_LATE_S = 10.0
_FULL_S = 0.25
# A replica that fails gets no second tries while less than half of this is left (gRFC A6): a call
# that failed takes 1, one that did not gives 0.1.
_TRUST = 10.0
_TRUST_REGAINED = 0.1

_UnaryCall = Callable[..., Awaitable[bytes]]


class Connection:
    """A channel that, once retired, closes when its last call is over.

    Without credentials it is not encrypted, and without ``proxy`` none of the environment is used.
    ``authority`` is the name that the certificate has to have. It takes no calls while the service
    says that it does not serve, except for ``whatever_health``. Make it inside the event loop that
    uses it.
    """

    def __init__(
        self,
        address: str,
        credentials: grpc.ChannelCredentials | None,
        *,
        authority: str,
        proxy: bool = False,
        whatever_health: bool = False,
    ) -> None:
        options = (
            *(WITHOUT_HEALTH if whatever_health else CHANNEL_OPTIONS),
            ("grpc.enable_http_proxy", int(proxy)),
            ("grpc.default_authority", authority),
        )
        target = f"dns:///{address}"
        self._channel = (
            grpc.aio.insecure_channel(target, options=options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options=options)
        )
        self._unary = {method.name: self._unary_call(path(method)) for method in _UNARY_METHODS}
        self._video: Any = self._channel.stream_stream(path(_VIDEO_METHOD))
        self._in_use = 0
        self._retired = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    def _unary_call(self, path: str) -> _UnaryCall:
        # Without (de)serialisers grpcio hands bytes through.
        call: Any = self._channel.unary_unary(path)
        return call  # type: ignore[no-any-return]

    def call(self, method: str, request: bytes, *, timeout_s: float) -> Awaitable[bytes]:
        """Send a unary call of raw bytes, a method of a model or ``Check`` of its health, with the
        id and trace of the request being served, or ``OWN_ID``; raises what grpcio raises."""
        metadata = outgoing_metadata() or OWN_METADATA
        return self._unary[method](request, timeout=timeout_s, metadata=metadata)

    def open_video(self, *, timeout_s: float | None) -> Any:
        """Open a ``SegmentVideo`` call of raw bytes, which is never tried again, with the id and
        trace of the request being served.

        Without a timeout it has none. Its reads and writes raise what grpcio raises.
        """
        return self._video(timeout=timeout_s, metadata=outgoing_metadata())

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the channel open while this is held."""
        self._in_use += 1
        try:
            yield
        finally:
            self._in_use -= 1
            self._close_if_over()

    def state(self) -> grpc.ChannelConnectivity:
        """Read its state; connects if nothing has yet."""
        return self._channel.get_state(try_to_connect=True)

    async def state_other_than(self, state: grpc.ChannelConnectivity) -> None:
        """Return once its state is not ``state``, or it is retired."""
        change = asyncio.ensure_future(self._channel.wait_for_state_change(state))
        retired = asyncio.ensure_future(self._retired.wait())
        try:
            await asyncio.wait({change, retired}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            change.cancel()
            retired.cancel()

    def retire(self) -> None:
        """Close as soon as no call needs it any more."""
        self._retired.set()
        self._close_if_over()

    def _close_if_over(self) -> None:
        if self._retired.is_set() and not self._in_use and self._closing is None:
            self._closing = asyncio.create_task(self._channel.close())

    async def close(self) -> None:
        """End the calls that run, and close."""
        self._retired.set()
        await self._channel.close()


class Replica:
    """One address of a model. Make it inside the event loop that uses it.

    Cards, figures and health have a connection and permits of their own: neither the number nor the
    size of the requests at work can delay or refuse them. Without credentials the connections are
    not encrypted; ``authority`` is the name that the certificate has to have, the address if empty;
    ``proxy`` has them made by the one of the environment. ``card`` and ``status`` are kept by a
    ``Follower``.
    """

    def __init__(
        self,
        model_id: str,
        address: str,
        *,
        name: str = "1",
        authority: str = "",
        credentials: grpc.ChannelCredentials | None = None,
        in_flight_requests: int = 128,
        in_flight_bytes: int = 512 * 1024 * 1024,
        proxy: bool = False,
    ) -> None:
        self.model_id = model_id
        self.address = address
        self.authority = authority or address
        self.name = name
        """What it is called where nobody may know its address."""
        self.card: pb.ModelCard | None = None
        self.since = datetime.now(UTC)
        """Since when it is up, or is not."""
        self.is_fit = True
        """Whether it is a service of this model, as far as is known."""
        self.own_words = ""
        """What it says is wrong with it, while it does not serve."""
        self._trust = _TRUST
        self._status: status_pb2.Status = unreachable(model_id).to_status()
        self.sessions = 0
        """Video sessions that it has by this gateway; each is one of ``in_flight``, too."""
        self.promised = 0
        """Requests that it will be sent unless another replica holds their image."""
        self._proxy = proxy
        self._credentials = credentials
        self.work = self._connect(credentials)
        """The connection of requests for work and of sessions, which take ``places``."""
        self.control = self._connect(credentials)
        """That of cards, figures and health; callers' take ``control_places``."""
        self._handover: asyncio.Task[None] | None = None
        self.places = Permits(model_id, requests=in_flight_requests, request_bytes=in_flight_bytes)
        self.control_places = Permits(
            model_id, requests=_CONTROL_CALLS, request_bytes=_CONTROL_BYTES
        )
        self._full_until_s = 0.0

    def _connect(self, credentials: grpc.ChannelCredentials | None) -> Connection:
        return Connection(self.address, credentials, authority=self.authority, proxy=self._proxy)

    @property
    def status(self) -> status_pb2.Status:
        """OK while it is up, or why it is not."""
        return self._status

    @status.setter
    def status(self, status: status_pb2.Status) -> None:
        if bool(status.code) != bool(self._status.code):
            self.since = datetime.now(UTC)
            self._trust = _TRUST  # it has begun anew
        self._status = status
        self.own_words = self.own_words if status.code else ""
        self.is_fit = code_of(status) is not grpc.StatusCode.FAILED_PRECONDITION

    @property
    def in_flight(self) -> int:
        """Requests for work and sessions that it has by this gateway."""
        return self.places.in_flight

    @property
    def calls(self) -> int:
        """Requests for work that it has by this gateway, or is about to have."""
        return self.places.in_flight - self.sessions + self.promised

    @property
    def is_up(self) -> bool:
        """Whether it has answered lately and nothing is known to be wrong since."""
        return self.status.code == 0 and self.work.state() not in _BROKEN

    def was_up(self, within_s: float) -> bool:
        """Return whether it is up, or went down less than so many seconds ago."""
        if self.status.code == 0:  # if it is gone, that has not been noticed for long
            return True
        since_s = (datetime.now(UTC) - self.since).total_seconds()
        return self.card is not None and since_s < within_s

    @property
    def is_full(self) -> bool:
        """Whether it has refused a request for lack of room a moment ago."""
        return time.monotonic() < self._full_until_s

    @property
    def is_failing(self) -> bool:
        """Whether so many of its calls have failed that it is to get no second tries."""
        return self._trust <= _TRUST / 2

    def note_full(self) -> None:
        """Note that it has refused for lack of room."""
        self._full_until_s = time.monotonic() + _FULL_S

    def note_failed(self) -> None:
        """Note that a call has failed which may be tried again."""
        self._trust = max(self._trust - 1.0, 0.0)

    async def ask(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """Ask for the gateway itself, which takes no place: callers cannot use those up.

        Besides the methods of a model ``Check`` of its health can be asked.
        """
        return await self.send(self.control, method, request, timeout_s)

    async def ask_anyway(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """``ask``, though it says that it does not serve; by a connection for this alone."""
        connection = Connection(
            self.address,
            self._credentials,
            authority=self.authority,
            proxy=self._proxy,
            whatever_health=True,
        )
        try:
            return await self.send(connection, method, request, timeout_s)
        finally:
            await connection.close()

    async def send(
        self, connection: Connection, method: str, request: bytes, timeout_s: float
    ) -> bytes:
        """Send a serialised request on ``work`` or ``control``; returns the serialised reply.

        A replica that cannot be reached fails at once instead of using up the time.

        Raises:
            BackendError: the service's own status.
            ServiceError: it cannot be reached, or is late.
            LookupError: the contract has no such method for a model.
        """
        if timeout_s <= 0:
            raise too_late(self.model_id)
        try:
            with connection.in_use():
                reply = await connection.call(method, request, timeout_s=timeout_s)
        except grpc.aio.AioRpcError as error:
            why = self.own_words if connection is self.work else ""
            raise from_rpc_error(error, self.model_id, why) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled the caller: the channel was closed under the call.
            raise unreachable(self.model_id) from None
        self._trust = min(self._trust + _TRUST_REGAINED, _TRUST)
        return reply

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """Count one more session while it is held, on the connection that it gives.

        Raises:
            ServiceError: as ``Permits.taken``.
        """
        connection = self.work
        with self.places.taken(), connection.in_use():
            self.sessions += 1
            try:
                yield connection
            finally:
                self.sessions -= 1

    def holding(self, message: bytes) -> AbstractContextManager[None]:
        """Count the bytes of a session's message while it is written."""
        return self.places.holding(message)

    def state(self) -> grpc.ChannelConnectivity:
        """Read the state of the connections, READY only if both are; connects what is not."""
        states = (self.control.state(), self.work.state())
        return next((state for state in states if state is not _READY), _READY)

    async def control_changed(self) -> None:
        """Return once the control connection has another state, or is another connection."""
        await self.control.state_other_than(self.control.state())

    def renew(self, credentials: grpc.ChannelCredentials) -> None:
        """Go over to connections with other credentials; no call notices."""
        if self._handover is not None:
            self._handover.cancel()
        self._credentials = credentials
        work, control = self._connect(credentials), self._connect(credentials)
        self._handover = asyncio.create_task(self._hand_over(work, control))

    async def _hand_over(self, work: Connection, control: Connection) -> None:
        """Let these take the calls once they are ready, or once those before are not any more."""
        late = asyncio.get_running_loop().call_later(_HANDOVER_LATE_S, self._log_late_handover)
        try:
            while not _ready(work, control) and _ready(self.work, self.control):
                await asyncio.sleep(_HANDOVER_POLL_S)
        except asyncio.CancelledError:
            work.retire()
            control.retire()
            raise
        finally:
            late.cancel()
        before = (self.work, self.control)
        self.work, self.control = work, control
        for connection in before:
            connection.retire()

    def _log_late_handover(self) -> None:
        text = "no connection with the new certificates, the one before stays in use"
        _log.error(text, model=self.model_id, address=self.address)

    def retire(self) -> None:
        """Close each connection as soon as no call or session needs it any more."""
        if self._handover is not None:
            self._handover.cancel()
        self.work.retire()
        self.control.retire()

    async def close(self) -> None:
        """End the calls that run and the connections."""
        if self._handover is not None:
            self._handover.cancel()
            await asyncio.gather(self._handover, return_exceptions=True)
        await asyncio.gather(self.work.close(), self.control.close())


def _ready(*connections: Connection) -> bool:
    # All are asked: asking is what makes an idle one connect.
    return [connection.state() for connection in connections] == [_READY] * len(connections)
