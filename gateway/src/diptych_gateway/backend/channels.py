"""What the gateway's channels to model services are set to."""

from __future__ import annotations

import json
import os

from diptych.limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES
from diptych_runtime.calls import REQUEST_ID_KEY
from diptych_runtime.grpc_server.server import CLIENT_PING_MS

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
