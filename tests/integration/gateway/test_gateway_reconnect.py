"""A service that ends old connections is not one that is gone."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from diptych.segment import v1 as pb
from diptych_gateway.backend.registry import Registry
from diptych_gateway.backend.replicas import Replicas
from diptych_gateway.statuses import unreachable

AGE_MS = 200
SERVICE = "diptych.segment.v1.SegmentService"


class Service:
    """A model service whose connections are short-lived; ``peers`` are those it met."""

    def __init__(self) -> None:
        self.peers: set[str] = set()
        options = (("grpc.max_connection_age_ms", AGE_MS), ("grpc.max_connection_age_grace_ms", 50))
        self.server = grpc.aio.server(options=options)
        handlers = {
            "GetModelCard": grpc.unary_unary_rpc_method_handler(
                self.card, response_serializer=pb.GetModelCardResponse.SerializeToString
            )
        }
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, handlers),)
        )
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def card(self, request: bytes, context: Any) -> pb.GetModelCardResponse:
        self.peers.add(context.peer())
        return pb.GetModelCardResponse(model_card=pb.ModelCard(id="one"))


async def test_a_connection_that_is_replaced_is_no_lost_model() -> None:
    service = Service()
    await service.server.start()
    registry = Registry([Replicas("one", [f"127.0.0.1:{service.port}"])])
    registry.start()
    lost = unreachable("one").to_status().code
    while registry.known_models()[0].status.code == lost:
        await asyncio.sleep(0.005)
    while len(service.peers) < 4:
        assert registry.known_models()[0].status.code == 0
        await asyncio.sleep(0.005)
    await service.server.stop(0)
    while registry.known_models()[0].status.code != lost:
        await asyncio.sleep(0.005)
    await registry.close()
