"""One channel per model, made once; messages pass through it as bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from diptych.limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES
from diptych_runtime.errors import Reason, ServiceError

from .statuses import from_rpc_error, unreachable

SEGMENT_SERVICE = "diptych.segment.v1.SegmentService"
UNARY_METHODS = ("Segment", "GetModelCard", "GetModelStats")

_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    # pick_first ignores health; with round_robin a service that drains gets no new calls.
    "healthCheckConfig": {"serviceName": ""},
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    "methodConfig": [
        {
            # Not SegmentVideo: a session lives on one process and cannot be sent again.
            "name": [{"service": SEGMENT_SERVICE, "method": name} for name in UNARY_METHODS],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.2s",
                "backoffMultiplier": 3,
                # A server that stops answers CANCELLED to calls that it has not taken yet.
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
}

CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.max_send_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
    # Above its default of 256 KiB gRPC gives up retries without a word; the rest is for headers.
    ("grpc.per_rpc_retry_buffer_size", MAX_REQUEST_BYTES + 64 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # By default a name is not looked up again for 30 s, however many of its addresses are gone.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # With a header table gRPC sends an older timeout instead of one that is up to 3 % shorter.
    ("grpc.http2.hpack_table_size.encoder", 0),
    # Channels to one address must not share a connection: models would share its stream limit.
    ("grpc.use_local_subchannel_pool", 1),
)

_UnaryCall = Callable[..., Awaitable[bytes]]


class Backend:
    """A model's service. Make it inside the event loop that uses it."""

    def __init__(
        self,
        model_id: str,
        target: str,
        *,
        in_flight_requests: int = 128,
        in_flight_bytes: int = 512 * 1024 * 1024,
    ) -> None:
        self.model_id = model_id
        self._channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
        self._calls = {name: self._unary(name) for name in UNARY_METHODS}
        self._video: Any = self._channel.stream_stream(f"/{SEGMENT_SERVICE}/SegmentVideo")
        self._max_requests = in_flight_requests
        self._max_bytes = in_flight_bytes
        self._bytes = 0
        self.in_flight = 0

    def _unary(self, name: str) -> _UnaryCall:
        # Without (de)serialisers grpcio hands bytes through.
        call: Any = self._channel.unary_unary(f"/{SEGMENT_SERVICE}/{name}")
        return call  # type: ignore[no-any-return]

    async def call(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """Send a serialised request; returns the serialised reply.

        UNAVAILABLE is tried again by the channel, within ``timeout_s``. A model that cannot be
        reached fails at once instead of using up the deadline.

        Raises:
            BackendError: the service's own status.
            ServiceError: it cannot be reached, is late, or has too many requests waiting.
        """
        with self.place(len(request)), self.holding(request):
            try:
                return await self._calls[method](request, timeout=timeout_s)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error, self.model_id) from error
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Nobody cancelled the caller: the channel was closed under the call.
                raise unreachable(self.model_id) from None

    def open_video(self, *, timeout_s: float | None) -> Any:
        """A ``SegmentVideo`` call of raw bytes; never tried again. Without a timeout it has none.

        Its reads and writes raise what grpcio raises.
        """
        return self._video(timeout=timeout_s)

    @contextmanager
    def place(self, request_bytes: int = 0) -> Iterator[None]:
        """Counts as one call while it is held.

        Raises:
            ServiceError: the model has too many already, or too many bytes with these.
        """
        if self.in_flight >= self._max_requests or self._bytes + request_bytes > self._max_bytes:
            raise ServiceError(
                Reason.QUEUE_FULL,
                f"model {self.model_id!r} has {self.in_flight} requests waiting already",
                metadata={"modelId": self.model_id},
                retry_after_s=1.0,
            )
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    @contextmanager
    def holding(self, message: bytes) -> Iterator[None]:
        """Counts the bytes of a message while it is sent."""
        self._bytes += len(message)
        try:
            yield
        finally:
            self._bytes -= len(message)

    def state(self) -> grpc.ChannelConnectivity:
        """How the connection stands now; connects if nothing has yet."""
        return self._channel.get_state(try_to_connect=True)

    async def state_other_than(self, state: grpc.ChannelConnectivity) -> None:
        """Return once the connection stands otherwise than ``state``."""
        await self._channel.wait_for_state_change(state)

    async def close(self) -> None:
        """End the calls that run and the connection."""
        await self._channel.close()
