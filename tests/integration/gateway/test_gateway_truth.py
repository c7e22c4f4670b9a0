"""What the gateway says of its models is so: when they are busy, gone, silent or hang."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health, health_pb2
from harness.proxy import HOLE, PASS, Proxy

from diptych.segment import v1 as pb
from diptych_gateway.settings import Endpoint


async def says(stage: Any) -> tuple[int, float]:
    """Ask ``/readyz`` and ``diptych_model_up`` of the only model."""
    url = f"http://127.0.0.1:{stage.gateway.http_port}"
    async with httpx.AsyncClient(base_url=url, verify=False) as http:
        metrics = (await http.get("/metrics")).text
        ready = (await http.get("/readyz")).status_code
    up = re.search(r'^diptych_model_up\{model="one"\} (\S+)$', metrics, re.MULTILINE)
    assert up, metrics
    return ready, float(up[1])


async def until_it_says(stage: Any, status: int, up: float) -> None:
    """Wait until both say so; the test's own time limit says when they never do."""
    while await says(stage) != (status, up):
        await asyncio.sleep(0.1)


@pytest.fixture
async def proxied(stage: Any) -> AsyncIterator[tuple[Any, Proxy]]:
    """A model behind a proxy behind a gateway."""
    model = await stage.model("one")
    async with Proxy(model.port) as proxy:
        await stage.serve(Endpoint("one", f"127.0.0.1:{proxy.port}"), seen=False)
        await stage.until(lambda: "one" in stage.reachable())
        yield model, proxy


async def test_a_model_that_is_full_is_up(stage: Any) -> None:
    model = await stage.model("one")
    await stage.serve(model, in_flight_requests=2, card_refresh_s=0.05)
    free = asyncio.Event()

    async def wait(request: pb.SegmentRequest, context: Any) -> pb.SegmentResponse:
        await free.wait()
        return await model.find(request, context)

    model.answer = wait
    stub = stage.segment_stub()
    calls = [asyncio.ensure_future(stub.Segment(stage.request(model_id="one"))) for _ in range(2)]
    await stage.until(lambda: model.running == 2)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Segment(stage.request(model_id="one"))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    cards = model.card_calls
    await stage.until(lambda: model.card_calls > cards + 2)
    assert await says(stage) == (200, 1.0)
    metrics = (await stage.http().get("/metrics")).text
    assert 'diptych_model_queue_length{model="one"} 3.0' in metrics
    assert (await stub.GetModelCard(pb.GetModelCardRequest(model_id="one"))).model_card.id == "one"
    free.set()
    await asyncio.gather(*calls)


async def test_questions_have_a_connection_that_requests_do_not_share(stage: Any) -> None:
    model = await stage.model("one")
    peers: dict[str, set[str]] = {"work": set(), "card": set()}
    find, card = model.find, model.GetModelCard

    async def note_work(request: pb.SegmentRequest, context: Any) -> pb.SegmentResponse:
        peers["work"].add(context.peer())
        return await find(request, context)

    async def note_card(request: Any, context: Any) -> Any:
        peers["card"].add(context.peer())
        return await card(request, context)

    model.answer = note_work
    await model.stop()
    model.GetModelCard = note_card
    await model.start()
    await stage.serve(model)
    await stage.segment_stub().Segment(stage.request(model_id="one"))
    assert peers["work"]
    assert peers["card"]
    assert not peers["work"] & peers["card"]


async def test_a_flood_of_questions_by_callers_takes_no_place_of_the_gateway_s_own(
    stage: Any,
) -> None:
    model = await stage.model("one")
    answer = asyncio.Event()
    stats = model.GetModelStats

    async def wait(request: Any, context: Any) -> Any:
        await answer.wait()
        return await stats(request, context)

    await model.stop()
    model.GetModelStats = wait
    await model.start()
    await stage.serve(model, card_refresh_s=0.05)
    stub = stage.segment_stub()
    request = pb.GetModelStatsRequest(model_id="one")
    calls = [asyncio.ensure_future(stub.GetModelStats(request, timeout=60)) for _ in range(100)]
    await stage.until(lambda: sum(call.done() for call in calls) == 36)
    cards = model.card_calls
    await stage.until(lambda: model.card_calls > cards + 2)
    assert stage.reachable() == {"one"}
    answer.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [o for o in outcomes if isinstance(o, grpc.aio.AioRpcError)]
    assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}


async def test_a_model_that_ended_is_down_and_one_that_came_back_is_up(stage: Any) -> None:
    model = await stage.model("one")
    await stage.serve(model)
    assert await says(stage) == (200, 1.0)
    await model.stop()
    await until_it_says(stage, 503, 0.0)
    await model.start()
    await until_it_says(stage, 200, 1.0)


async def test_a_model_that_says_that_it_does_not_serve_is_down(stage: Any) -> None:
    model = await stage.model("one")
    await stage.serve(model)
    await model.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    await until_it_says(stage, 503, 0.0)
    await model.health.set("", health_pb2.HealthCheckResponse.SERVING)
    await until_it_says(stage, 200, 1.0)


async def test_a_model_whose_loop_hangs_is_down_though_its_connection_stands(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = asyncio.Event()
    answers.set()
    asked = 0
    check = health.aio.HealthServicer.Check

    async def hang(self: Any, request: Any, context: Any) -> Any:
        nonlocal asked
        asked += 1
        await answers.wait()
        return await check(self, request, context)

    monkeypatch.setattr(health.aio.HealthServicer, "Check", hang)
    await stage.serve(await stage.model("one"))
    assert await says(stage) == (200, 1.0)
    answers.clear()
    asked = 0
    await until_it_says(stage, 503, 0.0)
    assert asked > 1
    answers.set()
    await until_it_says(stage, 200, 1.0)


async def test_a_black_hole_ends_the_calls_in_it_and_new_connections_serve(
    proxied: tuple[Any, Proxy], stage: Any
) -> None:
    _, proxy = proxied
    stub = stage.segment_stub()
    await stub.Segment(stage.request(model_id="one"))
    proxy.swallow()
    # Tried again by the channel when the connection is given up, long before the deadline.
    await stub.Segment(stage.request(model_id="one"), timeout=60)
    await until_it_says(stage, 200, 1.0)


async def test_a_peer_that_is_gone_fails_what_it_has_and_is_down(
    proxied: tuple[Any, Proxy], stage: Any, reason_of: Any
) -> None:
    model, proxy = proxied
    never = asyncio.Event()

    async def wait(request: pb.SegmentRequest, context: Any) -> pb.SegmentResponse:
        await never.wait()
        raise AssertionError

    model.answer = wait
    stub = stage.segment_stub()
    call = asyncio.ensure_future(stub.Segment(stage.request(model_id="one"), timeout=600))
    await stage.until(lambda: model.running == 1)
    proxy.swallow()
    proxy.mode = HOLE
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    await until_it_says(stage, 503, 0.0)
    proxy.mode = PASS
    await until_it_says(stage, 200, 1.0)
