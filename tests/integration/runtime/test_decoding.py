"""Nobody waits for the decoding of an image that another caller sent."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from PIL import Image
from serving_helpers import (
    automatic_request,
    error_info,
    error_of,
    eventually,
    picture,
    png,
    point_request,
    running_service,
    stub_of,
)

from diptych.segment import v1 as pb
from diptych_runtime.front.service import ModelService


def large_image() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (3000, 2000)).save(out, "JPEG")
    return out.getvalue()


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def decoder_pid(service: ModelService) -> int:
    assert service.supervisor.engine is not None
    pids = children(service.supervisor.engine.pid)
    return pids[0] if pids else 0


def given_bytes(pid: int) -> int:
    """Size of the file that a decoder has been given."""
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    number = int(arguments[arguments.index(b"--file") + 1])
    return Path(f"/proc/{pid}/fd/{number}").stat().st_size


@asynccontextmanager
async def decoding_for_ever(
    service: ModelService, stub: pb.SegmentServiceStub, timeout: float = 60
) -> AsyncIterator[tuple[int, grpc.aio.UnaryUnaryCall]]:
    """A call whose image is never decoded: its process is stopped; yields that and the call."""
    pid = decoder_pid(service)
    assert pid  # 0 would stop this process, too
    os.kill(pid, signal.SIGSTOP)
    call = stub.Segment(automatic_request(large_image()), timeout=timeout)

    # One that is cancelled before it gets there leaves the decoder as it is.
    await eventually(lambda: given_bytes(pid) or call.done(), "the decoder has the image")
    yield pid, call
    await eventually(lambda: decoder_pid(service) != pid, "another decoder")
    reply = await stub.Segment(automatic_request(large_image()))
    assert (reply.image_size.height_px, reply.image_size.width_px) == (2000, 3000)


async def test_prompts_on_held_images_are_answered_while_an_image_is_decoded() -> None:
    async with running_service() as service, stub_of(service.port) as stub:
        request = point_request(png(picture()))
        await stub.Segment(request)
        async with decoding_for_ever(service, stub) as (_, call):
            for _ in range(10):
                await stub.Segment(request, timeout=20)
            assert not call.done()
            call.cancel()


async def test_decoding_ends_at_the_deadline() -> None:
    async with running_service() as service, stub_of(service.port) as stub:
        engine = service.supervisor.engine
        async with decoding_for_ever(service, stub, timeout=0.5) as (_, call):
            assert (await error_of(call)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert service.supervisor.engine is engine


async def test_decoding_ends_when_the_caller_leaves() -> None:
    async with running_service() as service, stub_of(service.port) as stub:
        engine = service.supervisor.engine
        async with decoding_for_ever(service, stub) as (_, call):
            call.cancel()
        assert service.supervisor.engine is engine


async def test_an_image_that_ends_the_decoder_is_refused() -> None:
    async with (
        running_service() as service,
        stub_of(service.port) as stub,
        decoding_for_ever(service, stub) as (pid, call),
    ):
        os.kill(pid, signal.SIGSEGV)
        os.kill(pid, signal.SIGCONT)
        error = await error_of(call)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error_info(error).reason == "IMAGE_UNREADABLE"
