"""Requests that find no room are refused before they are read, and nobody keeps room by waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc
from harness.http2 import Http2
from serving_helpers import error_info, eventually

from diptych.limits import MAX_REQUEST_BYTES
from diptych_gateway.backend.channels import CHANNEL_OPTIONS
from diptych_runtime import calls
from diptych_runtime.calls import RequestBytes
from diptych_runtime.engine.errors import Reason, ServiceError
from diptych_runtime.grpc_server import interceptor
from diptych_runtime.grpc_server.server import SERVER_OPTIONS, GrpcServer

SERVICE = "room.Service"
LARGE = bytes(MAX_REQUEST_BYTES - 1024)


class Served:
    def __init__(self, most_bytes: int) -> None:
        self.bodies = RequestBytes(most_bytes)
        self.go_on = asyncio.Event()
        self.read: list[int] = []
        handlers = {
            "Wait": grpc.unary_unary_rpc_method_handler(self.wait),
            "Stream": grpc.unary_stream_rpc_method_handler(self.stream),
            "Large": grpc.unary_unary_rpc_method_handler(self.large),
        }
        self.ended = 0
        self.port = 0
        self.server = GrpcServer(
            address="127.0.0.1:0",
            handlers=[grpc.method_handlers_generic_handler(SERVICE, handlers)],
            services=[SERVICE],
            bodies=self.bodies,
            observer=self._observe,
        )

    def _observe(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        self.ended += 1

    async def wait(self, raw: bytes, context: Any) -> bytes:
        self.read.append(len(raw))
        await self.go_on.wait()
        return b"done"

    async def large(self, raw: bytes, context: Any) -> bytes:
        return bytes(16 * 1024 * 1024)

    async def stream(self, raw: bytes, context: Any) -> AsyncIterator[bytes]:
        while True:
            yield bytes(1024 * 1024)


@asynccontextmanager
async def serving(most_bytes: int) -> AsyncIterator[tuple[Served, Any]]:
    served = Served(most_bytes)
    port = served.port = await served.server.start()
    options = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        try:
            yield served, channel
        finally:
            served.go_on.set()
            await served.server.drain(0)


async def reason(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return error_info(caught.value).reason


async def test_what_finds_no_room_is_refused_unread() -> None:
    async with serving(2 * MAX_REQUEST_BYTES) as (served, channel):
        wait = channel.unary_unary(f"/{SERVICE}/Wait")
        held = [wait(LARGE) for _ in range(2)]
        await eventually(lambda: len(served.read) == 2)
        assert [await reason(wait(LARGE)) for _ in range(3)] == [Reason.QUEUE_FULL] * 3
        assert len(served.read) == 2
        served.go_on.set()
        assert [await call for call in held] == [b"done"] * 2
        assert served.bodies.used == 0
        assert await wait(b"small") == b"done"


async def test_what_is_refused_has_hardly_been_sent() -> None:
    async with serving(MAX_REQUEST_BYTES) as (served, channel):
        held = channel.unary_unary(f"/{SERVICE}/Wait")(LARGE)
        await eventually(lambda: len(served.read) == 1)
        connection = await Http2.connect(served.port)
        assert await connection.call(f"/{SERVICE}/Wait", LARGE) == "8"
        assert connection.sent <= MAX_REQUEST_BYTES // 64
        await connection.close()
        served.go_on.set()
        await held


async def test_not_many_wait_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_FAIR_READ_S", 60.0)
    monkeypatch.setattr(calls, "_WAIT_S", 60.0)
    monkeypatch.setattr(calls, "_MOST_WAITING", 3)
    async with serving(MAX_REQUEST_BYTES) as (served, channel):
        silent = channel.stream_unary(f"/{SERVICE}/Wait")()
        await eventually(lambda: served.bodies.used > 0)
        wait = channel.unary_unary(f"/{SERVICE}/Wait")
        crowd = [wait(b"small") for _ in range(4)]
        async with asyncio.timeout(10):
            done, waiting = await asyncio.wait(
                [asyncio.ensure_future(reason(call)) for call in crowd],
                return_when=asyncio.FIRST_COMPLETED,
            )
        assert [each.result() for each in done] == [Reason.QUEUE_FULL]
        for call in (silent, *crowd):
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def test_grpc_knows_every_option() -> None:
    core = Path(cygrpc.__file__).read_bytes()
    names = {name for name, _ in (*SERVER_OPTIONS, *CHANNEL_OPTIONS)}
    assert [name for name in sorted(names) if name.encode() + b"\0" not in core] == []


async def test_who_sends_nothing_gives_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_FAIR_READ_S", 0.05)
    async with serving(MAX_REQUEST_BYTES) as (served, channel):
        served.go_on.set()
        silent = channel.stream_unary(f"/{SERVICE}/Wait")()
        await eventually(lambda: served.bodies.used > 0)
        assert await channel.unary_unary(f"/{SERVICE}/Wait")(b"small") == b"done"
        assert await reason(silent) == Reason.QUEUE_FULL
        assert served.bodies.used == 0


async def test_a_request_that_never_comes_is_too_late() -> None:
    bodies = RequestBytes(MAX_REQUEST_BYTES, read_s=0.05)
    with bodies.hold() as held, pytest.raises(ServiceError) as caught:
        await bodies.read(held, asyncio.Event().wait)
    assert caught.value.reason is Reason.DEADLINE
    assert bodies.used == 0


@pytest.mark.parametrize("method", ["Stream", "Large"])
async def test_who_never_reads_loses_the_connection(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        interceptor.ErrorInterceptor.__init__, "__defaults__", (None, None, None, 0.3)
    )
    async with serving(MAX_REQUEST_BYTES) as (served, channel):
        call = channel.stream_stream(f"/{SERVICE}/{method}")()
        await call.write(b"go")
        await call.done_writing()
        async with asyncio.timeout(20):  # without having read anything
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
        await eventually(lambda: served.ended == 1)
        assert served.bodies.used == 0


def test_relief_comes_once_after_much() -> None:
    told: list[int] = []
    bodies = RequestBytes(8 * MAX_REQUEST_BYTES, lambda: told.append(bodies.used))
    held = [bodies.hold(MAX_REQUEST_BYTES) for _ in range(6)]
    with pytest.raises(ServiceError):
        bodies.hold(3 * MAX_REQUEST_BYTES)
    for each in held:
        each.resize(0)
    bodies.hold(100).resize(0)
    assert told == [0]
