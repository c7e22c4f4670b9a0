"""A model service as a process: how it starts, how it stops, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import grpc
import pytest
from fake_engine import HANG, RAISE
from gates import Gate, ask, fresh
from grpc_health.v1 import health_pb2, health_pb2_grpc
from processes import (
    ServiceProcess,
    children,
    gone,
    service_process,
    shared_memory,
    who_shares,
)
from serving_helpers import (
    automatic_request,
    error_info,
    error_of,
    eventually,
    png,
    point_request,
    stub_of,
)

from diptych.segment import v1 as pb
from diptych_runtime.release import RELEASE

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_bad_setting_is_one_line() -> None:
    async with service_process(DIPTYCH_CACHE_BYTES="512MiB") as service:
        assert await service.end() == 2
        (line,) = service.lines
        assert line.startswith("diptych-fake: DIPTYCH_CACHE_BYTES='512MiB': ")


async def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with service_process(DIPTYCH_PORT=str(port)) as service:
            assert await service.end() == 2
            assert service.lines[-1].startswith(f"diptych-fake: cannot listen on 127.0.0.1:{port}")
            assert not any("Traceback" in line for line in service.lines)


async def test_a_model_that_cannot_be_loaded_says_what_to_do() -> None:
    async with service_process("fake_engine:create_broken") as service:
        assert await service.end() == 2
        assert service.lines[-1] == (
            "diptych-fake: weights 'nothing' are not here; run: diptych-fake pull nothing"
        )
        assert not any("Traceback" in line for line in service.lines)


async def test_an_engine_that_cannot_be_started_ends_the_service() -> None:
    engine, tries = "fake_engine:create_crashing", "2"
    async with service_process(engine, DIPTYCH_RESTART_TRIES=tries) as service:
        assert await service.end() == 1
        assert service.lines[-1].startswith("diptych-fake: the engine could not be started in 2")
        assert [line["exit_code"] for line in service.events("engine did not start")] == [11, 11]


async def test_an_engine_that_does_not_come_back_ends_the_service(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with gate.environment():
        once = service_process("fake_engine:create_once", DIPTYCH_RESTART_TRIES="2")
        async with once as service:
            await service.event("serving")
            assert [line["version"] for line in service.events("listening")] == [RELEASE]
            os.kill(await engine_of(service), signal.SIGKILL)
            assert await service.end() == 1
            assert service.lines[-1].startswith(
                "diptych-fake: the engine could not be started in 2 tries"
            )
            assert not any("Traceback" in line for line in service.lines)


@pytest.mark.parametrize("engine", ["create_without_numbers", "create_silent"])
async def test_an_engine_with_an_impossible_answer_never_serves(engine: str) -> None:
    wrong = service_process(f"fake_engine:{engine}", DIPTYCH_RESTART_TRIES="1")
    async with wrong as service:
        assert await service.end() == 1
        assert service.events("canary failed")
        assert not service.events("serving")


async def test_callers_are_told_that_the_model_fails_its_canary() -> None:
    silent = service_process("fake_engine:create_silent", DIPTYCH_RESTART_TRIES="9")
    async with silent as service, stub_of(await service.port()) as stub:
        await service.event("canary failed")
        errors = [
            await error_of(stub.GetModelCard(pb.GetModelCardRequest(model_id="fake"))),
            await error_of(stub.Segment(automatic_request(png(fresh())), timeout=1)),
        ]
    for error in errors:
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "the model is loaded and failed its canary" in str(error.details())
        assert error_info(error).reason == "ENGINE_LOST"


async def test_text_is_written_though_nobody_sees_a_terminal() -> None:
    """As under a process runner, and by the engine process, too."""
    async with service_process(
        DIPTYCH_LOG_FORMAT="text", DIPTYCH_LOG_LEVEL="debug", DIPTYCH_RESTART_TRIES="1"
    ) as service:
        await eventually(lambda: any("serving" in line for line in service.lines))
    assert not any(line.startswith("{") for line in service.lines)
    assert any("listening" in line and f"version={RELEASE}" in line for line in service.lines)
    assert any("process=engine" in line for line in service.lines), service.lines


async def test_an_engine_that_answers_as_none_before_does_not_serve(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with gate.environment():
        changing = service_process("fake_engine:create_changing", DIPTYCH_RESTART_TRIES="1")
        async with changing as service:
            await service.event("serving")
            os.kill(await engine_of(service), signal.SIGKILL)
            assert await service.end() == 1
            (failure,) = service.events("canary failed")
            assert "not as by the first engine" in str(failure["message"])
            assert len(service.events("serving")) == 1


async def engine_of(service: ServiceProcess) -> int:
    await eventually(lambda: children(service.pid), "the engine process is there")
    (pid,) = children(service.pid)
    return pid


@pytest.mark.parametrize("busy", ["loading", "idle", "hanging"])
async def test_the_engine_ends_with_its_front(busy: str, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    load_s = "60" if busy == "loading" else "0"
    with gate.environment():
        async with service_process(FAKE_LOAD_S=load_s) as service:
            engine = await engine_of(service)
            await eventually(lambda: gate.lines("load"))
            if busy != "loading":
                await service.event("serving")
            async with stub_of(await service.port()) as stub:
                if busy == "hanging":
                    pixels = fresh(HANG)
                    call = ask(stub.Segment(point_request(png(pixels))))
                    await eventually(lambda: gate.lines("embed", pixels))
                service.tell(signal.SIGKILL)
                await eventually(lambda: gone(engine), "the engine has ended")
                if busy == "hanging":
                    assert (await error_of(call)).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_front_that_is_killed_with_a_picture_in_shared_memory_leaves_nothing(
    tmp_path: Path,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    gate = Gate(tmp_path)
    with gate.environment():
        async with service_process(TMPDIR=str(temporary)) as service:
            await service.event("serving")
            engine = await engine_of(service)
            async with stub_of(await service.port()) as stub:
                _, call = await gate.occupy(stub)
                (pictures,) = [one for one in shared_memory(service.pid) if one.writable]
                assert pictures.resident > 0
                assert sorted(who_shares(pictures.inode)) == sorted((service.pid, engine))
                # Nobody could remove it later, so it must have no name that would be left.
                assert pictures.path.endswith(" (deleted)")
                service.tell(signal.SIGKILL)
                assert (await error_of(call)).code() is grpc.StatusCode.UNAVAILABLE
            await eventually(lambda: gone(engine), "the engine has ended")
            assert who_shares(pictures.inode) == []
    assert list(temporary.iterdir()) == []


async def test_a_stop_under_load_loses_no_call() -> None:
    async with service_process() as service:
        await service.event("serving")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{await service.port()}") as channel:
            stub = pb.SegmentServiceStub(channel)
            stopping = asyncio.Event()
            answered = 0

            async def calls() -> None:
                nonlocal answered
                while not stopping.is_set():
                    await stub.Segment(point_request(png(fresh())))
                    answered += 1

            async def watch() -> None:
                health = health_pb2_grpc.HealthStub(channel)
                async for state in health.Watch(health_pb2.HealthCheckRequest()):
                    if state.status == NOT_SERVING:
                        break
                stopping.set()

            async with asyncio.TaskGroup() as group:
                group.create_task(watch())
                for _ in range(8):
                    group.create_task(calls())
                while answered < 50:
                    await asyncio.sleep(0.01)
                service.tell(signal.SIGTERM)
        assert await service.end() == 0
        requests = service.events("request")
        assert {line["code"] for line in requests} == {"OK"}
        assert len(requests) == answered


async def test_a_stop_lets_running_and_waiting_calls_finish(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with gate.environment():
        async with service_process(DIPTYCH_DRAIN_S="60") as service:
            await service.event("serving")
            engine = await engine_of(service)
            async with stub_of(await service.port()) as stub:
                _, slow = await gate.occupy(stub)
                more = [ask(stub.Segment(automatic_request(png(fresh())))) for _ in range(4)]
                await asyncio.sleep(0.2)
                # To the whole group and twice, as terminals and process runners do it.
                os.killpg(service.pid, signal.SIGTERM)
                await service.event("stopping")
                os.killpg(service.pid, signal.SIGTERM)
                await eventually(lambda: refuses(service), "no new calls")
                gate.open()
                await asyncio.gather(slow, *more)
            assert await service.end() == 0
            assert gone(engine)


def refuses(service: ServiceProcess) -> bool:
    """Whether nobody listens on the service's port any more."""
    port = int(str(service.events("listening")[0]["port"]))
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


async def test_calls_that_outlast_the_drain_are_told(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with gate.environment():
        async with service_process(DIPTYCH_DRAIN_S="0.2") as service:
            await service.event("serving")
            async with stub_of(await service.port()) as stub:
                _, slow = await gate.occupy(stub)
                waiting = [ask(stub.Segment(automatic_request(png(fresh())))) for _ in range(3)]
                await asyncio.sleep(0.2)
                service.tell(signal.SIGTERM)
                for call in (slow, *waiting):
                    error = await error_of(call)
                    assert error.code() is grpc.StatusCode.UNAVAILABLE
                    assert error_info(error).reason == "DRAINING"
            assert await service.end() == 0


async def test_who_watches_health_does_not_hold_up_a_stop() -> None:
    async with service_process(DIPTYCH_DRAIN_S="600") as service:
        await service.event("serving")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{await service.port()}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            watch = aiter(health.Watch(health_pb2.HealthCheckRequest()))
            await anext(watch)
            service.tell(signal.SIGTERM)
            assert (await anext(watch)).status == NOT_SERVING
            assert await service.end() == 0


async def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with gate.environment():
        async with service_process(DIPTYCH_DRAIN_S="600") as service:
            await service.event("serving")
            engine = await engine_of(service)
            async with stub_of(await service.port()) as stub:
                _, slow = await gate.occupy(stub)
                service.tell(signal.SIGINT)
                await service.event("stopping")
                service.tell(signal.SIGINT)
                assert await service.end() == 128 + signal.SIGINT
                assert (await error_of(slow)).code() is grpc.StatusCode.UNAVAILABLE
            await eventually(lambda: gone(engine))


async def test_a_stop_while_loading() -> None:
    async with service_process(FAKE_LOAD_S="60") as service:
        engine = await engine_of(service)
        await service.event("listening")
        service.tell(signal.SIGTERM)
        assert await service.end() == 0
        assert gone(engine)


async def test_logs_of_both_processes_hold_no_pixels() -> None:
    async with service_process() as service:
        await service.event("serving")
        async with stub_of(await service.port()) as stub:
            error = await error_of(stub.Segment(point_request(png(fresh(RAISE)))))
        line = await service.event("request failed")
        assert line["process"] == "engine"
        assert line["request_id"] == error_info(error).metadata["requestId"]
        assert "locals" not in str(line)
        assert "array(" not in str(line)
        assert (await service.event("request"))["service"] == "fake"


async def test_a_stderr_that_is_gone_fails_no_request() -> None:
    async with service_process() as service:
        await service.event("serving")
        port = await service.port()
        transport = service.process._transport.get_pipe_transport(2)  # type: ignore[attr-defined]
        transport.close()
        async with stub_of(port) as stub:
            for _ in range(3):
                assert (await stub.Segment(point_request(png(fresh())))).segments
            error = await error_of(stub.Segment(point_request(png(fresh(RAISE)))))
            assert error_info(error).reason == "MODEL_FAILED"
        service.tell(signal.SIGTERM)
        assert await service.process.wait() == 0


async def test_modules_in_the_working_directory_are_not_imported(tmp_path: Path) -> None:
    for name in ("structlog", "numpy", "diptych_runtime"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from here')")
    async with service_process(cwd=tmp_path) as service:
        assert await service.event("serving")
