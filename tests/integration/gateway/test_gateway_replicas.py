"""Several services of one model: which is asked, what is tried elsewhere, who comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from diptych import AsyncClient
from diptych.segment import v1 as pb
from diptych_gateway.backend.images import ImageCache, SentImage
from diptych_gateway.backend.replicas import Replicas
from diptych_gateway.request import Deadline
from diptych_gateway.settings import Endpoint, Settings
from diptych_runtime.grpc_server.server import SERVER_OPTIONS

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING
AGE = "grpc.max_connection_age_ms"
SOON_S = 20
SETTINGS = Settings(models=(Endpoint("one", "localhost:1"),))


@pytest.fixture
async def models(stage: Any) -> list[Any]:
    """Three services of one model; the first two run."""
    first, second, third = [await stage.model("one") for _ in range(3)]
    await third.stop()
    return [first, second, third]


@asynccontextmanager
async def followed(*models: Any) -> AsyncIterator[Replicas]:
    """A model that is these, all of them up."""
    replicas = Replicas("one", [model.address for model in models])
    replicas.start(refresh_s=60)
    try:
        while not all(replica.is_up for replica in replicas.replicas):
            await asyncio.sleep(0.01)
        yield replicas
    finally:
        await replicas.close()


class Load:
    """Calls without a pause, four at a time, each about a new image; ``failed`` stays empty if
    none is lost."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._cache = ImageCache(0)
        self._count = 0
        self.failed: list[Exception] = []

    async def ask(self) -> str:
        """Send one; returns the model's name, or nothing if that failed."""
        self._count += 1
        image = pb.Image(encoded=b"%d" % self._count)
        request = pb.SegmentRequest(model_id="one", image=image)
        sent = SentImage(image, self._cache)
        deadline = Deadline.within(30, SETTINGS)
        try:
            raw = await self._replicas.segment(request.SerializeToString(), sent, deadline)
        except Exception as error:
            self.failed.append(error)
            return ""
        return pb.SegmentResponse.FromString(raw).model_id

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


async def test_two_share_the_load(models: list[Any]) -> None:
    first, second, _ = models
    async with followed(first, second) as replicas:
        load = Load(replicas)
        for _ in range(200):
            await load.ask()
    assert not load.failed
    shares = [len(model.images) for model in (first, second)]
    assert sum(shares) == 200
    assert all(60 <= share <= 140 for share in shares), shares


async def test_one_goes_and_another_comes(stage: Any, models: list[Any]) -> None:
    first, second, third = models
    async with followed(first, second) as replicas:
        load = Load(replicas)
        async with load.running():
            await stage.until(lambda: bool(first.requests and second.requests))
            await second.health.set("", NOT_SERVING)
            await second.server.stop(5)
            second.server = None
            await third.start()
            replicas.set_addresses([first.address, third.address])
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
    async with followed(model) as replicas:
        call = asyncio.create_task(Load(replicas).ask())
        await asyncio.sleep(1)  # many times the age
        release.set()
        assert await call == "one"
    assert len(model.requests) == 1


async def test_a_client_of_several_addresses_leaves_one_that_drains(
    stage: Any, models: list[Any]
) -> None:
    first, second, _ = models
    image = stage.request().image.encoded
    target = f"ipv4:{first.address},{second.address}"
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
