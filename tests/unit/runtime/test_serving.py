"""Addresses as gRPC reads them."""

from __future__ import annotations

import pytest

from diptych_runtime.grpc_server.server import listen_address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1:5"),
        ("localhost", "localhost:5"),
        ("::1", "[::1]:5"),
        ("[::]", "[::]:5"),
    ],
)
def test_ipv6_gets_brackets(host: str, address: str) -> None:
    assert listen_address(host, 5) == address
