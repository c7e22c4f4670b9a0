"""The standard health check, as messages and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from grpc_health.v1 import health_pb2

from .._types.health import ServingStatus

RELEASE_KEY = "x-diptych-release"
"""Metadata beside the answer to a health check: the release that the server is of."""

_VALUES = {
    status: health_pb2.HealthCheckResponse.ServingStatus.Value(status.name)
    for status in ServingStatus
}
_STATUSES = {value: status for status, value in _VALUES.items()}


def health_request(service: str) -> health_pb2.HealthCheckRequest:
    """The question whether a service, or the server itself (``""``), serves."""
    return health_pb2.HealthCheckRequest(service=service)


def health_reply(status: ServingStatus) -> health_pb2.HealthCheckResponse:
    """The answer to it."""
    return health_pb2.HealthCheckResponse(status=_VALUES[status])


def read_health(reply: health_pb2.HealthCheckResponse) -> ServingStatus:
    """What the answer says; unknown for a status that this version does not know."""
    return _STATUSES.get(reply.status, ServingStatus.UNKNOWN)


def health_list(statuses: Mapping[str, int]) -> health_pb2.HealthListResponse:
    """Every service by name with its status, as a server lists them."""
    states = health_pb2.HealthCheckResponse
    return health_pb2.HealthListResponse(
        statuses={name: states(status=cast(Any, status)) for name, status in statuses.items()}
    )


def release_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The release that a server tells beside its health; empty if it tells none."""
    found = dict(metadata or ()).get(RELEASE_KEY, "")
    return found if isinstance(found, str) else ""
