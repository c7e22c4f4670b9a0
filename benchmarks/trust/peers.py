"""What slow and silent peers cost others, and how soon they are gone.

    python benchmarks/trust/peers.py [--kind KIND] [--seconds 35]

While the peers of a kind stand still, others call over a connection that they have, over new ones
of gRPC and over new ones of HTTP. The floors: 99 % of these answered, every peer gone within 30 s,
at most 10 lines a second in the log. ``flood`` resets calls as fast as it can, and nobody ends it.
One kind is short.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import itertools
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path[:0] = [str(_TESTS), str(_TESTS / "support")]

from harness.figures import Figure, finish  # noqa: E402
from harness.http2 import Http2  # noqa: E402
from harness.load import Caller, channel_to, pictures  # noqa: E402
from harness.parts import Part, Stack, running_stack  # noqa: E402
from harness.readers import http  # noqa: E402
from serving_helpers import picture, png  # noqa: E402

from diptych.segment import v1 as pb  # noqa: E402

OTHERS, GONE_S, LINES = 99.0, 30.0, 10.0
_SETTLED_S = 5.0
"""After so long the answers count that others get: peers come in one moment."""
_NEVER_S = 999.0
_ESTABLISHED = "01"
_PREFIX = "/diptych.segment.v1."
_FORM = (
    "POST /api/compare/stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n"
    "Content-Type: multipart/form-data; boundary=XX\r\n\r\n"
)
_SOCKET = (
    "GET /api/video HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n"
)
Peer = Callable[[Part], Awaitable[None]]
"""Stands still until the server has ended its connection."""


async def _raw(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that takes little unread."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=made, limit=2048)


async def _until_gone(writer: asyncio.StreamWriter) -> None:
    """Return when the server has ended its side, without reading from the connection.

    What it has left to the kernel by then costs it nothing any more.
    """
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    connection = writer.get_extra_info("socket")
    ends = [f":{name[1]:04X}" for name in (connection.getpeername(), connection.getsockname())]
    while True:
        await asyncio.sleep(1)
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        if not any([row[1][8:], row[2][8:], row[3]] == [*ends, _ESTABLISHED] for row in rows):
            return


async def _silent(port: int) -> None:
    reader, writer = await _raw(port)
    try:
        while await reader.read(1024):
            pass
    finally:
        writer.close()


async def silent_http(gateway: Part) -> None:
    await _silent(gateway.http_port)


async def silent_grpc(gateway: Part) -> None:
    await _silent(gateway.port)


async def slow_head(gateway: Part) -> None:
    reader, writer = await _raw(gateway.http_port)
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nX: ")
        while not reader.at_eof():
            writer.write(b"x")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(100), 1)
    finally:
        writer.close()


async def unread_compare(gateway: Part) -> None:
    connection = await Http2.connect(gateway.port, window=0)
    request = pb.SegmentRequest(
        image=pb.Image(encoded=png(picture((0, 0, 0)))), task=pb.Task.TASK_INSTANCE_SEGMENTATION
    )
    message = pb.StreamCompareRequest(compare=pb.CompareRequest(request=request))
    await connection.call(f"{_PREFIX}GatewayService/StreamCompare", message.SerializeToString())
    await connection.close()


async def unread_events(gateway: Part) -> None:
    _, writer = await _raw(gateway.http_port)
    image = png(picture((0, 0, 0)))
    body = (
        b'--XX\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + image + b"\r\n--XX--\r\n"
    )
    try:
        for _ in range(400):  # in a row, until answers fill all buffers
            writer.write(_FORM.format(len(body)).encode() + body)
        await _until_gone(writer)
    finally:
        writer.transport.abort()


async def unread_socket(gateway: Part) -> None:
    _, writer = await _raw(gateway.http_port)
    try:
        writer.write(_SOCKET.format(base64.b64encode(os.urandom(16)).decode()).encode())
        writer.write(_masked(b'{"event":"start","model":"fake"}'))
        await asyncio.sleep(0.5)
        writer.write(_masked(b'{"event":"none"}') * 20_000)
        await _until_gone(writer)
    finally:
        writer.transport.abort()


def _masked(text: bytes) -> bytes:
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text


async def flood(gateway: Part) -> None:
    """Begin calls and reset them at once."""
    connection = await Http2.connect(gateway.port)
    try:
        while not connection.closed:
            for _ in range(20):
                connection.reset(connection.begin(f"{_PREFIX}SegmentService/Segment"))
            await connection.drain()
            await asyncio.sleep(0.01)
    finally:
        await connection.close()


@dataclass(frozen=True)
class Kind:
    """How many peers of a kind there are, and what the gateway has."""

    peer: Peer | None
    count: int = 40
    files: int = 0
    goes: bool = True


KINDS = {
    "head": Kind(slow_head),
    "http": Kind(silent_http),
    "grpc": Kind(silent_grpc),
    "compare": Kind(unread_compare),
    "events": Kind(unread_events, 4),
    "socket": Kind(unread_socket, 8),
    "log": Kind(None),
    "files-http": Kind(silent_http, 400, 256),
    "files-grpc": Kind(silent_grpc, 400, 256),
    "flood": Kind(flood, 8, goes=False),
}


@dataclass
class Others:
    """Asks as those who do nothing wrong."""

    gateway: Part
    counted: Counter[bool] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    since: float = 0.0

    def _count(self, what: str, fine: bool, began: float) -> None:
        if began >= self.since:
            self.counted[fine] += 1
            if not fine:
                self.missed[what] += 1

    async def ask(self) -> None:
        """Ask until cancelled."""
        async with channel_to(self.gateway.port) as held:
            await asyncio.gather(self._held(held), self._new(), self._http())

    async def _held(self, channel: object) -> None:
        caller = Caller(channel, model="fake")  # type: ignore[arg-type]
        for image in itertools.cycle(pictures(20)):
            began = time.monotonic()
            outcome = await caller.segment(image)
            self._count(f"held {outcome.code} {outcome.reason}", outcome.ok, began)
            await asyncio.sleep(0.1)

    async def _new(self) -> None:
        for image in itertools.cycle(pictures(20)):
            began = time.monotonic()
            async with channel_to(self.gateway.port) as channel:
                outcome = await Caller(channel, model="fake").segment(image)
            self._count(f"new {outcome.code} {outcome.reason}", outcome.ok, began)
            await asyncio.sleep(0.1)

    async def _http(self) -> None:
        while True:
            began, fine, name = time.monotonic(), False, "HTTP"
            try:
                status, _ = await http(self.gateway.http_port, "GET", "/api/models", seconds=5)
                fine, name = status == 200, f"HTTP {status}"
            except (OSError, TimeoutError, IndexError, ValueError) as error:
                name = f"HTTP {type(error).__name__}"
            self._count(name, fine, began)
            await asyncio.sleep(0.1)


async def _stood(peer: Peer, gateway: Part) -> float:
    """Seconds until the server had ended it."""
    began = time.monotonic()
    with contextlib.suppress(OSError):
        await peer(gateway)
    return time.monotonic() - began


async def _log_unread(stack: Stack) -> None:
    """Start both again with a pipe for their log that nobody reads."""
    for part in reversed(stack.parts):
        await part.terminate()
    _, write = os.pipe()  # its reading end stays open, as this process's own
    for part in stack.parts:
        await part.start(stderr=write)
    os.close(write)
    await asyncio.sleep(6)


async def measured(name: str, seconds: float) -> list[Figure]:
    """Let peers of a kind stand still for so long."""
    kind = KINDS[name]
    environment = {"HARNESS_FILES": str(kind.files)} if kind.files else {}
    async with running_stack("fake", gateway_env=environment) as stack:
        if kind.peer is None:
            await _log_unread(stack)
        others = Others(stack.gateway, since=time.monotonic() + _SETTLED_S)
        asking = asyncio.create_task(others.ask())
        await asyncio.sleep(1)
        lines = stack.gateway.text().count("\n")
        peer = kind.peer
        peers = [
            asyncio.create_task(_stood(peer, stack.gateway)) for _ in range(kind.count) if peer
        ]
        await asyncio.wait([asking], timeout=seconds)
        stood = [each.result() if each.done() else _NEVER_S for each in peers]
        # One line for each request is no trouble.
        lines = stack.gateway.text().count("\n") - lines - stack.gateway.text().count('"request"')
        for task in (asking, *peers):
            task.cancel()
        await asyncio.gather(asking, *peers, return_exceptions=True)
    if others.missed:
        print(f"{name}: {dict(others.missed)}")
    total = others.counted.total()
    figures = [
        Figure(
            f"{name}: others answered, of {total}",
            100 * others.counted[True] / max(total, 1),
            OTHERS,
            "%",
            at_least=True,
        ),
        Figure(f"{name}: lines of the log", max(lines, 0) / seconds, LINES, "/s"),
    ]
    if stood and kind.goes:
        figures.append(Figure(f"{name}: the last of {len(stood)} gone", max(stood), GONE_S, "s"))
    return figures


async def main() -> list[Figure]:
    """Run the kinds that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=tuple(KINDS), nargs="*", default=tuple(KINDS))
    parser.add_argument("--seconds", type=float, default=35.0)
    asked = parser.parse_args()
    return [figure for kind in asked.kind for figure in await measured(kind, asked.seconds)]


if __name__ == "__main__":
    finish(asyncio.run(main()))
