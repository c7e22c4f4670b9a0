"""What becomes of a handler's end, whatever it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
import structlog
from serving_helpers import error_info, error_of, eventually, status_of

from diptych_runtime import logs
from diptych_runtime.calls import log_fields, request_id
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.grpc_server.server import GrpcServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICE = "test.Service"


class Handlers:
    """Ends calls in the way that the request asks for."""

    async def end(self, how: bytes, context: Any) -> bytes:
        log_fields(how=how.decode())
        match how:
            case b"cancelled":
                raise asyncio.CancelledError
            case b"inner":
                inner = asyncio.create_task(asyncio.sleep(60))
                inner.cancel()
                await inner
            case b"refused":
                raise ServiceError(Reason.QUEUE_FULL, "full", retry_after_s=1)
            case b"address":
                raise RuntimeError(f"{object()!r} in /usr/lib/x.py")
            case b"exit":
                raise SystemExit(3)
            case b"aborted":
                await context.abort(grpc.StatusCode.ABORTED, "by hand")
            case b"hangs":
                await asyncio.sleep(600)
        return request_id().encode()

    async def unary(self, how: bytes, context: Any) -> bytes:
        return await self.end(how, context)

    async def gather(self, hows: AsyncIterator[bytes], context: Any) -> bytes:
        return b" ".join([await self.end(how, context) async for how in hows])

    async def stream(self, how: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        yield await self.end(how, context)

    async def chat(self, hows: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for how in hows:
            yield await self.end(how, context)

    async def endless(self, how: bytes, context: Any) -> AsyncIterator[bytes]:
        while True:
            yield b"more"

    def generic(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
                "Gather": grpc.stream_unary_rpc_method_handler(self.gather),
                "Stream": grpc.unary_stream_rpc_method_handler(self.stream),
                "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
                "Endless": grpc.unary_stream_rpc_method_handler(self.endless),
                "Number": grpc.unary_unary_rpc_method_handler(
                    self.unary, request_deserializer=lambda raw: str(int(raw)).encode()
                ),
                "Numbers": grpc.stream_unary_rpc_method_handler(
                    self.gather, request_deserializer=lambda raw: str(int(raw)).encode()
                ),
            },
        )


class Served:
    """A server, a channel to it and what its observer was told."""

    def __init__(self) -> None:
        self.observed: list[tuple[str, str]] = []
        self.server = GrpcServer(
            address="127.0.0.1:0",
            handlers=[Handlers().generic()],
            services=[SERVICE],
            observer=lambda method, code, _: self.observed.append(
                (method.rpartition("/")[2], code.name)
            ),
        )

    async def __aenter__(self) -> Served:
        port = await self.server.start()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        await self.server.drain(1)

    def unary(self, how: bytes, method: str = "Unary", **options: Any) -> Any:
        return self.channel.unary_unary(f"/{SERVICE}/{method}")(how, **options)

    async def call(self, method: str, how: bytes) -> bytes:
        """The last reply of a call of any kind."""
        path = f"/{SERVICE}/{method}"
        match method:
            case "Gather" | "Numbers":
                return bytes(await self.channel.stream_unary(path)(iter([how])))
            case "Stream":
                replies = self.channel.unary_stream(path)(how)
            case "Chat":
                replies = self.channel.stream_stream(path)(iter([how]))
            case _:
                return bytes(await self.unary(how, method))
        return bytes([reply async for reply in replies][-1])


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served() -> AsyncIterator[Served]:
    async with Served() as served:
        yield served


ENDS = [
    (b"cancelled", "INTERNAL", "MODEL_FAILED"),
    (b"inner", "INTERNAL", "MODEL_FAILED"),
    (b"refused", "RESOURCE_EXHAUSTED", "QUEUE_FULL"),
    (b"address", "INTERNAL", "MODEL_FAILED"),
    (b"exit", "INTERNAL", "MODEL_FAILED"),
    (b"aborted", "ABORTED", ""),
]


@pytest.mark.parametrize(("how", "code", "reason"), ENDS, ids=lambda value: str(value))
@pytest.mark.parametrize("method", ["Unary", "Gather", "Stream", "Chat"])
async def test_every_end_is_a_status_and_one_line(
    served: Served,
    method: str,
    how: bytes,
    code: str,
    reason: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    served.observed.clear()
    logs.configure("info")
    try:
        error = await error_of(served.call(method, how))
    finally:
        structlog.reset_defaults()
    assert (error.code().name, error_info(error).reason) == (code, reason)
    assert "0x" not in str(status_of(error)) + error.details()
    assert "/usr" not in str(status_of(error)) + error.details()
    assert served.observed == [(method, code)]
    logs.flush()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line[:1] == "{"]
    (line,) = (line for line in lines if line["event"] == "request")
    assert (line["code"], line["how"]) == (code, how.decode())
    if reason:
        assert line["request_id"] == error_info(error).metadata["requestId"]
    failed = [line for line in lines if line["event"] == "handler failed"]
    assert len(failed) == (reason == "MODEL_FAILED")


@pytest.mark.parametrize("method", ["Unary", "Gather", "Stream", "Chat"])
async def test_a_good_end(served: Served, method: str) -> None:
    served.observed.clear()
    assert len(await served.call(method, b"well")) == 16
    assert served.observed == [(method, "OK")]


@pytest.mark.parametrize("method", ["Number", "Numbers"])
async def test_requests_that_cannot_be_read(served: Served, method: str) -> None:
    served.observed.clear()
    assert await served.call(method, b"7")
    error = await error_of(served.call(method, b"seven"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(error).reason == "OPTION_INVALID"
    assert served.observed == [(method, "OK"), (method, "INVALID_ARGUMENT")]


async def test_calls_that_the_client_ends(served: Served) -> None:
    served.observed.clear()
    call = served.unary(b"hangs")
    await asyncio.sleep(0.1)
    call.cancel()
    await eventually(lambda: served.observed)
    await error_of(served.unary(b"hangs", timeout=0.1))
    await eventually(lambda: served.observed[1:])
    assert served.observed == [("Unary", "CANCELLED"), ("Unary", "DEADLINE_EXCEEDED")]


async def test_a_stream_that_the_client_leaves(served: Served) -> None:
    served.observed.clear()
    call = served.channel.unary_stream(f"/{SERVICE}/Endless")(b"")
    async for _ in call:
        break
    call.cancel()
    await eventually(lambda: served.observed == [("Endless", "CANCELLED")])


async def test_unknown_methods_are_answered_by_grpc(served: Served) -> None:
    error = await error_of(served.unary(b"", "Nothing"))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_drain_waits_and_then_tells() -> None:
    async with Served() as served:
        calls = [asyncio.create_task(error_of(served.unary(b"hangs"))) for _ in range(3)]
        await asyncio.sleep(0.1)
        await served.server.drain(0.1)
        for call in calls:
            error = await call
            assert (error.code().name, error_info(error).reason) == ("UNAVAILABLE", "DRAINING")
        assert served.observed == [("Unary", "UNAVAILABLE")] * 3
