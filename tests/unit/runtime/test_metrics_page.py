"""The page of figures answers one thing, and neither slow nor many callers cost more than that."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from diptych_runtime.figures.page import HEAD_BYTES, MOST_CONNECTIONS, MetricsPage
from diptych_runtime.grpc_server.server import PortTakenError


class Served:
    """A page on a port of its own; ``read`` counts how often the figures were."""

    def __init__(self) -> None:
        self.read = 0
        self.page = MetricsPage("127.0.0.1", 0, self._text, fresh_s=1000.0)
        self.port = self.page.bind()

    def _text(self) -> bytes:
        self.read += 1
        return b"up 1\n"

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, request: bytes = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") -> bytes:
        """Send this and read to the end."""
        reader, writer = await self.open()
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    served.page.start()
    yield served
    await served.page.stop()


async def test_the_figures_are_what_prometheus_reads(served: Served) -> None:
    head, _, body = (await served.ask()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: text/plain; version=" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Connection: close" in head
    assert body == b"up 1\n"
    assert (await served.ask(b"GET /metrics?x=1 HTTP/1.0\r\n\r\n")).endswith(b"up 1\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"GET /metricsx HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405 Method Not Allowed"),
        (b"PRI * HTTP/2.0\r\n\r\n", b"400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400 Bad Request"),
        (b"\r\n\r\n", b"400 Bad Request"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES, b"431 Request Header Fields"),
    ],
)
async def test_nothing_else_is_answered(served: Served, request_: bytes, status: bytes) -> None:
    answer = await served.ask(request_)
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert served.read == 0


async def test_asking_often_does_not_read_often(served: Served) -> None:
    answers = await asyncio.gather(*(served.ask() for _ in range(10)))
    assert all(answer.endswith(b"up 1\n") for answer in answers)
    assert served.read == 1


async def test_those_that_say_nothing_make_room_oldest_first(served: Served) -> None:
    silent = [await served.open() for _ in range(MOST_CONNECTIONS + 3)]
    assert (await served.ask()).endswith(b"up 1\n")
    for reader, _ in silent[:4]:
        assert await reader.read() == b""
    for _, writer in silent[4:]:
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    for reader, writer in silent[4:]:
        assert (await reader.read()).endswith(b"up 1\n")
        writer.close()


async def test_one_that_is_slow_is_left(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diptych_runtime.figures.page.WITHIN_S", 0.01)
    reader, writer = await served.open()
    writer.write(b"GET /metr")
    assert await reader.read() == b""
    writer.close()


async def test_one_that_leaves_early_costs_nothing(served: Served) -> None:
    for sent in (b"", b"GET", b"GET /metrics HTTP/1.1\r\n\r\n"):
        _, writer = await served.open()
        writer.write(sent)
        writer.transport.abort()
    assert (await served.ask()).endswith(b"up 1\n")


async def test_it_goes_on_when_no_connection_could_be_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("diptych_runtime.figures.page._PAUSE_S", 0.0)
    served = Served()
    refusals: Iterator[OSError] = iter([OSError(24, "Too many open files")] * 3)
    loop = asyncio.get_running_loop()
    accept = loop.sock_accept

    async def refuse(listening: socket.socket) -> object:
        for error in refusals:
            raise error
        return await accept(listening)

    monkeypatch.setattr(loop, "sock_accept", refuse)
    served.page.start()
    assert (await served.ask()).endswith(b"up 1\n")
    assert next(refusals, None) is None
    await served.page.stop()


async def test_a_port_that_is_taken_is_named(served: Served) -> None:
    with pytest.raises(PortTakenError, match=f"127.0.0.1:{served.port}: the port is in use"):
        MetricsPage("127.0.0.1", served.port, lambda: b"").bind()


async def test_the_port_is_given_back(served: Served) -> None:
    waiting = await served.open()
    await served.page.stop()
    assert await waiting[0].read() == b""
    again = MetricsPage("127.0.0.1", served.port, lambda: b"")
    again.bind()
    await again.stop()
