"""What the product says of itself: metrics, readiness and counters."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from diptych.segment import v1 as pb

Labels = tuple[tuple[str, str], ...]


async def http(
    port: int,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    seconds: float = 30.0,
) -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own."""
    fields = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**fields, **(headers or {})}.items())
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            answer = await reader.read()
        finally:
            writer.close()
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        rest = _joined(rest)
    return int(head.split(b" ", 2)[1]), rest


def _joined(chunks: bytes) -> bytes:
    body = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            break
        body, chunks = body + rest[:length], rest[length + 2 :]
    return body


async def metrics(http_port: int) -> dict[str, dict[Labels, float]]:
    """Values of a gateway by name of the sample and labels."""
    status, body = await http(http_port, "GET", "/metrics")
    if status != 200:
        raise RuntimeError(f"/metrics answered {status}")
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def readiness(http_port: int) -> tuple[int, dict[str, Any]]:
    """Status and document of ``/readyz``."""
    status, body = await http(http_port, "GET", "/readyz")
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    return status, document if isinstance(document, dict) else {}


async def stats(
    channel: grpc.aio.Channel, model: str = "", *, seconds: float = 5.0
) -> pb.GetModelStatsResponse:
    """Counters of a model."""
    request = pb.GetModelStatsRequest(model_id=model)
    return await pb.SegmentServiceStub(channel).GetModelStats(request, timeout=seconds)


async def serving(channel: grpc.aio.Channel, *, seconds: float = 5.0) -> bool:
    """Whether the server says SERVING."""
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
