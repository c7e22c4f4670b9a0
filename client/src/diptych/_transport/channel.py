"""How a client reaches its server: target, limits, keepalive and retries."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from ..limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES

DEFAULT_ADDRESS = "localhost:50051"
ADDRESS_VARIABLE = "DIPTYCH_ADDRESS"


@dataclass(frozen=True)
class ChannelOptions:
    """Settings of the connection, other than who may read along: that is ``TlsOptions``."""

    max_request_bytes: int = MAX_REQUEST_BYTES
    """Larger requests are refused before they are sent."""
    max_reply_bytes: int = MAX_REPLY_BYTES
    """Larger replies are refused on arrival."""
    keepalive_s: float = 30.0
    """Pause between pings while a call is open; servers refuse less than 1 s."""
    keepalive_timeout_s: float = 10.0
    """A ping that is not answered within this closes the connection."""

    def to_grpc(self, *, retry: bool) -> tuple[tuple[str, str | int], ...]:
        """As channel arguments of gRPC.

        ``retry`` repeats a unary call that was answered UNAVAILABLE, up to three attempts in all.
        Only for a model service without a gateway: that one retries, and two layers multiply.
        """
        arguments: tuple[tuple[str, str | int], ...] = (
            ("grpc.max_send_message_length", self.max_request_bytes),
            ("grpc.max_receive_message_length", self.max_reply_bytes),
            ("grpc.keepalive_time_ms", round(self.keepalive_s * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.keepalive_timeout_s * 1000)),
            # Servers close what had no calls for 25 s, and a request of megabytes that begins at
            # that moment is lost (1.85.1): so the client is the first to let go.
            ("grpc.client_idle_timeout_ms", 15_000),
            # A restarted server should be found again in seconds, not minutes.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.min_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 5000),
        )
        if not retry:
            return arguments
        return (
            *arguments,
            ("grpc.service_config", json.dumps(_retry_config())),
            # gRPC gives up retries of requests above 256 KiB, that is of images, by default.
            ("grpc.per_rpc_retry_buffer_size", self.max_request_bytes + 1024),
        )


def _retry_config() -> dict[str, object]:
    # Late, so that the types alone do not load the messages.
    from ..segment.v1 import segment_service_pb2

    service = segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"]
    unary = [m.name for m in service.methods if not (m.client_streaming or m.server_streaming)]
    return {
        "methodConfig": [
            {
                "name": [{"service": service.full_name, "method": method} for method in unary],
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }


def resolve_address(address: str | None) -> str:
    """The target to dial: the argument, else ``DIPTYCH_ADDRESS``, else ``localhost:50051``.

    Raises:
        ValueError: for a URL; gRPC targets are ``host:port``.
    """
    target = address or os.environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS
    if target.startswith(("http://", "https://")):
        raise ValueError(f"address: expected host:port such as {DEFAULT_ADDRESS}, got {target!r}")
    return target
