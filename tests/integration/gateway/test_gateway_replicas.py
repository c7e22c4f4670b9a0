"""Several services under one name: they share the load, and may come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from names import Names, running_names

from diptych import AsyncClient
from diptych.segment import v1 as pb
from diptych_gateway.backend.endpoint import ModelEndpoint
from diptych_runtime.grpc_server.server import SERVER_OPTIONS

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING
AGE = "grpc.max_connection_age_ms"
# Less than the 30 s for which gRPC would by default not look a name up again.
SOON_S = 20


@pytest.fixture
async def replicas(stage: Any) -> list[Any]:
    """Three services on one port of three addresses; the first two run."""
    first = await stage.model("one")
    second, third = (stage.replica(first, f"127.0.0.{number}") for number in (3, 4))
    await second.start()
    return [first, second, third]


@asynccontextmanager
async def endpoint_of(names: Names, port: int) -> AsyncIterator[ModelEndpoint]:
    endpoint = ModelEndpoint("one", names.target(port))
    try:
        yield endpoint
    finally:
        await endpoint.close()


class Load:
    """Calls without a pause, four at a time; ``failed`` stays empty if none is lost."""

    def __init__(self, endpoint: ModelEndpoint, request: bytes) -> None:
        self._endpoint = endpoint
        self._request = request
        self.failed: list[Exception] = []

    async def ask(self) -> None:
        try:
            await self._endpoint.call("Segment", self._request, timeout_s=30)
        except Exception as error:
            self.failed.append(error)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()

        async def ask_on() -> None:
            while not stop.is_set():
                await self.ask()
                await asyncio.sleep(0.001)

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(ask_on())
            try:
                async with asyncio.timeout(SOON_S):
                    yield
            finally:
                stop.set()


def grows(model: Any) -> Callable[[], bool]:
    """Whether a model has been asked several times since now."""
    before = len(model.requests)
    return lambda: len(model.requests) > before + 20


async def test_two_under_one_name_share_the_load(stage: Any, replicas: list[Any]) -> None:
    first, second, _ = replicas
    async with (
        running_names("127.0.0.1", "127.0.0.3") as names,
        endpoint_of(names, first.port) as endpoint,
    ):
        load = Load(endpoint, stage.request().SerializeToString())
        while not (first.requests and second.requests):  # both are connected
            await load.ask()
        before = [len(model.requests) for model in (first, second)]
        for _ in range(200):
            await load.ask()
        shares = [len(m.requests) - b for m, b in zip((first, second), before, strict=True)]
    assert not load.failed
    assert sum(shares) == 200
    assert all(80 <= share <= 120 for share in shares), shares


async def test_one_goes_and_another_comes(stage: Any, replicas: list[Any]) -> None:
    first, second, third = replicas
    async with (
        running_names("127.0.0.1", "127.0.0.3") as names,
        endpoint_of(names, first.port) as endpoint,
    ):
        load = Load(endpoint, stage.request().SerializeToString())
        async with load.running():
            await stage.until(lambda: bool(first.requests and second.requests))
            await second.health.set("", NOT_SERVING)
            names.addresses = ["127.0.0.1"]
            await second.server.stop(5)
            second.server = None
            await third.start()
            names.addresses = ["127.0.0.1", "127.0.0.4"]
            await stage.until(grows(third))
            await stage.until(grows(first))
    assert not load.failed


async def test_one_that_joins_is_found(stage: Any, replicas: list[Any]) -> None:
    """Nothing fails when one joins, so nothing but the age of a connection makes gRPC look."""
    first, _, third = replicas
    await first.stop()
    first.options = (*SERVER_OPTIONS, (AGE, 500))
    await first.start()
    async with running_names("127.0.0.1") as names, endpoint_of(names, first.port) as endpoint:
        load = Load(endpoint, stage.request().SerializeToString())
        async with load.running():
            await stage.until(grows(first))
            await third.start()
            names.addresses = ["127.0.0.1", "127.0.0.4"]
            await stage.until(grows(third))
            await stage.until(grows(first))
    assert not load.failed


async def test_a_call_outlives_its_connection(stage: Any) -> None:
    model = await stage.model("one")
    await model.stop()
    model.options = (*SERVER_OPTIONS, (AGE, 100))
    await model.start()
    answer, release = model.answer, asyncio.Event()

    async def slow(request: pb.SegmentRequest, context: Any) -> pb.SegmentResponse:
        await release.wait()
        return await answer(request, context)

    model.answer = slow
    endpoint = ModelEndpoint("one", model.address)
    call = asyncio.create_task(
        endpoint.call("Segment", stage.request().SerializeToString(), timeout_s=30)
    )
    await asyncio.sleep(1)  # many times the age
    release.set()
    assert pb.SegmentResponse.FromString(await call).model_id == "one"
    assert len(model.requests) == 1
    await endpoint.close()


async def test_a_client_of_several_addresses_leaves_one_that_drains(
    stage: Any, replicas: list[Any]
) -> None:
    first, second, _ = replicas
    image = stage.request().image.encoded
    target = f"ipv4:127.0.0.1:{first.port},127.0.0.3:{second.port}"
    async with AsyncClient(target) as client:

        async def ask() -> None:
            await client.segment(image, model="one")

        async with asyncio.timeout(SOON_S):
            while not (first.requests and second.requests):
                await ask()
            await first.health.set("", NOT_SERVING)
            # The word of it takes a moment: ten calls in a row that go elsewhere.
            row = 0
            while row < 10:
                before = len(first.requests)
                await ask()
                row = row + 1 if len(first.requests) == before else 0
            await first.health.set("", SERVING)
            before = len(first.requests)
            while len(first.requests) == before:
                await ask()
