"""An image that ends the engine: it costs one engine, once; who was inside besides it may retry."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import grpc
import pytest
from fake_engine import CRASH, HANG
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
from video_calls import talk

from diptych_runtime import machine
from diptych_runtime.quarantine import ENDED_ENGINE


def is_refusal(error: grpc.aio.AioRpcError) -> bool:
    """Whether a request failed for good because an engine ended over it."""
    info = error_info(error)
    kind = (error.code().name, info.reason, info.metadata.get(ENDED_ENGINE))
    return kind == ("INTERNAL", "MODEL_FAILED", "true")


@pytest.mark.parametrize("make", [automatic_request, point_request])
async def test_it_costs_one_engine_and_is_refused_from_then_on(make: object) -> None:
    request = make(png(fresh(CRASH)))  # type: ignore[operator]
    async with running_service() as service, stub_of(service.port) as stub:
        for _ in range(3):
            assert is_refusal(await error_of(stub.Segment(request)))
        # However it is asked about, and others are not concerned.
        other = point_request(request.image.encoded, x=5)
        assert is_refusal(await error_of(stub.Segment(other)))
        assert (await stub.Segment(make(png(fresh())))).segments  # type: ignore[operator]
        assert (await stats(stub)).engine_restart_count == 1


async def test_one_that_hangs_counts_too() -> None:
    request = automatic_request(png(fresh(HANG)))
    async with running_service(step_timeout_s=1.0) as service, stub_of(service.port) as stub:
        for _ in range(2):
            assert is_refusal(await error_of(stub.Segment(request)))
        assert (await stats(stub)).engine_restart_count == 1


async def test_who_was_inside_besides_it_may_try_again(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with gate.environment():
        async with running_service() as service, stub_of(service.port) as stub:
            pixels, slow = await gate.occupy(stub)
            killing = ask(stub.Segment(point_request(png(fresh(CRASH)))))
            error = await error_of(slow)
            assert (error.code().name, error_info(error).reason) == ("UNAVAILABLE", "ENGINE_LOST")
            assert ENDED_ENGINE not in error_info(error).metadata
            assert is_refusal(await error_of(killing))
            gate.open()
            assert (await stub.Segment(automatic_request(png(pixels)))).segments


async def test_an_engine_killed_from_outside_is_its_fault_only_the_second_time(
    tmp_path: Path,
) -> None:
    gate, pixels = Gate(tmp_path), fresh(HANG)
    request = automatic_request(png(pixels))
    with gate.environment():
        async with running_service() as service, stub_of(service.port) as stub:
            reasons = []
            for times in (1, 2):
                call = ask(stub.Segment(request))
                await eventually(lambda: len(gate.lines("embed", pixels)) == times)  # noqa: B023
                engine = service.supervisor.engine
                assert engine
                os.kill(engine.pid, signal.SIGKILL)
                reasons.append(error_info(await error_of(call)).reason)
            assert reasons == ["ENGINE_LOST", "MODEL_FAILED"]
            assert is_refusal(await error_of(stub.Segment(request)))
            assert (await stats(stub)).engine_restart_count == 2


async def test_one_that_takes_all_memory_costs_one_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, pixels, kills = Gate(tmp_path), fresh(HANG), tmp_path / "vmstat"
    monkeypatch.setattr(machine, "_VMSTAT", kills)
    kills.write_text("pgfault 12\noom_kill 3\n")
    request = automatic_request(png(pixels))
    with gate.environment():
        async with running_service() as service, stub_of(service.port) as stub:
            call = ask(stub.Segment(request))
            await eventually(lambda: bool(gate.lines("embed", pixels)))
            engine = service.supervisor.engine
            assert engine
            kills.write_text("pgfault 12\noom_kill 4\n")  # as the system does, and then:
            os.kill(engine.pid, signal.SIGKILL)
            assert is_refusal(await error_of(call))
            assert is_refusal(await error_of(stub.Segment(request)))
            assert (await stats(stub)).engine_restart_count == 1


async def test_a_frame_that_ends_the_engine_is_not_one_to_resume_from() -> None:
    async with (
        running_service("fake_video:create") as service,
        stub_of(service.port) as stub,
        talk(stub) as one,
        talk(stub) as other,
    ):
        await one.start()
        await other.start()
        await one.frame(0, fresh(CRASH))
        assert is_refusal(await error_of(one.rest()))
        error = await error_of(other.rest())
        assert (error.code().name, error_info(error).reason) == ("ABORTED", "SESSION_LOST")
