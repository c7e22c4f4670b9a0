"""Whoever has left costs no model time: runs of the model are counted, not time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from gates import Gate, ask, fresh
from serving_helpers import (
    automatic_request,
    error_info,
    error_of,
    eventually,
    png,
    point_request,
    running_service,
    stats,
    stub_of,
)

pytestmark = pytest.mark.asyncio


async def test_the_model_runs_for_nobody_who_has_left(tmp_path: Path) -> None:
    """Cancelled and late, in the queue and in the engine process behind the one that runs."""
    gate = Gate(tmp_path)
    with gate.environment():
        async with running_service(queue_requests=16) as service, stub_of(service.port) as stub:
            _, slow = await gate.occupy(stub)
            gone = [fresh() for _ in range(6)]
            calls = [ask(stub.Segment(automatic_request(png(pixels)))) for pixels in gone]

            async def all_are_there() -> bool:
                now = await stats(stub)
                return (now.running_count, now.queue_length) == (2, 5)

            await eventually(all_are_there, "one is behind the gated one, five wait")
            late = [fresh() for _ in range(4)]
            for pixels in late:
                error = await error_of(stub.Segment(automatic_request(png(pixels)), timeout=0.2))
                full = error_info(error).reason == "QUEUE_FULL"
                assert full or error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

            async def they_have_left() -> bool:
                return (await stats(stub)).queue_length == 0

            await eventually(they_have_left, "nobody waits")
            # Goes the way that the cancels went, behind them.
            await stub.Segment(point_request(png(fresh())))
            gate.open()
            await slow
            last = fresh()
            await stub.Segment(automatic_request(png(last)))
            runs = {line[1] for line in gate.lines("segment")}
            assert not any(gate.lines("segment", pixels) for pixels in [*gone, *late])
            assert not any(gate.lines("embed", pixels) for pixels in [*gone, *late])
            assert len(runs) >= 2
