"""Comparisons through a real gateway and real model services."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import grpc
import pytest

from diptych.segment import v1 as pb
from diptych_gateway.backend.images import ImageCache

FOREVER = 3600.0


def codes(reply: Any) -> list[tuple[str, str]]:
    names = {code.value[0]: code.name for code in grpc.StatusCode}
    return [(r.model_id, names[r.error.code]) for r in reply.results]


async def frozen(request: Any, context: Any) -> Any:
    await asyncio.sleep(FOREVER)


async def test_results_stand_in_the_order_asked(stage: Any) -> None:
    one, two, three = [await stage.model(name) for name in ("one", "two", "three")]
    gone = asyncio.Event()

    async def after_the_others(request: Any, context: Any) -> Any:
        await gone.wait()
        return await two.find(request, context)

    async def first(request: Any, context: Any) -> Any:
        gone.set()
        return await one.find(request, context)

    two.answer, one.answer = after_the_others, first
    stub = await stage.serve(one, two, three)
    asked = pb.CompareRequest(request=stage.request(), model_ids=["two", "three", "one"])
    reply = await stub.Compare(asked, timeout=20)
    assert codes(reply) == [("two", "OK"), ("three", "OK"), ("one", "OK")]
    assert [r.response.model_id for r in reply.results] == ["two", "three", "one"]
    assert all(r.HasField("elapsed") for r in reply.results)
    pairs = [(a.model_id_a, a.model_id_b) for a in reply.agreements]
    assert pairs == [("two", "three"), ("two", "one"), ("three", "one")]
    assert [r.model_id for m in (one, two, three) for r in m.requests] == ["one", "two", "three"]


async def test_without_names_asks_by_card_and_whoever_was_never_seen(stage: Any) -> None:
    detector = await stage.model("detector", tasks=[pb.Task.TASK_OBJECT_DETECTION])
    segmenter = await stage.model("segmenter")
    stub = await stage.serve(detector, segmenter, stage.dead_endpoint("ghost"))
    reply = await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=20)
    assert codes(reply) == [("segmenter", "OK"), ("ghost", "UNAVAILABLE")]
    assert detector.requests == []
    assert not reply.agreements


async def test_the_picture_is_kept_once_for_all_models(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, put = [], ImageCache.put

    async def counted(cache: ImageCache, picture: bytes, said: bytes = b"") -> None:
        kept.append(said)
        await put(cache, picture, said)

    monkeypatch.setattr(ImageCache, "put", counted)
    stub = await stage.serve(*[await stage.model(name) for name in ("one", "two", "three")])
    reply = await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=20)
    (digest,) = {result.response.image_sha256 for result in reply.results}
    assert kept == [digest]
    assert await stage.gateway.image_cache.get(digest) == stage.request().image.encoded


async def test_no_model_for_the_task_is_refused(stage: Any) -> None:
    stub = await stage.serve(await stage.model("segmenter"))
    asked = pb.CompareRequest(request=stage.request(task=pb.Task.TASK_KEYPOINT_DETECTION))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Compare(asked, timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_each_failure_stays_in_its_place(stage: Any, reason_of: Any) -> None:
    good, broken = await stage.model("good"), await stage.model("broken")
    detector = await stage.model("detector", tasks=[pb.Task.TASK_OBJECT_DETECTION])

    async def fail(request: Any, context: Any) -> Any:
        raise RuntimeError("secret at 0x7f00 in /app/model.py")

    broken.answer = fail
    stub = await stage.serve(good, broken, detector, stage.dead_endpoint("dead"))
    names = ["dead", "broken", "nobody", "detector", "good"]
    asked = pb.CompareRequest(request=stage.request(), model_ids=names)
    reply = await stub.Compare(asked, timeout=20)
    assert codes(reply) == [
        ("dead", "UNAVAILABLE"),
        ("broken", "INTERNAL"),
        ("nobody", "NOT_FOUND"),
        ("detector", "UNIMPLEMENTED"),
        ("good", "OK"),
    ]
    assert [reason_of(r.error) for r in reply.results] == [
        "MODEL_LOADING",
        "MODEL_FAILED",
        "MODEL_UNKNOWN",
        "TASK_UNSUPPORTED",
        "",
    ]
    assert "good" in reply.results[2].error.message
    assert detector.requests == []
    said = str(reply)
    assert "secret" not in said
    assert "127.0.0.1" not in said


async def test_all_failed_is_still_a_reply(stage: Any) -> None:
    stub = await stage.serve(stage.dead_endpoint("a"), stage.dead_endpoint("b"))
    reply = await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=20)
    assert codes(reply) == [("a", "UNAVAILABLE"), ("b", "UNAVAILABLE")]


async def test_a_frozen_model_leaves_a_partial_reply_by_the_deadline(
    stage: Any, reason_of: Any
) -> None:
    models = [await stage.model(name) for name in ("quick", "stuck", "other")]
    models[1].answer = frozen
    stub = await stage.serve(*models, deadline_reserve_s=0.3)
    # The client's own deadline is the bound: past it there would be no reply at all.
    reply = await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=2.0)
    assert codes(reply) == [("quick", "OK"), ("stuck", "DEADLINE_EXCEEDED"), ("other", "OK")]
    assert reason_of(reply.results[1].error) == "DEADLINE"
    assert [(a.model_id_a, a.model_id_b) for a in reply.agreements] == [("quick", "other")]
    await stage.until(lambda: models[1].running == 0)


async def test_models_get_less_time_than_the_client_gave(stage: Any) -> None:
    model = await stage.model("model")
    stub = await stage.serve(model, default_deadline_s=7.0, max_deadline_s=40.0)
    for timeout in (3.0, 1000.0, None):
        await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=timeout)
    given = model.time_left_s
    assert given[0] < 3.0
    assert given[1] < 40.0
    assert given[2] < 7.0
    assert min(given) > 0


async def test_no_deadline_grows_on_the_way(stage: Any) -> None:
    model = await stage.model("model")
    await stage.serve(model, deadline_reserve_s=0.05)
    stub = stage.segment_stub()
    draw = random.Random(0)
    # gRPC rounds timeouts up to three digits: 12.345 s would arrive as 12.4 s. And it sends an
    # older one that is up to 3 % longer.
    given = [draw.uniform(0.9, 2.0) * 10 ** draw.uniform(0, 2.4) for _ in range(60)]
    for timeout in given:
        await stub.Segment(stage.request(model_id="model"), timeout=timeout)
    for timeout, left in zip(given, model.time_left_s, strict=True):
        assert 0.94 * timeout - 0.2 < left <= timeout - 0.05


@pytest.mark.parametrize("streamed", [False, True])
async def test_nothing_runs_on_when_the_client_leaves(stage: Any, streamed: bool) -> None:
    models = [await stage.model("a"), await stage.model("b")]
    for model in models:
        model.answer = frozen
    stub = await stage.serve(*models)
    asked = pb.CompareRequest(request=stage.request())
    if streamed:
        call = stub.StreamCompare(pb.StreamCompareRequest(compare=asked))
        reading = asyncio.ensure_future(call.read())
    else:
        call = stub.Compare(asked)
        reading = asyncio.ensure_future(call.code())
    await stage.until(lambda: all(model.running == 1 for model in models))
    call.cancel()
    await stage.until(lambda: all(model.running == 0 for model in models))
    await asyncio.gather(reading, return_exceptions=True)
    in_flight = [stage.gateway.registry.model(m.model_id).in_flight for m in models]
    assert in_flight == [0, 0]
    assert [len(m.requests) for m in models] == [1, 1]


async def test_a_stream_that_is_left_unread_ends_too(stage: Any) -> None:
    large, stuck = await stage.model("large"), await stage.model("stuck")

    async def send_much(request: Any, context: Any) -> Any:
        response = await large.find(request, context)
        response.segments[0].low_res_logits.float16_le = bytes(30 * 1024 * 1024)
        return response

    large.answer, stuck.answer = send_much, frozen
    stub = await stage.serve(large, stuck)
    asked = pb.StreamCompareRequest(compare=pb.CompareRequest(request=stage.request()))
    call = stub.StreamCompare(asked)
    await call.initial_metadata()  # the first result is under way, and nobody reads it
    assert stuck.running == 1
    call.cancel()
    await stage.until(lambda: stuck.running == 0)


async def test_a_stream_sends_results_as_they_come_and_agreements_last(stage: Any) -> None:
    slow, quick = await stage.model("slow"), await stage.model("quick")
    read_first = asyncio.Event()

    async def wait_for_the_reader(request: Any, context: Any) -> Any:
        await read_first.wait()
        return await slow.find(request, context)

    slow.answer = wait_for_the_reader
    stub = await stage.serve(slow, quick, stage.dead_endpoint("dead"))
    asked = pb.StreamCompareRequest(compare=pb.CompareRequest(request=stage.request()))
    events = []
    async for event in stub.StreamCompare(asked, timeout=20):
        events.append(event)
        if len(events) == 2:
            read_first.set()
    assert [e.WhichOneof("event") for e in events] == ["result"] * 3 + ["agreements"]
    assert {e.result.model_id for e in events[:2]} == {"quick", "dead"}
    assert events[2].result.model_id == "slow"
    assert len(events[3].agreements.agreements) == 1


async def test_agreement_of_two_models(stage: Any) -> None:
    one, two = await stage.model("one"), await stage.model("two")
    one.boxes = [(0, 0, 10, 10), (20, 20, 40, 40), (60, 0, 70, 10)]
    two.boxes = [(20, 20, 40, 30), (0, 0, 10, 10)]
    stub = await stage.serve(one, two)
    reply = await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=20)
    (agreement,) = reply.agreements
    assert agreement.basis == pb.AgreementBasis.AGREEMENT_BASIS_MASK_IOU
    matches = [(m.index_a, m.index_b, m.iou) for m in agreement.matches]
    assert matches == [(0, 1, 1.0), (1, 0, 0.5)]
    assert (list(agreement.only_a), list(agreement.only_b)) == ([2], [])
    assert agreement.mean_match_iou == 0.75
    assert agreement.foreground_iou == pytest.approx(300 / 600)
    strict = pb.CompareRequest(request=stage.request(), match_iou=0.6)
    (agreement,) = (await stub.Compare(strict, timeout=20)).agreements
    assert [(m.index_a, m.index_b) for m in agreement.matches] == [(0, 1)]
    assert list(agreement.only_b) == [0]


async def test_a_broken_mask_costs_only_its_agreement(stage: Any) -> None:
    models = [await stage.model(name) for name in ("a", "b", "c")]

    async def broken(request: Any, context: Any) -> Any:
        response = await models[1].find(request, context)
        response.segments[0].mask.coco_rle = b"\xff\x00hostile"
        return response

    models[1].answer = broken
    stub = await stage.serve(*models)
    reply = await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=20)
    assert codes(reply) == [("a", "OK"), ("b", "OK"), ("c", "OK")]
    assert reply.results[1].response.segments[0].mask.coco_rle == b"\xff\x00hostile"
    assert [(a.model_id_a, a.model_id_b) for a in reply.agreements] == [("a", "c")]


def _refusals() -> list[tuple[str, dict[str, Any], dict[str, Any], str, str]]:
    invalid, option = "INVALID_ARGUMENT", "OPTION_INVALID"
    video = pb.Task.TASK_VIDEO_SEGMENTATION
    return [
        ("task", {"task": pb.Task.TASK_UNSPECIFIED}, {}, invalid, option),
        ("task", {"task": 99}, {}, invalid, option),
        ("", {"task": video}, {}, "UNIMPLEMENTED", "TASK_UNSUPPORTED"),
        ("request.model_id", {"model_id": "a"}, {}, invalid, option),
        ("model_ids[1]", {}, {"model_ids": ["a", "a"]}, invalid, option),
        ("model_ids[0]", {}, {"model_ids": [""]}, invalid, option),
        ("model_ids", {}, {"model_ids": [f"m{i}" for i in range(65)]}, invalid, option),
        ("match_iou", {}, {"match_iou": 0.0}, invalid, option),
        ("match_iou", {}, {"match_iou": 1.5}, invalid, option),
        ("match_iou", {}, {"match_iou": float("nan")}, invalid, option),
    ]


@pytest.mark.parametrize(("field", "request_fields", "fields", "code", "reason"), _refusals())
async def test_refused_before_any_model_is_asked(
    stage: Any,
    field: str,
    request_fields: dict[str, Any],
    fields: dict[str, Any],
    code: str,
    reason: str,
) -> None:
    model = await stage.model("a")
    stub = await stage.serve(model)
    asked = pb.CompareRequest(request=stage.request(**request_fields), **fields)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Compare(asked, timeout=20)
    assert caught.value.code().name == code
    assert field in str(caught.value.details())
    details = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert reason.encode() in details
    assert model.requests == []
    streamed = stub.StreamCompare(pb.StreamCompareRequest(compare=asked), timeout=20)
    with pytest.raises(grpc.aio.AioRpcError) as again:
        await streamed.read()
    assert again.value.code() is caught.value.code()


async def test_replies_that_do_not_fit_together_lose_the_largest(stage: Any) -> None:
    small, large, larger = [await stage.model(name) for name in ("small", "large", "larger")]

    def sending(model: Any, size: int) -> Any:
        async def answer(request: Any, context: Any) -> Any:
            response = await model.find(request, context)
            response.segments[0].low_res_logits.float16_le = bytes(size)
            return response

        return answer

    large.answer = sending(large, 30 * 1024 * 1024)
    larger.answer = sending(larger, 40 * 1024 * 1024)
    stub = await stage.serve(small, large, larger)
    reply = await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=60)
    assert codes(reply) == [("small", "OK"), ("large", "OK"), ("larger", "RESOURCE_EXHAUSTED")]
