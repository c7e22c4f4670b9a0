"""Who is refused while still sending gets the refusal, not a broken connection; within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pki import Pki
from serving_helpers import eventually
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from diptych.limits import MAX_REQUEST_BYTES
from diptych_gateway.http import connections

MiB = 1024 * 1024
FORM = "Content-Type: multipart/form-data; boundary=part"
READ_ONLY = "diptych_only-read"
BROKEN = b"--part\r\nContent-Disposition: form-data; name=picture\r\n\r\n"
KINDS = {
    "401 no token": (401, "POST /api/segment", FORM, b""),
    "403 no right": (403, "POST /api/segment", f"{FORM}\r\nAuthorization: Bearer {READ_ONLY}", b""),
    "403 foreign page": (403, "POST /api/segment", f"{FORM}\r\nOrigin: http://elsewhere.net", b""),
    "404 nothing there": (404, "POST /api/nothing", FORM, b""),
    "404 no file": (405, "POST /nothing.html", FORM, b""),
    "405 method": (405, "PUT /api/segment", FORM, b""),
    "413 announced": (413, "POST /api/compare", FORM, b""),
    "415 no form": (415, "POST /api/segment", "Content-Type: text/plain", b""),
    "413 a bare picture": (413, "POST /api/segment", "Content-Type: image/png", b""),
    "429 no room": (429, "POST /api/compare/stream", FORM, b""),
    "400 unknown part": (400, "POST /api/segment", FORM, BROKEN),
}


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    digest = hashlib.sha256(READ_ONLY.encode()).hexdigest()
    path.write_text(f'[tokens.reads]\nsha256 = "{digest}"\nscopes = ["read"]\n')
    return path


def request(line: str, headers: str, size: int, version: str) -> bytes:
    return (
        f"{line} HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Length: {size}\r\n{headers}\r\n\r\n"
    ).encode()


async def told(
    port: int, head: bytes, body: Iterator[bytes], **tls: Any
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Send all of it, and only then look for an answer: its status, headers and document."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **tls)
    writer.write(head)
    for piece in body:
        writer.write(piece)
        await writer.drain()
    status, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    named = dict(header.lower().split(": ", 1) for header in headers)
    document = json.loads(await reader.readexactly(int(named["content-length"])))
    writer.close()
    return int(status.split()[1]), named, document


def zeros(size: int) -> Iterator[bytes]:
    yield from (bytes(MiB) for _ in range(size // MiB))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("kind", KINDS)
async def test_refusals_reach_those_who_still_send(
    stage: Any, tokens_file: Path, kind: str, version: str
) -> None:
    wants_tokens = kind in ("401 no token", "403 no right")
    await stage.serve(
        stage.dead_endpoint("one"),
        request_bytes=MAX_REQUEST_BYTES,
        tokens_file=tokens_file if wants_tokens else None,
    )
    status, line, headers, beginning = KINDS[kind]
    size = 64 * MiB if status == 413 else 16 * MiB
    if status == 400:
        size = 8 * MiB  # or it would be refused for room
    head = request(line, headers, size, version) + beginning
    got, answered, document = await told(stage.gateway.http_port, head, zeros(size))
    assert (got, document["status"]) == (status, status)
    assert answered["connection"] == "close"


async def test_refusals_reach_those_who_still_send_encrypted(stage: Any, tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    await stage.serve(stage.dead_endpoint("one"), **pki.serving)
    trust = ssl.create_default_context(cafile=str(pki.path("ca.crt")))
    head = request("POST /api/nothing", FORM, 16 * MiB, "1.1")
    got = await told(
        stage.gateway.http_port, head, zeros(16 * MiB), ssl=trust, server_hostname="localhost"
    )
    assert got[0] == 404


async def test_who_has_sent_everything_keeps_the_connection(stage: Any) -> None:
    await stage.serve(stage.dead_endpoint("one"))
    http, seen = stage.http(), set()
    for _ in range(3):
        answer = await http.post("/api/nothing", content=b"short")
        assert answer.status_code == 404
        seen.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("name", "limit"), [("REST_S", 0.2), ("REST_SILENT_S", 0.2), ("REST_BYTES", MiB)]
)
async def test_the_rest_is_bounded(
    stage: Any, monkeypatch: pytest.MonkeyPatch, name: str, limit: float
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.2)
    monkeypatch.setattr(connections, name, limit)
    await stage.serve(stage.dead_endpoint("one"))
    open_now = stage.gateway.http._server.server_state.connections
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.gateway.http_port)
    writer.write(request("POST /api/nothing", FORM, 1024 * MiB, "1.1"))
    assert (await reader.read()).startswith(b"HTTP/1.1 404")
    piece = {"REST_S": b"x", "REST_SILENT_S": b"", "REST_BYTES": bytes(MiB)}[name]

    async def over() -> bool:
        if not writer.is_closing():
            writer.write(piece)
        return not open_now

    await eventually(over)
    writer.close()


async def test_those_who_were_answered_make_room_first(stage: Any) -> None:
    await stage.serve(stage.dead_endpoint("one"), max_connections=4)
    port = stage.gateway.http_port
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("POST /api/nothing", FORM, 1024 * MiB, "1.1"))
    assert (await reader.read()).startswith(b"HTTP/1.1 404")
    for each in silent[:1]:
        each[1].write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await stage.http().get("/healthz")).status_code == 200
    assert (await silent[0][0].readline()).startswith(b"HTTP/1.1 200")
    for _, each in (*silent, (reader, writer)):
        each.close()


async def test_a_socket_that_still_sends_is_told_why_it_is_closed(stage: Any) -> None:
    await stage.serve(stage.dead_endpoint("one"))
    async with connect(f"ws://127.0.0.1:{stage.gateway.http_port}/api/video") as socket:
        await socket.send('{"event": "start", "model": "one"}')
        with contextlib.suppress(ConnectionClosed):  # it may be told before all is sent
            for _ in range(32):
                await socket.send(bytes(MiB))
        await socket.wait_closed()
        assert socket.close_code == 4503
