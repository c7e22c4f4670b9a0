"""How a client reaches its server: target, limits, keepalive and retries."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import NoReturn

from ..limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES

DEFAULT_ADDRESS = "localhost:50051"
ADDRESS_VARIABLE = "DIPTYCH_ADDRESS"
_ENCRYPTED_PORT = 443
_SCHEMES = ("dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds")
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}:\d{1,5}")
_PORT = re.compile(r":\d+$")


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

    def to_grpc(self, *, retry: bool, several: bool = False) -> tuple[tuple[str, str | int], ...]:
        """As channel arguments of gRPC.

        ``retry`` repeats a unary call that was answered UNAVAILABLE, up to three attempts in all.
        Only for a model service without a gateway: that one retries, and two layers multiply.
        ``several`` spreads calls over the addresses of the target whose health says SERVING.
        """
        arguments: tuple[tuple[str, str | int], ...] = (
            ("grpc.max_send_message_length", self.max_request_bytes),
            ("grpc.max_receive_message_length", self.max_reply_bytes),
            ("grpc.keepalive_time_ms", round(self.keepalive_s * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.keepalive_timeout_s * 1000)),
            # Servers close what had no calls for 25 s, and a request of megabytes that begins at
            # that moment is lost (1.85.1): so the client is the first to let go.
            ("grpc.client_idle_timeout_ms", 15_000),
            # With a header table gRPC sends an older timeout for one that is up to 3 % shorter.
            ("grpc.http2.hpack_table_size.encoder", 0),
            # A restarted server should be found again in seconds, not minutes.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.min_reconnect_backoff_ms", 200),
            # While a client waits for the one of several that is back, the next may drain.
            ("grpc.max_reconnect_backoff_ms", 400 if several else 5000),
        )
        config = {**(_SEVERAL if several else {}), **(_retry_config() if retry else {})}
        if config:
            arguments = (*arguments, ("grpc.service_config", json.dumps(config)))
        if not retry:
            return arguments
        return (
            *arguments,
            # gRPC gives up retries of requests above 256 KiB, that is of images, by default.
            ("grpc.per_rpc_retry_buffer_size", self.max_request_bytes + 1024),
        )


_SEVERAL: dict[str, object] = {
    "loadBalancingConfig": [{"round_robin": {}}],
    # By default all calls go to the first address that connects, whatever its health says.
    "healthCheckConfig": {"serviceName": ""},
}


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


def has_several(target: str) -> bool:
    """Whether a gRPC target lists addresses: ``ipv4:10.0.0.1:50051,10.0.0.2:50051``."""
    return target.startswith(("ipv4:", "ipv6:")) and "," in target


def resolve_address(address: str | None, *, encrypted: bool = False) -> str:
    """The target to dial: the argument, else ``DIPTYCH_ADDRESS``, else ``localhost:50051``.

    ``host:port``, several of them as IPv4 addresses with commas between, or a name of gRPC such as
    ``unix:/run/diptych`` or ``dns:///host:port``.

    Raises:
        ValueError: for a URL, for a port that is none, and for no port; where the connection is
            ``encrypted``, that is 443.
    """
    target = address or os.environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS
    scheme, rest = _split(target)
    if scheme is None:
        _refuse(target, "a URL: gRPC is spoken at a port of its own, without http:// before it")
    if scheme == "" and "," in target:
        hosts = [each.strip() for each in target.split(",")]
        if not all(_IPV4.fullmatch(each) for each in hosts):
            _refuse(target, "names or no ports in a list of addresses")
        return "ipv4:" + ",".join(hosts)
    if scheme in ("", "dns"):
        _check_host_and_port(target, rest, encrypted)
    return target


def host_of(target: str) -> str:
    """The host of the target, without its port; of several the first."""
    first = _split(target)[1].split(",")[0]
    return first if first.count(":") > 1 and "]" not in first else _PORT.sub("", first)


def endpoints_of(target: str) -> tuple[tuple[str, int], ...]:
    """Hosts and ports of the target, an encrypted one without a port at 443.

    None for what has no ports, such as ``unix:``, and for names that gRPC alone can look up.
    """
    scheme, rest = _split(target)
    if scheme not in ("", "dns", "ipv4", "ipv6"):
        return ()
    found = []
    for each in rest.split(","):
        host = host_of(each)
        port = each.removeprefix(host).removeprefix(":")
        found.append((host.strip("[]"), int(port) if port else _ENCRYPTED_PORT))
    return tuple(found)


def _split(target: str) -> tuple[str | None, str]:
    """gRPC's scheme, ``None`` if it is no scheme of gRPC, and what comes after it."""
    scheme, _, rest = target.partition(":")
    if scheme in _SCHEMES:
        return scheme, rest.rpartition("/")[2] if rest.startswith("//") else rest
    return (None if rest.startswith("//") else ""), target


def _check_host_and_port(target: str, rest: str, encrypted: bool) -> None:
    bare = rest.count(":") > 1 and "]" not in rest  # an IPv6 address without a port
    port = "" if bare else rest.rpartition("]")[2].partition(":")[2]
    if "/" in rest:
        _refuse(target, "a path: gRPC has none, and no prefix of a proxy")
    if not port and (":" not in rest or bare or rest.endswith("]")) and not encrypted:
        host = f"[{rest}]" if bare else rest
        _refuse(target, f"no port; is it {host}:{DEFAULT_ADDRESS.rpartition(':')[2]}?")
    given = port or (rest.endswith(":") and not bare)
    if given and not (port.isdecimal() and 1 <= int(port) <= 65535):
        _refuse(target, "no port from 1 to 65535")


def _refuse(target: str, why: str) -> NoReturn:
    raise ValueError(
        f"address: expected host:port such as {DEFAULT_ADDRESS}, got {target!r}, {why}"
    )
