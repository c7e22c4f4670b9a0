"""What is on the way or at a wrong address is told by name; one client in many event loops."""

from __future__ import annotations

import asyncio
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import diptych
from diptych import AsyncClient, DiptychError, UnavailableError
from diptych.proxies import proxy_for
from diptych.testing import FakeSegmentService

_SETTINGS, _HEADERS, _RST_STREAM, _GOAWAY, _WINDOW = 4, 1, 3, 7, 8
_END = 0x4 | 0x1  # of headers and of the stream


class Answering(socketserver.StreamRequestHandler):
    """Answers every request of HTTP/2 with the frame that the server has for it."""

    def handle(self) -> None:
        self.wfile.write(frame(_SETTINGS, 0, 0, b""))
        self.rfile.read(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        while head := self.rfile.read(9):
            length, kind, stream = int.from_bytes(head[:3], "big"), head[3], head[5:]
            self.rfile.read(length)
            if kind == _HEADERS:
                kind_, flags, body = self.server.answer  # type: ignore[attr-defined]
                self.wfile.write(frame(kind_, flags, int.from_bytes(stream, "big"), body))


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: tuple[int, int, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answer = answer

    def handle_error(self, *_: Any) -> None:
        """A client that leaves is none."""


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    head = len(body).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + body


@contextmanager
def answering(kind: int, flags: int, body: bytes) -> Iterator[str]:
    with Server((kind, flags, body)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def failure(client: Any, *, kind: type[DiptychError] = UnavailableError) -> str:
    with pytest.raises(kind) as caught:
        client.health(timeout=20)
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (301, "UnavailableError", "is this the port of HTTP?"),
        (400, "UnavailableError", "is this the port of HTTP?"),
        (401, "AuthenticationError", "other credentials"),
        (403, "AuthenticationError", "does not let this caller through"),
        (404, "UnavailableError", "is this the port of HTTP?"),
        (413, "MessageTooLargeError", "client_max_body_size"),
        (429, "OverloadedError", "too many requests"),
        (500, "ServerError", "it failed"),
        (502, "UnavailableError", "the gateway behind it does not answer"),
        (503, "UnavailableError", "no gateway to ask"),
        (504, "DeadlineExceededError", "grpc_read_timeout"),
    ],
)
def test_what_a_proxy_answers_in_the_gateways_place(
    connect: Any, status: int, kind: str, said: str
) -> None:
    with answering(_HEADERS, _END, b"\x08\x03" + str(status).encode()) as address:
        text = failure(connect(address), kind=getattr(diptych, kind))
    assert text.startswith(f"{address}: a proxy or web server answered {status}")
    assert said in text


@pytest.mark.parametrize("code", [2, 8, 11])
def test_a_stream_that_is_reset_on_the_way(connect: Any, code: int) -> None:
    with answering(_RST_STREAM, 0, code.to_bytes(4, "big")) as address:
        text = failure(connect(address))
    assert "broken off on the way" in text


@pytest.mark.parametrize(
    ("status", "hint"), [(404, "the gateway's port of HTTP?"), (400, "one that wants TLS?")]
)
def test_the_port_of_http_is_told(connect: Any, status: int, hint: str) -> None:
    class Http1(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Http1) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        text = failure(connect(f"127.0.0.1:{server.server_address[1]}"))
        server.shutdown()
    assert "a server of HTTP/1, not of gRPC" in text
    assert hint in text


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("localhost", "no port; is it localhost:50051?"),
        ("127.0.0.1", "no port; is it 127.0.0.1:50051?"),
        ("::1", r"no port; is it \[::1\]:50051?"),
        ("[::1]", r"no port; is it \[::1\]:50051?"),
        ("dns:///localhost", "no port; is it localhost:50051?"),
        ("http://localhost:8080", "a URL"),
        ("https://diptych.example", "a URL"),
        ("grpc://localhost:50051", "a URL"),
        ("localhost:50051/", "a path"),
        ("localhost:8080/diptych", "a path"),
        ("localhost:", "no port from 1 to 65535"),
        ("localhost:0", "no port from 1 to 65535"),
        ("localhost:99999", "no port from 1 to 65535"),
        ("localhost:grpc", "no port from 1 to 65535"),
        ("one:50051,two:50051", "names or no ports in a list"),
        ("127.0.0.1,127.0.0.2", "names or no ports in a list"),
    ],
)
def test_addresses_that_are_none(
    connect: Any, monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    with pytest.raises(ValueError, match=f"^address: expected host:port .*{said}"):
        connect(address)
    monkeypatch.setenv("DIPTYCH_ADDRESS", address)
    with pytest.raises(ValueError, match="address: expected host:port"):
        connect(None)


@pytest.mark.parametrize(
    "address",
    ["localhost:1", "[::1]:1", "dns:///localhost:1", "unix:/tmp/x", "ipv4:127.0.0.1:1,127.0.0.1:2"],
)
def test_addresses(connect: Any, address: str) -> None:
    assert connect(address).address == address


def test_several_addresses_may_be_written_with_commas(connect: Any) -> None:
    assert connect("127.0.0.1:1, 127.0.0.1:2").address == "ipv4:127.0.0.1:1,127.0.0.1:2"


def test_encrypted_the_port_is_that_of_https(connect: Any) -> None:
    assert connect("diptych.example", tls=True).address == "diptych.example"


def test_a_name_that_nobody_has(connect: Any) -> None:
    text = failure(connect("nowhere.invalid:50051"))
    assert text.startswith("nowhere.invalid:50051: the name cannot be resolved (")


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_the_proxy_of_the_environment_is_named(
    connect: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://user:secret@127.0.0.1:9")
    text = failure(connect("gateway.invalid:50051"))
    assert f"by the proxy http://127.0.0.1:9 of {variable}" in text
    assert "no_proxy=gateway.invalid" in text
    assert "secret" not in text
    monkeypatch.setenv("no_proxy", "example.org, invalid")
    assert "proxy" not in failure(connect("gateway.invalid:50051"))


def test_no_proxy_leads_to_this_machine(
    connect: Any, monkeypatch: pytest.MonkeyPatch, service: FakeSegmentService
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    connect(service.address).health()
    with socket.socket() as none:
        none.bind(("127.0.0.1", 0))
        assert "proxy" not in failure(connect(f"127.0.0.1:{none.getsockname()[1]}"))


def test_which_proxy_grpc_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{name}:1")
    found = proxy_for("host")
    assert found is not None
    assert (found.variable, found.url) == ("https_proxy", "http://https_proxy:1")


def test_a_client_is_used_in_one_event_loop_after_another(service: FakeSegmentService) -> None:
    client = AsyncClient(service.address)  # as at the top of a module
    for _ in range(3):
        asyncio.run(client.health())
    asyncio.run(client.aclose())


def test_a_client_is_used_in_event_loops_at_once(
    service: FakeSegmentService, small_png: bytes
) -> None:
    client = AsyncClient(service.address)
    failed: list[BaseException] = []

    async def ask() -> None:
        for _ in range(5):
            await asyncio.gather(*(client.segment(small_png, model="one") for _ in range(5)))

    def run() -> None:
        try:
            asyncio.run(ask())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    asyncio.run(ask())
    for thread in threads:
        thread.join(60)
    asyncio.run(client.aclose())
    assert not failed
    with pytest.raises(RuntimeError, match="is closed"):
        asyncio.run(client.health())
