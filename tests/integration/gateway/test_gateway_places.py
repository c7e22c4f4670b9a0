"""Replicas of a model behind gateways: which is asked, what is tried elsewhere, who leaves."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from harness.proxy import HOLE, Proxy

from diptych.segment import v1 as pb
from diptych_gateway.backend import images
from diptych_gateway.settings import Endpoint
from diptych_runtime.engine import Reason, ServiceError

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PLACES = 64


def picture(number: int) -> pb.Image:
    return pb.Image(encoded=b"image %d" % number)


def named(image: pb.Image) -> pb.Image:
    return pb.Image(sha256=hashlib.sha256(image.encoded).digest())


async def outcome(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {error.details()}"
    return "OK"


def encoder_runs(models: list[Any]) -> Counter[bytes]:
    """How often each image was new to a model: these hold everything that they have seen."""
    return Counter(digest for model in models for digest in model.images)


def holding(model: Any, places: int) -> asyncio.Event:
    """Have a model take so many requests, answer none before the event, and refuse more."""
    release = asyncio.Event()

    async def answer(request: pb.SegmentRequest, context: Any) -> pb.SegmentResponse:
        if request.image.sha256 and request.image.sha256 not in model.images:
            return await model.find(request, context)  # which refuses it at once, as services do
        if model.running > places:
            raise ServiceError(Reason.QUEUE_FULL, "too many requests wait", retry_after_s=1)
        await release.wait()
        return await model.find(request, context)

    model.answer = answer
    return release


async def refusing(request: pb.SegmentRequest, context: Any) -> pb.SegmentResponse:
    raise ServiceError(Reason.QUEUE_FULL, "too many requests wait", retry_after_s=1)


async def test_one_full_of_two_refuses_nobody(stage: Any) -> None:
    full, free = await stage.replicas("one", 2)
    await stage.serve(full, free)
    full.answer = refusing
    stub = stage.segment_stub()
    calls = [
        await outcome(stub.Segment(stage.request(model_id="one", image=picture(n))))
        for n in range(60)
    ]
    assert Counter(calls) == {"OK": 60}
    assert len(free.images) == 60
    free.answer = refusing
    assert (await outcome(stub.Segment(stage.request(model_id="one")))).startswith(
        "RESOURCE_EXHAUSTED"
    )


@pytest.mark.parametrize("images", [1, 300])
async def test_300_at_once_find_room_in_8_replicas_of_64(stage: Any, images: int) -> None:
    models = await stage.replicas("one", 8)
    await stage.serve(*models)
    releases = [holding(model, PLACES) for model in models]
    stubs = [stage.segment_stub(stage.address) for _ in range(4)]
    calls = [
        asyncio.create_task(
            outcome(
                stubs[n % 4].Segment(
                    stage.request(model_id="one", image=picture(n % images)), timeout=60
                )
            )
        )
        for n in range(300)
    ]
    await stage.until(lambda: sum(model.running for model in models) == 300)
    most = max(model.running for model in models)
    for release in releases:
        release.set()
    assert Counter(await asyncio.gather(*calls)) == {"OK": 300}
    assert most <= min(PLACES, 2 * 300 / 8)


@pytest.mark.parametrize("by", ["digest", "file"])
@pytest.mark.parametrize("replicas", [2, 4])
async def test_gateways_in_turn_have_each_image_encoded_once(
    stage: Any, replicas: int, by: str
) -> None:
    models = await stage.replicas("one", replicas)
    stubs = []
    for _ in range(2):
        await stage.serve(*models)
        stubs.append(stage.segment_stub())

    async def user(number: int) -> None:
        image = picture(number)
        for prompt in range(5):
            sent = named(image) if prompt and by == "digest" else image
            request = stage.request(model_id="one", image=sent)
            assert await outcome(stubs[(number + prompt) % 2].Segment(request)) == "OK"

    for first in range(0, 12, 3):
        await asyncio.gather(*map(user, range(first, first + 3)))
    assert sorted(encoder_runs(models).values()) == [1] * 12
    assert sum(bool(model.images) for model in models) > 1


@pytest.mark.parametrize(("replicas", "hashed"), [(1, 0), (2, 1)])
async def test_an_image_is_hashed_once_and_only_for_several_replicas(
    stage: Any, monkeypatch: pytest.MonkeyPatch, replicas: int, hashed: int
) -> None:
    models = [each for name in ("one", "two") for each in await stage.replicas(name, replicas)]
    stub = await stage.serve(*models)
    sha256, count = images._sha256, 0

    async def counted(encoded: bytes) -> bytes:
        nonlocal count
        count += 1
        return await sha256(encoded)

    monkeypatch.setattr(images, "_sha256", counted)
    await stub.Compare(pb.CompareRequest(request=stage.request(), model_ids=["one", "two"]))
    assert count == hashed
    await stage.segment_stub().Segment(stage.request(model_id="one", image=picture(1)))
    assert count == 2 * hashed


async def test_a_file_that_is_at_hand_is_sent_where_nobody_holds_the_digest(stage: Any) -> None:
    models = await stage.replicas("one", 3)
    await stage.serve(*models)
    stub = stage.segment_stub()
    await stub.Segment(stage.request(model_id="one", image=picture(1)))
    for model in models:
        model.images.clear()
    await stub.Segment(stage.request(model_id="one", image=named(picture(1))))
    asked = [(r.image.WhichOneof("source")) for model in models for r in model.requests]
    assert Counter(asked) == {"encoded": 2, "sha256": 3}
    missing = await outcome(stub.Segment(stage.request(model_id="one", image=named(picture(2)))))
    assert missing.startswith("NOT_FOUND")


async def test_replicas_that_end_one_after_the_other_lose_no_call(stage: Any) -> None:
    models = await stage.replicas("one", 2)
    await stage.serve(*models)
    stub = stage.segment_stub()
    for ending, other in (models, models[::-1]):
        releases = [holding(model, PLACES) for model in models]
        images = [stage.request(model_id="one", image=picture(n)) for n in range(60)]
        calls = [asyncio.create_task(outcome(stub.Segment(each, timeout=60))) for each in images]
        await stage.until(lambda: sum(model.running for model in models) == 60)
        assert ending.running > 10
        releases[models.index(other)].set()
        await ending.stop()
        assert Counter(await asyncio.gather(*calls)) == {"OK": 60}
        await ending.start()
        await stage.until(lambda: len(stage.up()) == 2)


async def test_a_crowd_of_new_images_is_shared(stage: Any) -> None:
    models = await stage.replicas("one", 2)
    await stage.serve(*models)
    releases = [holding(model, PLACES) for model in models]
    stub = stage.segment_stub()
    calls = [
        asyncio.create_task(
            outcome(stub.Segment(stage.request(model_id="one", image=picture(n)), timeout=60))
        )
        for n in range(20)
    ]
    # Each new image is first looked for at the replica that it is not for.
    await stage.until(lambda: sum(model.running for model in models) == 20)
    await asyncio.sleep(0.05)
    assert min(model.running for model in models) >= 6
    for release in releases:
        release.set()
    assert Counter(await asyncio.gather(*calls)) == {"OK": 20}


async def test_calls_in_a_black_hole_go_on_elsewhere(stage: Any) -> None:
    gone, other = await stage.replicas("one", 2)
    async with Proxy(gone.port) as proxy:
        endpoints = [Endpoint("one", f"127.0.0.1:{port}") for port in (proxy.port, other.port)]
        await stage.serve(*endpoints, seen=False)
        await stage.until(lambda: len(stage.up()) == 2)
        release = holding(gone, PLACES)
        stub = stage.segment_stub()
        calls = [
            asyncio.create_task(
                outcome(stub.Segment(stage.request(model_id="one", image=picture(n)), timeout=600))
            )
            for n in range(20)
        ]
        await stage.until(lambda: gone.running > 0 and sum(c.done() for c in calls) > 0)
        proxy.swallow()
        proxy.mode = HOLE
        assert Counter(await asyncio.gather(*calls)) == {"OK": 20}
        release.set()


async def test_a_rolling_restart_loses_no_call_and_no_session_of_others(stage: Any) -> None:
    models = await stage.replicas("one", 3)
    for model in models:
        model.session = echo
    await stage.serve(*models)
    stub = stage.segment_stub()
    done, outcomes = asyncio.Event(), Counter[str]()
    sessions = {}
    for _ in models:
        call, model = await opened(stub, models)
        sessions[model.address] = call

    async def work(number: int) -> None:
        while not done.is_set():
            number += 10
            outcomes[
                await outcome(
                    stub.Segment(stage.request(model_id="one", image=picture(number % 50)))
                )
            ] += 1
            await asyncio.sleep(0.001)

    workers = [asyncio.create_task(work(number)) for number in range(4)]
    for model in models[:2]:
        await model.health.set("", NOT_SERVING)
        await stage.until(lambda m=model: m.address not in stage.up())
        await sessions.pop(model.address).done_writing()
        server, model.server = model.server, None
        await server.stop(5)
        await model.start()
        await stage.until(lambda m=model: m.address in stage.up())
        for call in sessions.values():
            assert await echoed(call)
    done.set()
    await asyncio.gather(*workers)
    assert set(outcomes) == {"OK"}


async def test_a_call_waits_for_the_next_replica_of_a_restart(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_GAP_S", "_LATELY_S"):  # so that a slow machine has the time
        monkeypatch.setattr(f"diptych_gateway.backend.replicas.{name}", 30.0)
    models = await stage.replicas("one", 2)
    await stage.serve(*models)
    for model in models:
        await model.stop()
    await stage.until(lambda: not stage.up())
    request = stage.request(model_id="one", image=picture(0))
    call = asyncio.create_task(outcome(stage.segment_stub().Segment(request, timeout=60)))
    await asyncio.sleep(0.2)  # three tries took less
    assert not call.done()
    await models[1].start()
    assert await call == "OK"


async def echo(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
    """Acknowledge each message."""
    async for request in requests:
        yield pb.SegmentVideoResponse(in_reply_to_seq=request.seq, ack=pb.VideoAck())


async def opened(stub: Any, models: list[Any]) -> tuple[Any, Any]:
    """A session, and the model that has it."""
    before = [model.sessions_begun for model in models]
    call = stub.SegmentVideo()
    await call.write(pb.SegmentVideoRequest(seq=1, start=pb.VideoStart(model_id="one")))
    assert (await call.read()).in_reply_to_seq == 1
    now = [model.sessions_begun for model in models]
    (model,) = (m for m, was, n in zip(models, before, now, strict=True) if n > was)
    return call, model


async def echoed(call: Any, seq: int = 2) -> bool:
    await call.write(pb.SegmentVideoRequest(seq=seq, frame=pb.VideoFrame(encoded=b"frame")))
    return bool((await call.read()).in_reply_to_seq == seq)


async def test_sessions_go_where_fewest_are(stage: Any) -> None:
    models = await stage.replicas("one", 3)
    for model in models:
        model.session = echo
    await stage.serve(*models)
    stub = stage.segment_stub()
    calls = [await opened(stub, models) for _ in range(6)]
    assert sorted(model.sessions_begun for model in models) == [2, 2, 2]
    ended, model = calls.pop(3)
    await ended.done_writing()
    assert await ended.read() is grpc.aio.EOF
    assert (await opened(stub, models))[1] is model


@pytest.mark.parametrize("reason", [Reason.SESSION_LIMIT, Reason.QUEUE_FULL, Reason.DRAINING])
async def test_a_session_that_one_refuses_is_opened_at_another(stage: Any, reason: Reason) -> None:
    models = await stage.replicas("one", 2)
    refused = 0

    async def refuse(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        nonlocal refused
        refused += 1
        raise ServiceError(reason, "no more sessions", retry_after_s=1)
        yield

    models[0].session, models[1].session = refuse, echo
    await stage.serve(*models)
    stub = stage.segment_stub()
    while not refused:
        messages = [pb.SegmentVideoRequest(seq=1, start=pb.VideoStart(model_id="one"))]
        messages += [pb.SegmentVideoRequest(seq=n, frame=pb.VideoFrame()) for n in range(2, 9)]
        replies = [reply.in_reply_to_seq async for reply in stub.SegmentVideo(iter(messages))]
        assert replies == list(range(1, 9))
    models[1].session = refuse
    assert await outcome(stub.SegmentVideo(iter(messages)).read()) != "OK"


async def test_who_leaves_the_list_finishes_what_it_has(stage: Any) -> None:
    models = await stage.replicas("one", 2)
    for model in models:
        model.session = echo
    await stage.serve(*models)
    stub = stage.segment_stub()
    (service,) = stage.gateway.registry.services
    call, leaving = await opened(stub, models)
    (staying,) = (model for model in models if model is not leaving)
    releases = [holding(model, PLACES) for model in models]
    calls = [
        asyncio.create_task(outcome(stub.Segment(stage.request(model_id="one", image=picture(n)))))
        for n in range(20)
    ]
    await stage.until(lambda: sum(model.running for model in models) == 20)
    assert leaving.running
    service.set_addresses([staying.address, staying.address])
    assert [replica.address for replica in service.replicas] == [staying.address]
    assert service.in_flight == 21
    for release in releases:
        release.set()
    assert Counter(await asyncio.gather(*calls)) == {"OK": 20}
    assert await echoed(call)
    taken = len(leaving.requests)
    for number in range(20):
        assert (
            await outcome(stub.Segment(stage.request(model_id="one", image=picture(number))))
            == "OK"
        )
    assert len(leaving.requests) == taken
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    await stage.until(lambda: service.in_flight == 0)


async def test_a_model_without_a_replica_says_so(stage: Any) -> None:
    (model,) = await stage.replicas("one", 1)
    await stage.serve(model)
    (service,) = stage.gateway.registry.services
    service.set_addresses([])
    stub = stage.segment_stub()
    said = "UNAVAILABLE model 'one' has no replica: no address of it is known"
    assert await outcome(stub.Segment(stage.request(model_id="one"))) == said
    assert await outcome(stub.GetModelCard(pb.GetModelCardRequest(model_id="one"))) == said
    start = pb.SegmentVideoRequest(seq=1, start=pb.VideoStart(model_id="one"))
    assert await outcome(stub.SegmentVideo(iter([start])).read()) == said
    (known,) = stage.gateway.registry.known_models()
    assert (known.status.message, known.model_card.id) == (said.partition(" ")[2], "one")
    service.set_addresses([model.address])
    await stage.until(lambda: model.address in stage.up())
    assert await outcome(stub.Segment(stage.request(model_id="one"))) == "OK"
