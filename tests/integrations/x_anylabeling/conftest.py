"""A fake engine behind a real service and gateway, and the remote server before them."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from serving_helpers import running_service
from video_faces import Loop

from diptych import AsyncClient, Client, ModelStats
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings
from diptych_x_anylabeling.options import Options
from diptych_x_anylabeling.server import RemoteServer

MODEL = "fake"


def data_uri(data: bytes, kind: str = "png") -> str:
    """A file as X-AnyLabeling sends it."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@dataclass
class Tool:
    """What X-AnyLabeling does with a server, and the SDK beside it."""

    http: httpx.Client
    sdk: Client

    def predict(self, picture: bytes, **params: Any) -> dict[str, Any]:
        """Ask about a picture; gives ``data`` of the answer."""
        answer = self.post("/v1/predict", model=MODEL, image=data_uri(picture), params=params)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Send a body as JSON."""
        return self.http.post(path, json=body)

    def stats(self) -> ModelStats:
        """Counters of the model service."""
        return self.sdk.model_stats(MODEL)


@contextmanager
def remote_server(address: str, **options: Any) -> Iterator[httpx.Client]:
    """A remote server on a port of its own, and a client of it."""
    server = RemoteServer(Options(address=address, port=0, **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.port}"
        with httpx.Client(base_url=url, timeout=60, trust_env=False, verify=False) as client:
            yield client
    finally:
        server.stop()
        thread.join(30)


@asynccontextmanager
async def _running() -> AsyncIterator[tuple[str, str]]:
    async with running_service("fake_video:create") as service:
        model = f"127.0.0.1:{service.port}"
        settings = Settings(models=(Endpoint(MODEL, model),), port=0, http_port=None, drain_s=0.0)
        gateway = Gateway(settings)
        try:
            address = f"127.0.0.1:{await gateway.start()}"
            async with AsyncClient(address) as client:  # it lists what it has seen
                while not any(known.card for known in await client.model_cards()):
                    await asyncio.sleep(0.01)
            yield model, address
        finally:
            await gateway.stop()


@pytest.fixture(scope="session")
def addresses() -> Iterator[tuple[str, str]]:
    """Of the model service, and of the gateway."""
    loop = Loop()
    context = _running()
    try:
        yield loop.run(context.__aenter__())
        loop.run(context.__aexit__(None, None, None))
    finally:
        loop.stop()


@pytest.fixture(scope="session")
def address(addresses: tuple[str, str]) -> str:
    return addresses[1]


@pytest.fixture(scope="session")
def model_address(addresses: tuple[str, str]) -> str:
    return addresses[0]


@pytest.fixture(scope="session")
def served() -> Callable[..., AbstractContextManager[httpx.Client]]:
    """Runs another remote server; gives a client of it."""
    return remote_server


@pytest.fixture(scope="session")
def tool(address: str) -> Iterator[Tool]:
    with remote_server(address) as http, Client(address) as sdk:
        yield Tool(http, sdk)
