"""A service that ends old connections is not one that is gone."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from diptych.segment import v1 as pb
from diptych_gateway.backend.registry import Registry
from diptych_gateway.backend.replicas import Replicas
from diptych_gateway.statuses import unreachable
from diptych_runtime.engine import Reason, ServiceError

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


async def test_what_a_service_says_is_wrong_with_it_is_told(stage: Any) -> None:
    """Calls do not go to a service that does not serve, so its words came to nobody."""
    one = await stage.model("one")
    said = "the model is loaded and failed its canary, the service's own request"

    async def broken(request: Any, context: Any) -> Any:
        raise ServiceError(Reason.ENGINE_LOST, said, retry_after_s=2.0)

    await one.stop()
    one.GetModelCard = broken
    await one.start()
    await one.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    await stage.serve(one, seen=False)

    def status() -> Any:
        (known,) = stage.gateway.registry.known_models()
        return known.status

    await stage.until(lambda: said in status().message)
    assert status().message == f"model 'one' cannot be reached: {said}"
    answer = await stage.http().post("/api/segment", **stage.form(model="one"))
    assert (answer.status_code, answer.json()["reason"]) == (503, "MODEL_LOADING")
    assert said in answer.json()["detail"]
    # Back in health it is asked as ever.
    del one.GetModelCard
    await one.stop()
    await one.start()
    await stage.until(lambda: stage.reachable() == {"one"})
