"""What the gateway does for each method of the contract is complete."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from grpc_reflection.v1alpha import reflection

from diptych.segment import v1 as pb
from diptych.wire.statuses import ok_status
from diptych_gateway.backend.images import ImageCache
from diptych_gateway.backend.model import Model
from diptych_gateway.backend.registry import Registry
from diptych_gateway.backend.replicas import Replicas
from diptych_gateway.cascade.cascade import Cascade
from diptych_gateway.contract import METHODS, SERVICES
from diptych_gateway.handlers import Handlers
from diptych_gateway.security.gate import SCOPES
from diptych_gateway.settings import Endpoint, Settings
from diptych_runtime.engine import Reason, ServiceError

SETTINGS = Settings(models=(Endpoint("one", "localhost:1"),))


def handlers(registry: Registry) -> dict[str, Any]:
    """What the gateway would answer each method of the contract with."""
    made = Handlers(SETTINGS, registry, ImageCache(0)).generic()
    found = {}
    for path in METHODS:
        call: Any = SimpleNamespace(method=path, invocation_metadata=())
        found[path] = next(filter(None, (each.service(call) for each in made)), None)
    return found


def test_the_contract_is_the_one_of_the_descriptors() -> None:
    assert {service.full_name for service in SERVICES} == {
        "diptych.segment.v1.SegmentService",
        "diptych.segment.v1.GatewayService",
    }
    assert len(METHODS) == sum(len(service.methods) for service in SERVICES) >= 7


async def test_every_method_has_a_handler_of_its_kind() -> None:
    found = handlers(Registry([]))
    for path, method in METHODS.items():
        assert found[path] is not None, path
        assert found[path].request_streaming == method.client_streaming, path
        assert found[path].response_streaming == method.server_streaming, path


def test_every_method_has_a_scope_and_no_other_has_one() -> None:
    reflects = f"/{reflection.SERVICE_NAME}/ServerReflectionInfo"
    assert set(SCOPES) == {*METHODS, reflects}


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


@pytest.fixture
async def models() -> AsyncIterator[tuple[Replicas, Cascade]]:
    services = [Replicas(name, ["127.0.0.1:1"]) for name in ("finder", "drawer")]
    limits = {"in_flight_requests": 1, "in_flight_bytes": 1}
    cascade = Cascade("both", *services, cache=ImageCache(0), **limits)
    yield services[0], cascade
    for service in services:
        await service.close()


async def test_a_method_that_is_none_is_refused(models: tuple[Model, Model]) -> None:
    for model in models:
        for method in ("SegmentVideo", "ListModelCards", ""):
            with pytest.raises(LookupError):
                await model.call(method, b"", timeout_s=1)
        assert model.in_flight == 0


async def test_a_cascade_does_no_videos(models: tuple[Model, Model]) -> None:
    service, cascade = models
    service.video(b"", nothing(), None)
    with pytest.raises(ServiceError) as caught:
        cascade.video(b"", nothing(), None)
    assert caught.value.reason is Reason.TASK_UNSUPPORTED
    assert "TASK_VIDEO_SEGMENTATION" in str(caught.value)


async def test_the_registry_does_not_tell_them_apart(models: tuple[Any, Any]) -> None:
    service, cascade = models
    registry = Registry([service], [cascade])
    assert registry.models() == [service, cascade]
    assert registry.model("both") is cascade
    task = pb.Task.TASK_INSTANCE_SEGMENTATION
    assert registry.for_task(task) == ("finder", "both")
    service.replicas[0].card = pb.ModelCard(id="finder")
    service.replicas[0].status = ok_status()
    assert registry.for_task(task) == ("both",)
    assert [known.model_id for known in registry.known_models()] == ["finder", "both"]
    assert [bool(known.status.code) for known in registry.known_models()] == [False, True]
