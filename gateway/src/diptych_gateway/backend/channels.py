"""Channels to model services: what they are set to, and when they close."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from diptych.limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES
from diptych_runtime.calls import REQUEST_ID_KEY, outgoing_metadata
from diptych_runtime.grpc_server.server import CLIENT_PING_MS

from ..contract import SEGMENT, is_unary, path

OWN_ID = f"gateway-{os.urandom(8).hex()}"
"""The id of what a gateway asks for itself, by which it knows its own voice."""
OWN_METADATA = ((REQUEST_ID_KEY, OWN_ID),)

# pick_first ignores health; with round_robin a service that drains gets no new calls. Which of
# several replicas is asked, and which after it, is decided in ``replicas``: no retries here.
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""},
}

CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.max_send_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
    # gRPC itself sends again what a server has surely not seen, but without a word not what is
    # above this, 256 KiB by default; the rest is for headers.
    ("grpc.per_rpc_retry_buffer_size", MAX_REQUEST_BYTES + 64 * 1024),
    # What a dead peer costs: this pause, this wait, and a new connection. The wait is also Linux'
    # TCP_USER_TIMEOUT. Answered by the core, whatever the event loop of the service does.
    ("grpc.keepalive_time_ms", CLIENT_PING_MS),
    ("grpc.keepalive_timeout_ms", 2_000),
    # For pings that measure bandwidth; while one is under way no other is sent, for a minute else.
    ("grpc.http2.ping_timeout_ms", 4_000),
    # Without this gRPC stops to ping a connection after two pings without a message.
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Despite its name the time that one attempt to connect gets.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    # A replica that is back is to be known before the next one of a rolling restart goes.
    ("grpc.max_reconnect_backoff_ms", 400),
    # By default a name is not looked up again for 30 s, however many of its addresses are gone.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # With a header table gRPC sends an older timeout instead of one that is up to 3 % shorter.
    ("grpc.http2.hpack_table_size.encoder", 0),
    # Channels to one address must not share a connection: models would share its stream limit.
    ("grpc.use_local_subchannel_pool", 1),
)
WITHOUT_HEALTH = tuple(one for one in CHANNEL_OPTIONS if one[0] != "grpc.service_config")
"""For questions to a service that says that it does not serve."""

_HEALTH_CHECK = health_pb2.DESCRIPTOR.services_by_name["Health"].methods_by_name["Check"]
_UNARY_METHODS = (*(method for method in SEGMENT.methods if is_unary(method)), _HEALTH_CHECK)
_VIDEO_METHOD = SEGMENT.methods_by_name["SegmentVideo"]

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
