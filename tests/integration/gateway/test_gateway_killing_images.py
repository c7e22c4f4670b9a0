"""An image that ends an engine reaches one replica, once; what was inside besides it, another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from fake_engine import CRASH
from gates import ask, fresh
from serving_helpers import (
    automatic_request,
    error_info,
    error_of,
    png,
    running_service,
    stats,
    stub_of,
)

from diptych.segment import v1 as pb
from diptych_gateway.settings import Endpoint
from diptych_runtime.quarantine import ENDED_ENGINE


@pytest.fixture
async def replicas(stage: Any) -> AsyncIterator[list[Any]]:
    """Stubs of two model services behind one gateway."""
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(running_service()) for _ in range(2)]
        endpoints = [Endpoint("fake", f"127.0.0.1:{service.port}") for service in services]
        await stage.serve(*endpoints, seen=False)
        await stage.until(lambda: len(stage.up()) == 2)
        yield [await stack.enter_async_context(stub_of(service.port)) for service in services]


async def restarts(replicas: list[Any]) -> int:
    return sum([(await stats(stub)).engine_restart_count for stub in replicas])


async def test_it_costs_one_engine_of_all_replicas(stage: Any, replicas: list[Any]) -> None:
    request = automatic_request(png(fresh(CRASH)))
    request.model_id = "fake"
    gateway = stage.segment_stub()
    for _ in range(6):
        error = await error_of(gateway.Segment(request))
        assert (error.code(), error_info(error).reason) == (
            grpc.StatusCode.INTERNAL,
            "MODEL_FAILED",
        )
        assert error_info(error).metadata[ENDED_ENGINE] == "true"
    request.model_id = ""  # as a comparison wants it
    compare = pb.CompareRequest(request=request, model_ids=["fake"])
    (result,) = (await stage.compare_stub().Compare(compare)).results
    assert result.error.code == grpc.StatusCode.INTERNAL.value[0]
    assert await restarts(replicas) == 1
    innocent = automatic_request(png(fresh()))
    innocent.model_id = "fake"
    assert (await gateway.Segment(innocent)).segments


async def test_others_are_answered_meanwhile(stage: Any, replicas: list[Any]) -> None:
    gateway = stage.segment_stub()

    def request(corner: tuple[int, int, int] = (0, 0, 0)) -> pb.SegmentRequest:
        made = automatic_request(png(fresh(corner)))
        made.model_id = "fake"
        return made

    others = [ask(gateway.Segment(request())) for _ in range(20)]
    killing = ask(gateway.Segment(request(CRASH)))
    others += [ask(gateway.Segment(request())) for _ in range(20)]
    await error_of(killing)
    assert all(answer.segments for answer in await asyncio.gather(*others))  # type: ignore[attr-defined]
    assert await restarts(replicas) == 1
