"""Channel arguments: what gRPC is told."""

from __future__ import annotations

import json

import pytest

from diptych import ChannelOptions
from diptych._transport.channel import has_several
from diptych.limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES


def test_limits_and_keepalive() -> None:
    arguments = dict(ChannelOptions().to_grpc(retry=False))
    assert arguments["grpc.max_send_message_length"] == MAX_REQUEST_BYTES
    assert arguments["grpc.max_receive_message_length"] == MAX_REPLY_BYTES
    assert arguments["grpc.keepalive_time_ms"] == 30_000
    assert arguments["grpc.keepalive_timeout_ms"] == 10_000
    assert "grpc.service_config" not in arguments


def test_retry_is_for_unavailable_unary_calls_and_fits_the_largest_request() -> None:
    arguments = dict(ChannelOptions().to_grpc(retry=True))
    assert int(arguments["grpc.per_rpc_retry_buffer_size"]) >= MAX_REQUEST_BYTES
    (method,) = json.loads(str(arguments["grpc.service_config"]))["methodConfig"]
    assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert {name["method"] for name in method["name"]} == {
        "Segment",
        "GetModelCard",
        "GetModelStats",
    }


@pytest.mark.parametrize(
    ("target", "several"),
    [
        ("ipv4:10.0.0.1:1,10.0.0.2:1", True),
        ("ipv6:[::1]:1,[::1]:2", True),
        ("ipv4:10.0.0.1:1", False),
        ("dns:///gateway:50051", False),
        ("localhost:50051", False),
    ],
)
def test_only_lists_of_addresses_are_balanced(target: str, several: bool) -> None:
    assert has_several(target) is several
    assert "grpc.service_config" not in dict(ChannelOptions().to_grpc(retry=False))
    for retry in (False, True):
        arguments = dict(ChannelOptions().to_grpc(retry=retry, several=True))
        config = json.loads(str(arguments["grpc.service_config"]))
        assert config["loadBalancingConfig"] == [{"round_robin": {}}]
        assert config["healthCheckConfig"] == {"serviceName": ""}
        assert ("methodConfig" in config) is retry


@pytest.mark.parametrize("name", ["max_request_bytes", "retry"])
def test_options_are_frozen(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(ChannelOptions(), name, 1)
