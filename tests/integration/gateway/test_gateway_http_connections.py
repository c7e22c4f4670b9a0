"""Peers that are slow, silent or too many lose their connection; others are served meanwhile."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from serving_helpers import eventually

from diptych_gateway.http import connections
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings

FORM = (
    b"POST /api/segment HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: multipart/form-data; boundary=XX\r\nContent-Length: 100000\r\n\r\n--XX\r\n"
)


@asynccontextmanager
async def gateway(**settings: Any) -> AsyncIterator[Gateway]:
    made = Gateway(
        Settings(
            models=(Endpoint("one", "127.0.0.1:1"),), port=0, http_port=0, drain_s=0, **settings
        )
    )
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def connected(to: Gateway, said: bytes) -> asyncio.StreamReader:
    reader, writer = await asyncio.open_connection("127.0.0.1", to.http_port)
    writer.write(said)
    await writer.drain()
    reader.writer = writer  # type: ignore[attr-defined]  # or it is closed when nobody has it
    return reader


async def alive(to: Gateway) -> int:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{to.http_port}") as client:
        return (await client.get("/healthz")).status_code


async def ended(reader: asyncio.StreamReader) -> None:
    try:
        async with asyncio.timeout(30):
            while await reader.read(65536):
                pass
    except ConnectionError:
        pass


@pytest.mark.parametrize(
    "said", [b"", b"GET /healthz HTTP/1.1\r\nHost: ", FORM], ids=["nothing", "half a head", "body"]
)
async def test_peers_that_stand_still_lose_their_connection(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    monkeypatch.setattr(connections, "WINDOW_S", 0.3)
    async with gateway() as served:
        await ended(await connected(served, said))
        assert await alive(served) == 200


async def test_an_answer_does_not_wait_for_an_acknowledgement_of_its_beginning() -> None:
    """Where small pieces are held back, each answer takes 40 ms longer."""
    async with gateway() as made:
        await connected(made, b"GET /hea")
        assert made.http
        assert made.http._server
        kept = made.http._server.server_state.connections
        await eventually(lambda: kept)
        for connection in kept:
            found = connection.transport.get_extra_info("socket")
            assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_a_connection_that_is_used_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 1.0)
    async with (
        gateway() as served,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.http_port}") as client,
    ):
        ports = set()
        for _ in range(40):
            answer = await client.get("/healthz")
            stream = answer.extensions["network_stream"]
            ports.add(stream.get_extra_info("client_addr"))
            await asyncio.sleep(0.05)
        assert len(ports) == 1


async def test_a_reader_that_never_reads_loses_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    monkeypatch.setattr(connections, "WINDOW_S", 0.3)
    async with gateway() as served:
        with socket.socket() as never:
            never.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            never.setblocking(False)
            await asyncio.get_running_loop().sock_connect(never, ("127.0.0.1", served.http_port))
            asked = b"GET /api/docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
            never.send(b"GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400 + asked)
            server = served.http._server  # type: ignore[union-attr]
            assert server is not None
            await eventually(lambda: len(server.server_state.connections) == 1)
            await eventually(lambda: not server.server_state.connections)


async def test_the_silent_make_room_for_those_who_speak() -> None:
    async with gateway(max_connections=10) as served:
        silent = [await connected(served, b"") for _ in range(30)]
        assert [await alive(served) for _ in range(20)] == [200] * 20
        await asyncio.gather(*(ended(each) for each in silent[:15]))


async def test_without_files_accepting_rests_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tried = 0

    class Full:
        def __init__(self, real: socket.socket) -> None:
            self.real = real

        def accept(self) -> tuple[socket.socket, Any]:
            nonlocal tried
            tried += 1
            if tried < 6:
                raise OSError(errno.EMFILE, "too many open files")
            return self.real.accept()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    real: Callable[..., None] = connections.Connections.__init__

    def full(self: Any, listening: Any, *args: Any, **more: Any) -> None:
        real(self, Full(listening), *args, **more)

    monkeypatch.setattr(connections.Connections, "__init__", full)
    monkeypatch.setattr(connections, "_PAUSE_S", 0.05)
    async with gateway() as served:
        assert await alive(served) == 200
    said = capfd.readouterr()
    assert (said.out + said.err).count("no connection can be accepted") == 1
