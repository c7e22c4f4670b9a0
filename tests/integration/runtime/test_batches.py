"""Prompts that wait together are answered together, over gRPC and in a real engine process."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import fake_engine
import grpc
import numpy as np
import pytest
from fake_engine import BAD_Y, GATED_Y, OTHER_KEY_Y
from gates import Gate, ask, fresh
from serving_helpers import (
    automatic_request,
    error_info,
    error_of,
    eventually,
    outcomes,
    png,
    point_request,
    running_service,
    stats,
    stub_of,
)

from diptych.segment import v1 as pb

ROUNDS = 60


class Held:
    """A picture that the service holds."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.mark = fake_engine.watermark(pixels)
        self.pixels = pixels
        self.sha256 = hashlib.sha256(png(pixels)).digest()

    def prompt(self, x: float = 10, y: float = 10) -> pb.SegmentRequest:
        request = point_request(b"", x=x, y=y)
        request.image.ClearField("encoded")
        request.image.sha256 = self.sha256
        return request

    def answers(self, reply: pb.SegmentResponse, x: float, y: float = 10) -> bool:
        """Whether this is the answer to that prompt."""
        (segment,) = reply.segments
        box = segment.box
        left, top = (max(v - 4, 0) for v in (x, y))
        return (segment.label, box.x_min_px, box.y_min_px) == (self.mark, left, top)


class Service:
    """A service with a batching engine, pictures that it holds, and a gate to its model."""

    def __init__(self, stub: pb.SegmentServiceStub, gate: Gate, held: Sequence[Held]) -> None:
        self.stub = stub
        self.gate = gate
        self.held = held

    async def hold_model(self) -> asyncio.Task[object]:
        """A prompt that is in the model, in one step, until the gate opens."""
        self.gate.close()
        before = len(self.gate.lines("gated"))
        call = ask(self.stub.Segment(self.held[0].prompt(y=GATED_Y)))
        await eventually(lambda: len(self.gate.lines("gated")) > before, "it is in the model")
        return call

    async def running(self, count: int) -> None:
        """Wait until so many are in the engine process."""

        async def inside() -> bool:
            return (await stats(self.stub)).running_count == count

        await eventually(inside)

    async def together(
        self, requests: Sequence[pb.SegmentRequest]
    ) -> list[pb.SegmentResponse | grpc.aio.AioRpcError]:
        """Ask while the model is held; the answers once it is let go."""
        first = await self.hold_model()
        calls = [ask(self.stub.Segment(request)) for request in requests]
        await self.running(len(requests) + 1)
        self.gate.open()
        await first
        return await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[return-value]

    async def sizes(self) -> dict[int, int]:
        return {one.size: one.answer_count for one in (await stats(self.stub)).batch_sizes}

    async def learned(self, size: int) -> None:
        """Ask so often that the runtime knows what batches up to ``size`` gain."""
        for _ in range(ROUNDS):
            requests = [self.held[0].prompt(x=10 + n) for n in range(size)]
            await self.together(requests)
            if max(await self.sizes()) >= size:
                return
        raise AssertionError(f"no batch of {size} in {ROUNDS} rounds: {await self.sizes()}")


@asynccontextmanager
async def serving(
    tmp_path: Path, engine: str = "create_batching", **settings: object
) -> AsyncIterator[Service]:
    gate = Gate(tmp_path)
    with gate.environment():
        async with (
            running_service(f"fake_engine:{engine}", **settings) as service,
            stub_of(service.port) as stub,
        ):
            pictures = [fresh(), fresh()]
            for pixels in pictures:
                await stub.Segment(point_request(png(pixels)))
            yield Service(stub, gate, [Held(pixels) for pixels in pictures])


async def test_what_waits_is_answered_together_and_each_gets_its_own(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.learned(8)
        pairs = [(service.held[n % 2], 5 + 3 * n) for n in range(8)]
        replies = await service.together([held.prompt(x=x) for held, x in pairs])
        for reply, (held, x) in zip(replies, pairs, strict=True):
            assert isinstance(reply, pb.SegmentResponse)
            assert held.answers(reply, x)
            assert reply.provenance[0].image_cache_hit


async def test_lone_requests_are_answered_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.learned(4)
        before = await service.sizes()
        for n in range(5):
            reply = await service.stub.Segment(service.held[0].prompt(x=10 + n))
            assert service.held[0].answers(reply, 10 + n)
        after = await service.sizes()
        assert after[1] == before[1] + 5
        assert {size: after[size] for size in after if size > 1} == {
            size: before[size] for size in before if size > 1
        }


async def test_what_is_slower_together_is_soon_served_one_by_one(tmp_path: Path) -> None:
    async with serving(tmp_path, "create_slower_together") as service:
        for _ in range(8):
            await service.together([service.held[0].prompt(x=10 + n) for n in range(8)])
        sizes = await service.sizes()
        # Three tries of two, as the policy has it, and one by one from then on.
        assert max(sizes) == 2
        assert sizes[2] == 2 * 3


async def test_a_bad_prompt_fails_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.learned(4)
        requests = [service.held[0].prompt(x=10 + n, y=BAD_Y if n == 1 else 10) for n in range(4)]
        replies = await service.together(requests)
        bad = replies.pop(1)
        assert isinstance(bad, grpc.aio.AioRpcError)
        assert error_info(bad).reason == "MODEL_FAILED"
        assert "secret" not in (bad.details() or "")
        for reply, x in zip(replies, (10, 12, 13), strict=True):
            assert isinstance(reply, pb.SegmentResponse)
            assert service.held[0].answers(reply, x)


async def test_keys_that_differ_do_not_go_together(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.learned(4)
        ys = [10, OTHER_KEY_Y] * 4
        before = await service.sizes()
        requests = [service.held[0].prompt(x=10 + n, y=y) for n, y in enumerate(ys)]
        replies = await service.together(requests)
        for n, (reply, y) in enumerate(zip(replies, ys, strict=True)):
            assert isinstance(reply, pb.SegmentResponse)
            assert service.held[0].answers(reply, 10 + n, y)
        after = await service.sizes()
        assert after.get(8, 0) == before.get(8, 0)


async def test_who_leaves_or_is_late_drops_out(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.learned(4)
        held = service.held[0]
        first = await service.hold_model()
        calls = [ask(service.stub.Segment(held.prompt(x=10 + n))) for n in range(4)]
        await service.running(5)
        late = ask(service.stub.Segment(held.prompt(x=20), timeout=0.3))
        calls[2].cancel()
        error = await error_of(late)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        service.gate.open()
        await first
        for n in (0, 1, 3):
            reply = await calls[n]
            assert isinstance(reply, pb.SegmentResponse)
            assert held.answers(reply, 10 + n)
        await service.running(0)
        assert outcomes(await stats(service.stub))["CANCELLED"] == 1


async def test_another_lane_gets_its_turns_beside_batches(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        await service.learned(4)
        _, gated = await service.gate.occupy(service.stub)
        steps = len(service.gate.lines("step"))
        for n in range(6):
            calls = [ask(service.stub.Segment(service.held[0].prompt(x=10 + m))) for m in range(6)]
            await asyncio.gather(*calls)
            seen = len(service.gate.lines("step"))
            assert seen > steps, n
            steps = seen
        service.gate.open()
        await gated


async def test_one_switches_it_off(tmp_path: Path) -> None:
    async with serving(tmp_path, max_batch=1) as service:
        for _ in range(6):
            first = await service.hold_model()
            calls = [ask(service.stub.Segment(service.held[0].prompt(x=10 + n))) for n in range(3)]
            await service.running(4)
            service.gate.open()
            await asyncio.gather(first, *calls)
        assert set(await service.sizes()) == {1}


@pytest.mark.parametrize("engine", ["create", "create_batching"])
async def test_other_tasks_are_answered_alone(tmp_path: Path, engine: str) -> None:
    async with serving(tmp_path, engine) as service:
        pixels = fresh()
        await asyncio.gather(
            *(service.stub.Segment(automatic_request(png(pixels))) for _ in range(4))
        )
        assert set(await service.sizes()) == {1}
