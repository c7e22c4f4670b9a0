"""The services and methods of the contract, read from its descriptors.

What the gateway serves, passes on, asks tokens for and counts is listed here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from diptych.segment.v1 import gateway_service_pb2, segment_service_pb2

SEGMENT: ServiceDescriptor = segment_service_pb2.DESCRIPTOR.services_by_name["SegmentService"]
"""What every model service offers, and the gateway on their behalf."""
GATEWAY: ServiceDescriptor = gateway_service_pb2.DESCRIPTOR.services_by_name["GatewayService"]
"""What the gateway alone offers."""
SERVICES = (SEGMENT, GATEWAY)


def path(method: MethodDescriptor) -> str:
    """Name a method as gRPC does: ``/package.Service/Method``."""
    return f"/{method.containing_service.full_name}/{method.name}"


def is_unary(method: MethodDescriptor) -> bool:
    """Say whether a method takes one message and answers one."""
    return not (method.client_streaming or method.server_streaming)


METHODS: Mapping[str, MethodDescriptor] = {
    path(method): method for service in SERVICES for method in service.methods
}
"""Every method of both services by its path."""
