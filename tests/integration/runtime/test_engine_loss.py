"""What a lost engine costs: the requests in it, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from fake_engine import CRASH, LOST
from gates import Gate, ask, fresh
from grpc_health.v1 import health_pb2, health_pb2_grpc
from processes import children, gone
from serving_helpers import (
    automatic_request,
    error_info,
    error_of,
    eventually,
    let_children_import_support,
    outcomes,
    png,
    point_request,
    retry_after,
    running_service,
    stats,
    stub_of,
)

from diptych.segment import v1 as pb
from diptych_runtime.engine import LoadError
from diptych_runtime.front.service import ModelService
from diptych_runtime.front.supervisor import EngineGoneError
from diptych_runtime.settings import RuntimeSettings

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_request_that_meets_the_end_before_it_is_known_hears_of_a_lost_engine() -> None:
    """The pipe has closed, and the supervisor has not taken the engine away yet."""
    async with running_service() as service, stub_of(service.port) as stub:
        engine = service.supervisor.engine
        assert engine
        going_on = engine.ended
        engine.ended = asyncio.get_running_loop().create_future()
        engine.ended.set_result(None)
        error = await error_of(stub.Segment(automatic_request(png(fresh()))))
        assert (error.code(), error_info(error).reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "ENGINE_LOST",
        )
        assert (await stats(stub)).running_count == 0
        engine.ended = going_on
        assert (await stub.Segment(automatic_request(png(fresh())))).segments


async def test_running_requests_are_lost_waiting_ones_are_not(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with gate.environment():
        async with running_service() as service, stub_of(service.port) as stub:
            _, slow = await gate.occupy(stub)
            pictures = [fresh() for _ in range(6)]
            calls = [ask(stub.Segment(automatic_request(png(p)))) for p in pictures]

            async def settled() -> bool:
                now = await stats(stub)
                return (now.queue_length, now.running_count) == (5, 2)

            await eventually(settled)
            engine = service.supervisor.engine
            assert engine
            os.kill(engine.pid, signal.SIGKILL)
            for call in (slow, calls[0]):
                error = await error_of(call)
                assert error.code() is grpc.StatusCode.UNAVAILABLE
                assert error_info(error).reason == "ENGINE_LOST"
                assert retry_after(error)
            await asyncio.gather(*calls[1:])
            now = await stats(stub)
            assert outcomes(now) == {"UNAVAILABLE": 2, "OK": 5}
            assert now.engine_restart_count == 1
            assert gone(engine.pid)


async def test_engines_that_are_killed_with_pictures_inside_leave_nothing_open(
    tmp_path: Path,
) -> None:
    gate = Gate(tmp_path)
    open_files = []
    with gate.environment():
        async with running_service() as service, stub_of(service.port) as stub:
            for _ in range(4):
                _, slow = await gate.occupy(stub)
                waits = ask(stub.Segment(automatic_request(png(fresh()))))
                engine = service.supervisor.engine
                assert engine
                os.kill(engine.pid, signal.SIGKILL)
                await error_of(slow)
                await asyncio.gather(waits, return_exceptions=True)
                gate.open()
                assert (await stub.Segment(automatic_request(png(fresh())))).segments
                open_files.append(len(os.listdir("/proc/self/fd")))
    assert max(open_files[1:]) <= open_files[0]


@pytest.mark.parametrize("fault", [CRASH, LOST], ids=["crash", "device lost"])
async def test_health_follows_the_engine(fault: tuple[int, int, int]) -> None:
    async with (
        running_service() as service,
        grpc.aio.insecure_channel(f"127.0.0.1:{service.port}") as channel,
    ):
        stub = pb.SegmentServiceStub(channel)
        watch = aiter(
            health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(service="diptych.segment.v1.SegmentService")
            )
        )
        assert (await anext(watch)).status == SERVING
        error = await error_of(stub.Segment(point_request(png(fresh(fault)))))
        assert error_info(error).reason == "MODEL_FAILED"
        assert (await anext(watch)).status == NOT_SERVING
        assert (await anext(watch)).status == SERVING
        assert (await stub.Segment(point_request(png(fresh())))).segments
        # What is known of the model does not go with its process.
        assert (await stub.GetModelCard(pb.GetModelCardRequest())).model_card.id == "fake"


@asynccontextmanager
async def starting(engine: str, **settings: object) -> AsyncIterator[ModelService]:
    let_children_import_support()
    service = ModelService(engine, RuntimeSettings(drain_s=1, **settings), port=0)  # type: ignore[arg-type]
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


async def test_an_engine_that_crashes_while_it_loads_is_given_up() -> None:
    async with starting("fake_engine:create_crashing", restart_tries=2) as service:
        assert service.engine_task
        with pytest.raises(EngineGoneError, match="in 2 tries"):
            await service.engine_task
        assert service.supervisor.restarts == 1


async def test_an_engine_that_takes_too_long_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_LOAD_S", "60")
    settings = {"restart_tries": 1, "load_timeout_s": 1}
    others = set(children(os.getpid()))  # which tests before this one left for tests after it
    async with starting("fake_engine:create", **settings) as service:
        assert service.engine_task
        with pytest.raises(EngineGoneError):
            await service.engine_task
    assert set(children(os.getpid())) <= others


async def test_an_engine_that_is_set_up_wrongly_is_not_tried_again() -> None:
    async with starting("fake_engine:create_broken") as service:
        assert service.engine_task
        with pytest.raises(LoadError, match="diptych-fake pull nothing"):
            await service.engine_task
        assert service.supervisor.restarts == 0


async def test_a_stop_while_loading_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_LOAD_S", "60")
    sockets, others = open_sockets(), set(children(os.getpid()))
    async with starting("fake_engine:create"):
        await eventually(lambda: set(children(os.getpid())) - others)
    assert set(children(os.getpid())) <= others
    await eventually(lambda: open_sockets() <= sockets)


def open_sockets() -> set[str]:
    """Unix sockets of this process; gRPC keeps pipes and polls of its own."""
    unix = {line.split()[6] for line in Path("/proc/self/net/unix").read_text().splitlines()[1:]}
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1] in unix:
            found.add(target)
    return found


async def test_requests_that_wait_for_an_engine_that_never_comes_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        running_service(restart_tries=1, drain_s=60) as service,
        stub_of(service.port) as stub,
    ):
        assert service.supervisor.engine
        before = set(children(os.getpid()))
        monkeypatch.setenv("FAKE_LOAD_S", "60")  # for the next one
        await error_of(stub.Segment(point_request(png(fresh(CRASH)))))
        waiting = ask(stub.Segment(point_request(png(fresh()))))

        async def waits() -> bool:
            return (await stats(stub)).running_count == 1

        await eventually(waits)
        await eventually(lambda: set(children(os.getpid())) - before)
        for pid in set(children(os.getpid())) - before:
            os.kill(pid, signal.SIGKILL)
        assert service.engine_task
        with pytest.raises(EngineGoneError):
            await service.engine_task
        await service.stop()
        error = await error_of(waiting)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert error_info(error).reason == "DRAINING"


async def test_an_engine_that_answers_nothing_is_not_let_in() -> None:
    async with starting("fake_engine:create_failing", restart_tries=1) as service:
        task, supervisor = service.engine_task, service.supervisor
        assert task
        await eventually(lambda: task.done() or supervisor.engine, "tried")
        assert supervisor.engine is None
        with pytest.raises(EngineGoneError):
            await task
