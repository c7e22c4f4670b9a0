"""Health lists what it knows, as ``Check`` and ``Watch`` say it one by one."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from diptych_runtime.grpc_server.server import GrpcServer


async def test_every_service_is_listed_with_its_status() -> None:
    server = GrpcServer(address="127.0.0.1:0", handlers=[], services=["one", "two"])
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        states = health_pb2.HealthCheckResponse
        for serving, status in ((False, states.NOT_SERVING), (True, states.SERVING)):
            await server.set_serving(serving)
            listed = await stub.List(health_pb2.HealthListRequest())
            assert {name: each.status for name, each in listed.statuses.items()} == dict.fromkeys(
                ("", "one", "two"), status
            )
    await server.drain(0)
