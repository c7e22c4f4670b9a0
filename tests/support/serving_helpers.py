"""Starts real services around the fake engine."""

from __future__ import annotations

import asyncio
import inspect
import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from PIL import Image

from diptych.limits import MAX_REPLY_BYTES, MAX_REQUEST_BYTES
from diptych.segment import v1 as pb
from diptych_runtime.front.service import ModelService
from diptych_runtime.settings import RuntimeSettings

CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", 2 * MAX_REQUEST_BYTES),
    ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
]


def picture(
    corner: tuple[int, int, int] = (0, 0, 0), size: tuple[int, int] = (48, 64), seed: int = 0
) -> np.ndarray:
    """Random RGB pixels of ``size`` (height, width) whose top left pixel is ``corner``."""
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    pixels[0, 0] = corner
    return pixels


def png(pixels: np.ndarray) -> bytes:
    """The pixels as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def point_request(encoded: bytes, x: float = 10, y: float = 10) -> pb.SegmentRequest:
    """A request with one foreground point."""
    request = pb.SegmentRequest(
        image=pb.Image(encoded=encoded), task=pb.Task.TASK_PROMPTED_SEGMENTATION
    )
    label = pb.PointLabel.POINT_LABEL_FOREGROUND
    request.prompts.add().points.add(x_px=x, y_px=y, label=label)
    return request


def automatic_request(encoded: bytes) -> pb.SegmentRequest:
    """A request without prompts."""
    return pb.SegmentRequest(
        image=pb.Image(encoded=encoded), task=pb.Task.TASK_INSTANCE_SEGMENTATION
    )


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """The ErrorInfo of a failed call; an empty one if gRPC itself spoke."""
    info = error_details_pb2.ErrorInfo()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                detail.Unpack(info)
    return info


def violations(error: grpc.aio.AioRpcError) -> list[str]:
    """The field paths of a failed call's BadRequest."""
    bad = error_details_pb2.BadRequest()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                detail.Unpack(bad)
    return [violation.field for violation in bad.field_violations]


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The rich status of a failed call; an empty one if gRPC itself spoke."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()


def retry_after(error: grpc.aio.AioRpcError) -> float | None:
    """Seconds of the RetryInfo of a failed call; ``None`` if it has none."""
    retry = error_details_pb2.RetryInfo()
    for detail in status_of(error).details:
        if detail.Unpack(retry):
            return retry.retry_delay.ToNanoseconds() / 1e9
    return None


async def error_of(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    """The error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def eventually(
    condition: Callable[[], object] | Callable[[], Awaitable[object]], what: str = ""
) -> None:
    """Wait until something is so; the limit is far beyond what it takes."""
    for _ in range(2000):
        outcome = condition()
        if inspect.isawaitable(outcome):
            outcome = await outcome
        if outcome:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within 20 s: {what or condition}")


async def stats(stub: pb.SegmentServiceStub) -> pb.GetModelStatsResponse:
    """The counters of a service."""
    return await stub.GetModelStats(pb.GetModelStatsRequest())


def outcomes(message: pb.GetModelStatsResponse) -> dict[str, int]:
    """Calls by outcome."""
    return {entry.outcome: entry.count for entry in message.outcomes}


def let_children_import_support() -> None:
    """Engine processes find the fake engine through PYTHONPATH."""
    here = str(Path(__file__).parent)
    known = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p != here]
    os.environ["PYTHONPATH"] = os.pathsep.join([here, *known])


@asynccontextmanager
async def running_service(
    engine: str = "fake_engine:create", **settings: object
) -> AsyncIterator[ModelService]:
    """A model service that is ready, on a port of its own."""
    let_children_import_support()
    defaults: dict[str, object] = {"drain_s": 2.0, "log_level": "info"}
    service = ModelService(engine, RuntimeSettings(**{**defaults, **settings}), port=0)
    await service.start()
    try:
        await service.ready(60)
        yield service
    finally:
        await service.stop()


@asynccontextmanager
async def stub_of(port: int) -> AsyncIterator[pb.SegmentServiceStub]:
    """A plain generated stub."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
        yield pb.SegmentServiceStub(channel)
