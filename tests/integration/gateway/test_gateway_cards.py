"""What the gateway knows of models that come and go, and the process around it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from diptych.segment import v1 as pb


async def cards(stub: Any) -> list[Any]:
    return list((await stub.ListModelCards(pb.ListModelCardsRequest(), timeout=20)).models)


async def test_cards_stand_in_the_order_of_the_settings(stage: Any, reason_of: Any) -> None:
    second, first = await stage.model("second"), await stage.model("first")
    stub = await stage.serve(second, stage.dead_endpoint("dead"), first)
    models = await cards(stub)
    assert [m.model_id for m in models] == ["second", "dead", "first"]
    assert [m.model_card.id for m in models] == ["second", "", "first"]
    assert [m.HasField("model_card") for m in models] == [True, False, True]
    assert [m.status.code for m in models] == [0, grpc.StatusCode.UNAVAILABLE.value[0], 0]
    assert reason_of(models[1].status) == "MODEL_LOADING"


async def test_a_model_that_goes_keeps_its_card_and_one_that_comes_back_renews_it(
    stage: Any,
) -> None:
    model = await stage.model("one")
    stub = await stage.serve(model)
    (before,) = await cards(stub)
    await model.stop()
    await stage.until(lambda: stage.reachable() == set())
    (gone,) = await cards(stub)
    assert gone.status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert gone.model_card == before.model_card
    # Its card still says that it does the task, so it is asked, and says that it is away.
    reply = await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=20)
    assert reply.results[0].error.code == grpc.StatusCode.UNAVAILABLE.value[0]
    await model.start()
    await stage.until(lambda: stage.reachable() == {"one"})
    (back,) = await cards(stub)
    # The fake counts its calls there: this is a card that was read again.
    assert back.model_card.parameter_count > before.model_card.parameter_count
    reply = await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=20)
    assert reply.results[0].HasField("response")


async def test_a_model_that_says_not_serving_gets_no_calls(stage: Any) -> None:
    model = await stage.model("one")
    await stage.serve(model)
    await model.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    await stage.until(lambda: stage.reachable() == set())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.segment_stub().Segment(stage.request(model_id="one"), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert model.requests == []
    await model.health.set("", health_pb2.HealthCheckResponse.SERVING)
    await stage.until(lambda: stage.reachable() == {"one"})
    await stage.segment_stub().Segment(stage.request(model_id="one"), timeout=20)


async def test_cards_are_not_read_for_requests(stage: Any) -> None:
    model = await stage.model("one")
    stub = await stage.serve(model, card_refresh_s=3600.0)
    for _ in range(5):
        await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=20)
        await cards(stub)
    assert model.card_calls == 1


async def test_an_old_card_is_read_again(stage: Any) -> None:
    model = await stage.model("one")
    await stage.serve(model, card_refresh_s=0.05)
    await stage.until(lambda: model.card_calls >= 3)


async def test_health_and_reflection_without_any_model(stage: Any) -> None:
    await stage.serve(stage.dead_endpoint("one"))
    channel = stage.channel(stage.address)
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "diptych.segment.v1.SegmentService", "diptych.segment.v1.GatewayService"):
        reply = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(
        file_containing_symbol="diptych.segment.v1.GatewayService"
    )
    call = stub.ServerReflectionInfo(iter([asked]), timeout=20)
    described = await call.read()
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(raw)
        for raw in described.file_descriptor_response.file_descriptor_proto
    ]
    assert "GatewayService" in [service.name for file in files for service in file.service]
    call.cancel()


async def test_running_requests_finish_while_it_stops(stage: Any) -> None:
    model = await stage.model("one")
    release = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        await release.wait()
        return await model.find(request, context)

    model.answer = wait
    stub = await stage.serve(model, drain_s=30.0)
    running = asyncio.ensure_future(
        stub.Compare(pb.CompareRequest(request=stage.request()), timeout=30)
    )
    await stage.until(lambda: model.running == 1)
    stopping = asyncio.ensure_future(stage.gateway.stop())
    # A server that drains takes no new connection.
    while await refused(stage) is False:
        await asyncio.sleep(0.01)
    release.set()
    assert (await running).results[0].HasField("response")
    await stopping
    stage.gateway = None


async def refused(stage: Any) -> bool:
    try:
        await cards(pb.GatewayServiceStub(stage.channel(stage.address)))
    except grpc.aio.AioRpcError as error:
        return bool(error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED))
    return False


def run(*, models: str, **settings: str) -> subprocess.Popen[str]:
    given = {f"DIPTYCH_{name.upper()}": value for name, value in settings.items()}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DIPTYCH_")}
    return subprocess.Popen(
        [sys.executable, "-m", "diptych_gateway"],
        env={**kept, "DIPTYCH_MODELS": models, "DIPTYCH_HTTP_PORT": "0", **given},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_bad_settings_end_with_one_line() -> None:
    process = run(models="mask-rcnn=nowhere")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert "DIPTYCH_MODELS" in said
    assert "host:port" in said


@pytest.mark.parametrize(("taken_one", "free_one"), [("port", "http_port"), ("http_port", "port")])
def test_a_taken_port_ends_with_one_line(taken_one: str, free_one: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = run(models="one=localhost:1", **{taken_one: str(port), free_one: "0"})
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert f"cannot listen on 127.0.0.1:{port}" in said


def test_a_process_that_is_told_to_stop_ends_well() -> None:
    process = run(models="one=localhost:1", port="0", drain_s="1")
    assert process.stderr is not None
    seen = ""
    while '"serving"' not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said
