"""A fake service, and both clients behind one face, so that each test runs twice."""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from video_faces import AsyncFace, Loop

from diptych import AsyncClient, Client
from diptych.testing import FakeSegmentService


class Blocking:
    """An ``AsyncClient`` whose coroutines are awaited, and whose iterators are stepped, for you."""

    def __init__(self, address: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(address, **options)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, {"close": "aclose"}.get(name, name))
        return self._called(value) if callable(value) else value

    def _called(self, method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            given = method(*args, **kwargs)
            if inspect.isasyncgen(given):
                return self._stepped(given)
            return self._runner.run(given)

        return call

    def _stepped(self, events: Any) -> Iterator[Any]:
        end = object()
        try:
            while (event := self._runner.run(_next(events, end))) is not end:
                yield event
        finally:
            self._runner.run(events.aclose())

    def shut(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


async def _next(events: Any, end: object) -> Any:
    return await anext(events, end)


@pytest.fixture
def service() -> Iterator[FakeSegmentService]:
    with FakeSegmentService(("one", "two")) as fake:
        yield fake


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Makes a client of the kind under test."""
    made: list[Any] = []

    def make(address: str, **options: Any) -> Any:
        made.append((Client if request.param == "sync" else Blocking)(address, **options))
        return made[-1]

    yield make
    for client in made:
        (client.close if request.param == "sync" else client.shut)()


@pytest.fixture
def client(connect: Any, service: FakeSegmentService) -> Any:
    return connect(service.address)


@pytest.fixture(scope="session")
def small_png() -> bytes:
    """40 rows, 60 columns; far below the size from which digests are sent."""
    return _png(40, 60)


@pytest.fixture(scope="session")
def big_png() -> bytes:
    """Noise of about 360 KB: above the digest threshold and gRPC's own retry buffer."""
    return _png(300, 400)


def _png(height: int, width: int) -> bytes:
    noise = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(params=["sync", "async"])
def opener(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes the function ``video`` of a client of the kind under test."""
    ends: list[Callable[[], Any]] = []

    def make(address: str, **options: Any) -> Callable[..., Any]:
        if request.param == "sync":
            client = Client(address, **options)
            ends.append(client.close)
            return client.video
        loop, twin = Loop(), AsyncClient(address, **options)
        ends.extend([loop.stop, lambda: loop.run(twin.aclose())])
        return lambda **kwargs: AsyncFace(loop, twin.video(**kwargs))

    yield make
    while ends:
        ends.pop()()
