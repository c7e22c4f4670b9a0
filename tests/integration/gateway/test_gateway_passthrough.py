"""Single requests through a real gateway: what passes unchanged, and what is made of failures."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2

from diptych.segment import v1 as pb
from diptych_gateway.backend.images import ImageCache, SentImage
from diptych_gateway.backend.replicas import Replicas
from diptych_gateway.request import Deadline
from diptych_runtime.engine import Reason, ServiceError, Violation

MiB = 1024 * 1024


def rich(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    trailers = dict(error.trailing_metadata() or ())
    return status_pb2.Status.FromString(trailers["grpc-status-details-bin"])


async def test_one_stub_works_on_a_service_and_on_the_gateway(stage: Any) -> None:
    model = await stage.model("one")
    await stage.serve(model, await stage.model("two"))
    replies = []
    for address in (model.address, stage.address):
        stub = stage.segment_stub(address)
        segmented = await stub.Segment(stage.request(model_id="one"), timeout=20)
        card = await stub.GetModelCard(pb.GetModelCardRequest(model_id="one"), timeout=20)
        stats = await stub.GetModelStats(pb.GetModelStatsRequest(model_id="one"), timeout=20)
        replies.append((segmented, card.model_card.id, stats.encoder_run_count))
    assert replies[0] == (replies[1][0], "one", 1)
    assert replies[1][1:] == ("one", 2)


async def test_request_bytes_are_not_touched(stage: Any) -> None:
    # A field that this version of the contract does not know, and fields out of order.
    unknown = bytes([0xF2, 0x2E, 3]) + b"new"
    raw = unknown + stage.request().SerializeToString() + b"\n\x03one"
    model = await stage.model("one")
    await stage.serve(model)
    call = stage.channel(stage.address).unary_unary("/diptych.segment.v1.SegmentService/Segment")
    await call(raw, timeout=20)
    (got,) = model.requests
    assert got == pb.SegmentRequest.FromString(raw)
    assert unknown in got.SerializeToString()


@pytest.mark.parametrize("method", ["Segment", "GetModelCard", "GetModelStats"])
@pytest.mark.parametrize(
    ("model_id", "code", "reason"),
    [("", "INVALID_ARGUMENT", "OPTION_INVALID"), ("three", "NOT_FOUND", "MODEL_UNKNOWN")],
)
async def test_models_must_be_known(
    stage: Any, reason_of: Any, method: str, model_id: str, code: str, reason: str
) -> None:
    await stage.serve(await stage.model("one"), stage.dead_endpoint("two"))
    request = getattr(pb, f"{method}Request")(model_id=model_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(stage.segment_stub(), method)(request, timeout=20)
    assert caught.value.code().name == code
    assert reason_of(rich(caught.value)) == reason
    assert "one, two" in str(caught.value.details())


async def test_bytes_that_are_no_message_are_the_clients_fault(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    for method in ("SegmentService/Segment", "GatewayService/Compare"):
        call = stage.channel(stage.address).unary_unary(f"/diptych.segment.v1.{method}")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff\xff", timeout=20)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_models_own_status_passes_unchanged(stage: Any) -> None:
    model = await stage.model("one")

    async def refuse(request: Any, context: Any) -> Any:
        raise ServiceError(
            Reason.PROMPT_INVALID,
            "prompts[3].box: expected x_min < x_max",
            violations=[Violation("prompts[3].box", "inverted")],
        )

    model.answer = refuse
    await stage.serve(model)
    errors = []
    for address in (model.address, stage.address):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stage.segment_stub(address).Segment(stage.request(model_id="one"), timeout=20)
        errors.append(caught.value)
    direct, passed = errors
    assert (passed.code(), passed.details()) == (direct.code(), direct.details())
    assert rich(passed).details[1] == rich(direct).details[1]
    assert len(rich(passed).details) == len(rich(direct).details)


async def test_a_dead_model_fails_at_once_and_names_no_address(stage: Any, reason_of: Any) -> None:
    await stage.serve(stage.dead_endpoint("one"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        # Without a deadline of its own: if the gateway waited for the model, this would hang.
        await stage.segment_stub().Segment(stage.request(model_id="one"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(rich(caught.value)) == "MODEL_LOADING"
    assert "127.0.0.1" not in str(caught.value.details())


async def test_a_late_model_ends_with_the_deadline_and_is_told(stage: Any) -> None:
    model = await stage.model("one")

    async def frozen(request: Any, context: Any) -> Any:
        await asyncio.sleep(3600)

    model.answer = frozen
    await stage.serve(model, deadline_reserve_s=0.3)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.segment_stub().Segment(stage.request(model_id="one"), timeout=1.5)
    # By the gateway, which is why the status carries details.
    assert rich(caught.value).code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    await stage.until(lambda: model.running == 0)


async def test_a_digest_is_enough_for_a_replica_that_lost_the_picture(stage: Any) -> None:
    model = await stage.model("one", holds_images=False)
    await stage.serve(model)
    stub = stage.segment_stub()
    first = await stub.Segment(stage.request(model_id="one"), timeout=20)
    image = pb.Image(sha256=first.image_sha256)
    point = pb.PointPrompt(x_px=1, y_px=2, label=pb.PointLabel.POINT_LABEL_FOREGROUND)
    prompts = [pb.ObjectPrompt(points=[point])]
    by_digest = stage.request(model_id="one", image=image, prompts=prompts)
    again = await stub.Segment(by_digest, timeout=20)
    assert again.image_sha256 == first.image_sha256
    sources = [r.image.WhichOneof("source") for r in model.requests]
    assert sources == ["encoded", "sha256", "encoded"]
    assert model.requests[2].image.encoded == stage.picture
    assert list(model.requests[2].prompts) == prompts
    assert model.requests[2].model_id == "one"


async def test_a_comparison_fills_the_cache_and_uses_it(stage: Any) -> None:
    holding, losing = await stage.model("holding"), await stage.model("losing", holds_images=False)
    stub = await stage.serve(holding, losing)
    await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=20)
    digest = hashlib.sha256(stage.picture).digest()
    by_digest = stage.request(image=pb.Image(sha256=digest))
    reply = await stub.Compare(pb.CompareRequest(request=by_digest), timeout=20)
    assert [r.WhichOneof("outcome") for r in reply.results] == ["response", "response"]
    assert [r.image.WhichOneof("source") for r in holding.requests] == ["encoded", "sha256"]
    assert [r.image.WhichOneof("source") for r in losing.requests] == [
        "encoded",
        "sha256",
        "encoded",
    ]


async def test_a_digest_that_nobody_holds_comes_back(stage: Any, reason_of: Any) -> None:
    model = await stage.model("one", holds_images=False)
    await stage.serve(model, image_cache_bytes=10)
    stub = stage.segment_stub()
    first = await stub.Segment(stage.request(model_id="one"), timeout=20)
    image = pb.Image(sha256=first.image_sha256)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Segment(stage.request(model_id="one", image=image), timeout=20)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(rich(caught.value)) == "IMAGE_NOT_HELD"


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
async def test_large_requests_are_tried_again(stage: Any, code: grpc.StatusCode) -> None:
    model = await stage.model("one")

    async def third_time(request: Any, context: Any) -> Any:
        if len(model.requests) < 3:
            await context.abort(code, "not now")
        return await model.find(request, context)

    model.answer = third_time
    await stage.serve(model)
    picture = bytes(range(256)) * (8 * MiB // 256)
    request = stage.request(model_id="one", image=pb.Image(encoded=picture))
    reply = await stage.segment_stub().Segment(request, timeout=30)
    assert reply.image_sha256 == hashlib.sha256(picture).digest()
    assert len(model.requests) == 3
    assert all(r.image.encoded == picture for r in model.requests)


async def test_cancelled_by_the_server_is_unavailable(stage: Any, reason_of: Any) -> None:
    model = await stage.model("one")

    async def cancel(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.CANCELLED, "going")

    model.answer = cancel
    await stage.serve(model)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.segment_stub().Segment(stage.request(model_id="one"), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(rich(caught.value)) == "MODEL_LOADING"


async def test_a_refusal_is_not_tried_again(stage: Any) -> None:
    model = await stage.model("one")

    async def refuse(request: Any, context: Any) -> Any:
        raise ServiceError(Reason.QUEUE_FULL, "full", retry_after_s=1.0)

    model.answer = refuse
    await stage.serve(model)
    with pytest.raises(grpc.aio.AioRpcError):
        await stage.segment_stub().Segment(stage.request(model_id="one"), timeout=20)
    assert len(model.requests) == 1


async def test_messages_at_the_limit_pass_and_above_it_are_refused(stage: Any) -> None:
    limit = 32 * MiB
    model = await stage.model("one")
    await stage.serve(model)
    stub = stage.segment_stub()
    empty = stage.request(model_id="one", image=pb.Image(encoded=bytes(limit - 1000)))
    room = limit - empty.ByteSize()
    fits = stage.request(model_id="one", image=pb.Image(encoded=bytes(limit - 1000 + room)))
    assert fits.ByteSize() == limit
    await stub.Segment(fits, timeout=60)
    over = stage.request(model_id="one", image=pb.Image(encoded=bytes(limit - 1000 + room + 1)))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Segment(over, timeout=60)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(model.requests) == 1


async def test_too_many_waiting_requests_are_refused(stage: Any, reason_of: Any) -> None:
    model = await stage.model("one")
    release = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        await release.wait()
        return await model.find(request, context)

    model.answer = wait
    await stage.serve(model, in_flight_requests=2)
    stub = stage.segment_stub()
    waiting = [
        asyncio.ensure_future(stub.Segment(stage.request(model_id="one"), timeout=30))
        for _ in range(2)
    ]
    await stage.until(lambda: model.running == 2)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Segment(stage.request(model_id="one"), timeout=20)
    assert reason_of(rich(caught.value)) == "QUEUE_FULL"
    release.set()
    for call in waiting:
        assert (await call).model_id == "one"


async def test_a_channel_closed_under_a_call_is_an_error_not_a_cancellation(stage: Any) -> None:
    model = await stage.model("one")

    async def frozen(request: Any, context: Any) -> Any:
        await asyncio.sleep(3600)

    model.answer = frozen
    replicas = Replicas("one", [model.address])
    request = stage.request(model_id="one").SerializeToString()
    image = SentImage(stage.request().image, ImageCache(0))
    deadline = Deadline(time.monotonic() + 30, 0.0)
    calling = asyncio.ensure_future(replicas.segment(request, image, deadline))
    await stage.until(lambda: model.running == 1)
    await replicas.close()
    with pytest.raises(ServiceError) as caught:
        await calling
    assert caught.value.reason is Reason.MODEL_LOADING
    assert replicas.in_flight == 0
