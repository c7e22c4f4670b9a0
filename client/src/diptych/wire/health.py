"""The standard health check, without a dependency for two messages of one field each.

``HealthCheckRequest`` has one string in field 1, as StringValue has; ``HealthCheckResponse`` one
varint in field 1, as Int32Value has. On the wire they cannot be told apart.
"""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from .._types.health import ServingStatus

HEALTH_METHOD = "/grpc.health.v1.Health/Check"
_BY_NUMBER = dict(enumerate(ServingStatus))


def health_request(service: str) -> StringValue:
    """A ``HealthCheckRequest``."""
    return StringValue(value=service)


def serving_status(reply: Int32Value) -> ServingStatus:
    """What a ``HealthCheckResponse`` says."""
    return _BY_NUMBER.get(reply.value, ServingStatus.UNKNOWN)
