"""Two models as one: through a real gateway, with real model services behind it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
from serving_helpers import error_info

from diptych import Mask
from diptych.segment import v1 as pb
from diptych_gateway.settings import Pair
from diptych_runtime.engine import Reason, ServiceError, Violation

SIZE = (60, 80)
FOREVER = 3600.0
FOUND = {"cat": (10, 10, 30, 30), "dog": (40, 20, 70, 50), "cow": (2, 40, 22, 56)}
Box = tuple[int, int, int, int]


def filled(box: Box) -> Mask:
    x0, y0, x1, y1 = box
    return Mask.from_crop(np.ones((y1 - y0, x1 - x0), bool), x0, y0, SIZE)


def inner(box: Box) -> Box:
    """What the segmenter here draws in a box: its left half."""
    x0, y0, x1, y1 = box
    return x0, y0, (x0 + x1) // 2, y1


def segment(box: Box, **fields: Any) -> pb.Segment:
    mask = filled(box)
    edges = dict(zip(("x_min_px", "y_min_px", "x_max_px", "y_max_px"), box, strict=True))
    return pb.Segment(
        mask=pb.Mask(coco_rle=mask.to_coco()),
        box=pb.BoundingBox(**edges),
        area_px=mask.area,
        **fields,
    )


@dataclass
class Cast:
    """A detector that knows three animals, a segmenter that halves boxes, a gateway for both."""

    stage: Any
    detector: Any
    segmenter: Any
    stub: Any

    async def ask(self, *, timeout: float = 20.0, **fields: Any) -> Any:
        request = self.stage.request(model_id="finder-drawer", **fields)
        return await self.stub.Segment(request, timeout=timeout)

    async def refused(self, **fields: Any) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.ask(**fields)
        return caught.value


@pytest.fixture
async def cast(stage: Any) -> Cast:
    return await hired(stage)


async def hired(stage: Any, max_prompts: int = 64, **settings: Any) -> Cast:
    detector = await stage.model("finder")
    segmenter = await stage.model("drawer", tasks=[stage.prompted])
    detector.more_of_card.categories.add(id=7, name="cat")
    segmenter.more_of_card.prompt_kinds.append(pb.PromptKind.PROMPT_KIND_BOX)
    segmenter.more_of_card.limits.max_prompts = max_prompts

    async def find(request: Any, context: Any) -> Any:
        reply = await detector.find(request, context)
        del reply.segments[:]
        for number, (label, box) in enumerate(FOUND.items()):
            reply.segments.append(
                segment(box, label=label, category_id=number + 7, score=0.9 - number / 10)
            )
        reply.omitted_segment_count = 4
        reply.provenance.add(model_id="finder", weights="eyes", image_cache_hit=True)
        reply.timings.predict.FromMilliseconds(30)
        reply.timings.total.FromMilliseconds(40)
        return reply

    async def draw(request: Any, context: Any) -> Any:
        reply = await segmenter.find(request, context)
        del reply.segments[:]
        for index, prompt in enumerate(request.prompts):
            edges = prompt.box
            box = [edges.x_min_px, edges.y_min_px, edges.x_max_px, edges.y_max_px]
            drawn = segment(inner(tuple(map(int, box))), score=0.25, prompt_index=index)
            drawn.candidate_index = 0
            reply.segments.append(drawn)
        reply.provenance.add(model_id="drawer", weights="hand")
        reply.timings.predict.FromMilliseconds(5)
        reply.timings.total.FromMilliseconds(7)
        return reply

    detector.answer, segmenter.answer = find, draw
    await stage.serve(detector, segmenter, cascades=(Pair("finder", "drawer"),), **settings)
    return Cast(stage, detector, segmenter, stage.segment_stub())


def answered(reply: Any) -> list[tuple[str, Mask]]:
    return [(s.label, Mask.from_coco(s.mask.coco_rle, SIZE)) for s in reply.segments]


async def test_labels_of_the_first_and_outlines_of_the_second(cast: Cast) -> None:
    reply = await cast.ask()
    assert answered(reply) == [(label, filled(inner(box))) for label, box in FOUND.items()]
    assert [s.category_id for s in reply.segments] == [7, 8, 9]
    assert [s.score for s in reply.segments] == pytest.approx([0.9, 0.8, 0.7])
    assert [s.source_iou for s in reply.segments] == pytest.approx([0.5, 0.5, 0.5])
    assert [s.area_px for s in reply.segments] == [filled(inner(b)).area for b in FOUND.values()]
    assert [s.box.x_max_px for s in reply.segments] == [20, 55, 12]
    assert not any(
        s.HasField("prompt_index") or s.HasField("candidate_index") for s in reply.segments
    )
    assert reply.model_id == "finder-drawer"
    assert reply.omitted_segment_count == 4
    assert reply.image_sha256
    assert reply.request_id
    assert [(p.model_id, p.weights) for p in reply.provenance] == [
        ("finder", "eyes"),
        ("drawer", "hand"),
    ]
    assert reply.timings.predict.ToMilliseconds() == 35
    assert reply.timings.total.ToMilliseconds() == 47


async def test_what_each_of_both_is_asked(cast: Cast) -> None:
    output = pb.OutputOptions(
        min_score=0.25,
        max_segments=9,
        category_ids=[7],
        mask_encoding=pb.MaskEncoding.MASK_ENCODING_PNG,
        all_candidates=True,
        low_res_logits=True,
    )
    await cast.ask(output=output)
    (finding,), (first, drawing) = cast.detector.requests, cast.segmenter.requests
    assert finding.model_id == "finder"
    assert finding.image.encoded == cast.stage.picture
    assert finding.output.min_score == 0.25
    assert finding.output.max_segments == 9
    assert list(finding.output.category_ids) == [7]
    assert finding.output.mask_encoding == pb.MaskEncoding.MASK_ENCODING_COCO_RLE
    # By digest first: after a comparison the segmenter has the picture already.
    assert first.image.WhichOneof("source") == "sha256"
    assert drawing.image.encoded == cast.stage.picture
    assert drawing.model_id == "drawer"
    assert drawing.task == pb.Task.TASK_PROMPTED_SEGMENTATION
    assert [p.box.x_min_px for p in drawing.prompts] == [10, 40, 2]
    assert not any(p.points or p.HasField("mask") for p in drawing.prompts)
    assert drawing.output.low_res_logits
    assert not drawing.output.all_candidates
    assert not drawing.output.HasField("min_score")


async def test_a_picture_that_the_second_holds_is_not_sent_again(cast: Cast) -> None:
    await cast.ask()
    before = len(cast.segmenter.requests)
    await cast.ask()
    (request,) = cast.segmenter.requests[before:]
    assert request.image.WhichOneof("source") == "sha256"


@pytest.mark.parametrize("kept", [0, 1 << 20])
async def test_a_digest_that_only_the_first_holds(stage: Any, kept: int) -> None:
    cast = await hired(stage, image_cache_bytes=kept)
    reply = await cast.ask()
    cast.segmenter.images.clear()
    by_digest = pb.Image(sha256=reply.image_sha256)
    if kept:
        assert answered(await cast.ask(image=by_digest)) == answered(reply)
        assert cast.segmenter.requests[-1].image.encoded == stage.picture
        return
    # Nobody but the client can help here, and its SDK does: it sends the bytes.
    error = await cast.refused(image=by_digest)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error_info(error).reason == "IMAGE_NOT_HELD"


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (0, [3])])
async def test_boxes_are_asked_in_as_many_requests_as_they_need(
    stage: Any, limit: int, sizes: list[int]
) -> None:
    cast = await hired(stage, max_prompts=limit)
    reply = await cast.ask()
    assert answered(reply) == [(label, filled(inner(box))) for label, box in FOUND.items()]
    # The first one, by digest, was refused: this segmenter had not seen the picture.
    assert [len(request.prompts) for request in cast.segmenter.requests[1:]] == sizes
    assert [p.model_id for p in reply.provenance] == ["finder", "drawer"]
    assert reply.timings.predict.ToMilliseconds() == 30 + 5 * len(sizes)


async def test_nothing_found_is_an_empty_answer_and_the_second_rests(cast: Cast) -> None:
    cast.detector.boxes, cast.detector.answer = [], cast.detector.find
    reply = await cast.ask()
    assert not reply.segments
    assert (reply.image_size.height_px, reply.image_size.width_px) == SIZE
    assert reply.model_id == "finder-drawer"
    assert cast.segmenter.requests == []


async def test_a_box_that_leaves_the_picture_is_cut_and_one_that_is_none_is_left(
    cast: Cast,
) -> None:
    whole = segment((0, 0, 80, 60), label="all")
    whole.box.x_min_px, whole.box.y_max_px = -3.5, 60.001
    without = segment((5, 5, 9, 9), label="bare")
    without.ClearField("box")
    cast.detector.boxes = []

    async def find(request: Any, context: Any) -> Any:
        reply = await cast.detector.find(request, context)
        reply.segments.extend([without, whole])
        return reply

    cast.detector.answer = find
    reply = await cast.ask()
    (prompt,) = cast.segmenter.requests[-1].prompts
    edges = prompt.box
    assert (edges.x_min_px, edges.y_min_px, edges.x_max_px, edges.y_max_px) == (0, 0, 80, 60)
    assert answered(reply) == [("bare", filled((5, 5, 9, 9))), ("all", filled((0, 0, 40, 60)))]
    assert [s.HasField("source_iou") for s in reply.segments] == [False, True]


@pytest.mark.parametrize("name", ["PNG", "POLYGONS", "NONE"])
async def test_masks_come_as_they_were_asked_for(cast: Cast, name: str) -> None:
    encoding = pb.MaskEncoding.Value(f"MASK_ENCODING_{name}")
    reply = await cast.ask(output=pb.OutputOptions(mask_encoding=encoding))
    wanted = [filled(inner(box)) for box in FOUND.values()]
    assert [s.area_px for s in reply.segments] == [mask.area for mask in wanted]
    assert [s.source_iou for s in reply.segments] == pytest.approx([0.5] * 3)
    if name == "PNG":
        assert [Mask.from_png(s.mask.png) for s in reply.segments] == wanted
    elif name == "POLYGONS":
        rings = [[list(r.xy_px) for r in s.mask.polygons.rings] for s in reply.segments]
        assert [Mask.from_polygons(r, SIZE) for r in rings] == wanted
    else:
        assert not any(s.HasField("mask") for s in reply.segments)


@pytest.mark.parametrize("part", ["detector", "segmenter"])
async def test_errors_keep_code_and_reason_and_name_the_model(cast: Cast, part: str) -> None:
    model = getattr(cast, part)

    async def refuse(request: Any, context: Any) -> Any:
        violation = Violation("image", "too wide")
        metadata = {"side": "9"}
        raise ServiceError(
            Reason.IMAGE_SHAPE, "image: too wide", metadata=metadata, violations=[violation]
        )

    model.answer = refuse
    error = await cast.refused()
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == f"{model.model_id}: image: too wide"
    info = error_info(error)
    assert info.reason == "IMAGE_SHAPE"
    assert info.metadata["modelId"] == model.model_id
    assert info.metadata["side"] == "9"


@pytest.mark.parametrize("part", ["detector", "segmenter"])
async def test_one_that_is_away_makes_both_unavailable(cast: Cast, part: str) -> None:
    model = getattr(cast, part)
    await model.stop()
    await cast.stage.until(lambda: model.model_id not in cast.stage.reachable())
    error = await cast.refused()
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(error).reason == "MODEL_LOADING"
    assert error_info(error).metadata["modelId"] == model.model_id
    listed = (await cast.stage.compare_stub().ListModelCards(pb.ListModelCardsRequest())).models
    known = {m.model_id: m for m in listed}["finder-drawer"]
    assert known.status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert known.model_card.id == "finder-drawer"
    for call, asked in (
        (cast.stub.GetModelCard, pb.GetModelCardRequest(model_id="finder-drawer")),
        (cast.stub.GetModelStats, pb.GetModelStatsRequest(model_id="finder-drawer")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(asked, timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await model.start()
    await cast.stage.until(lambda: "finder-drawer" in cast.stage.reachable())
    assert len((await cast.ask()).segments) == 3


async def test_one_that_was_never_seen(stage: Any) -> None:
    detector = await stage.model("finder")
    pair = Pair("finder", "drawer")
    await stage.serve(detector, stage.dead_endpoint("drawer"), cascades=(pair,))
    stub = stage.segment_stub()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Segment(stage.request(model_id="finder-drawer"), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(caught.value).metadata["modelId"] == "drawer"
    assert detector.requests == []
    # Its card was never seen, so it is asked wherever nobody is named.
    reply = await stage.compare_stub().Compare(pb.CompareRequest(request=stage.request()))
    assert [r.model_id for r in reply.results] == ["finder", "drawer", "finder-drawer"]


async def test_one_deadline_over_both(stage: Any) -> None:
    # The gateway must answer before gRPC does it in the client, also on a busy machine.
    cast = await hired(stage, deadline_reserve_s=0.5)
    draw = cast.segmenter.answer

    async def slow_find(request: Any, context: Any, find: Any = cast.detector.answer) -> Any:
        await asyncio.sleep(1.0)
        return await find(request, context)

    async def stuck(request: Any, context: Any) -> Any:
        await asyncio.sleep(FOREVER)

    cast.detector.answer = slow_find
    await cast.ask(timeout=20.0)
    # What the first took is not given to the second.
    assert cast.segmenter.time_left_s[-1] < cast.detector.time_left_s[-1] - 0.5
    cast.segmenter.answer = stuck
    error = await cast.refused(timeout=3.0)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error_info(error).metadata["modelId"] == "drawer"
    await cast.stage.until(lambda: cast.segmenter.running == 0)
    cast.segmenter.answer = draw
    assert len((await cast.ask()).segments) == 3


@pytest.mark.parametrize("part", ["detector", "segmenter"])
async def test_nothing_runs_on_when_the_client_leaves(cast: Cast, part: str) -> None:
    model = getattr(cast, part)

    async def stuck(request: Any, context: Any) -> Any:
        await asyncio.sleep(FOREVER)

    model.answer = stuck
    call = asyncio.ensure_future(cast.ask())
    await cast.stage.until(lambda: model.running == 1)
    call.cancel()
    await cast.stage.until(lambda: model.running == 0)
    cascade = cast.stage.gateway.registry.model("finder-drawer")
    await cast.stage.until(lambda: cascade.in_flight == 0)


@pytest.mark.parametrize(
    "broken",
    [
        pb.SegmentResponse(),
        pb.SegmentResponse(image_size=pb.ImageSize(height_px=60, width_px=80)),
        pb.SegmentResponse(
            image_size=pb.ImageSize(height_px=60, width_px=80),
            segments=[pb.Segment(prompt_index=0, mask=pb.Mask(coco_rle=b"!!"))],
        ),
    ],
)
async def test_an_answer_that_is_none_is_the_fault_of_that_model(cast: Cast, broken: Any) -> None:
    async def answer(request: Any, context: Any) -> Any:
        return broken

    cast.segmenter.answer = answer
    error = await cast.refused()
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error_info(error).reason == "MODEL_FAILED"
    assert error_info(error).metadata["modelId"] == "drawer"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"task": pb.Task.TASK_OBJECT_DETECTION}, "UNIMPLEMENTED"),
        ({"task": pb.Task.TASK_PROMPTED_SEGMENTATION}, "UNIMPLEMENTED"),
        ({"task": pb.Task.TASK_UNSPECIFIED}, "INVALID_ARGUMENT"),
        ({"task": 77}, "INVALID_ARGUMENT"),
        ({"output": pb.OutputOptions(mask_encoding=99)}, "INVALID_ARGUMENT"),
    ],
)
async def test_what_it_cannot_do_is_refused_before_any_work(
    cast: Cast, fields: dict[str, Any], code: str
) -> None:
    error = await cast.refused(**fields)
    assert error.code().name == code
    assert error_info(error).reason
    assert cast.detector.requests == []


async def test_two_that_do_not_fit_do_no_task_and_say_why(stage: Any) -> None:
    one, two = await stage.model("one"), await stage.model("two")
    stub = await stage.serve(one, two, cascades=(Pair("one", "two"),))
    models = (await stub.ListModelCards(pb.ListModelCardsRequest(), timeout=20)).models
    assert [list(m.model_card.tasks) for m in models] == [[stage.instance]] * 2 + [[]]
    request = stage.request(model_id="one-two")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.segment_stub().Segment(request, timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "two does not outline what is in a box" in caught.value.details()
    reply = await stub.Compare(pb.CompareRequest(request=stage.request()), timeout=20)
    assert [r.model_id for r in reply.results] == ["one", "two"]


async def test_video_is_not_its_task(cast: Cast) -> None:
    start = pb.SegmentVideoRequest(start=pb.VideoStart(model_id="finder-drawer"))
    call = cast.stub.SegmentVideo(iter([start]), timeout=20)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert error_info(caught.value).reason == "TASK_UNSUPPORTED"


async def test_its_card_is_as_new_as_those_of_both(stage: Any) -> None:
    cast = await hired(stage, card_refresh_s=0.05)

    async def card() -> Any:
        request = pb.GetModelCardRequest(model_id="finder-drawer")
        return (await cast.stub.GetModelCard(request, timeout=20)).model_card

    first = await card()
    assert (first.id, list(first.tasks)) == ("finder-drawer", [stage.instance])
    cast.segmenter.more_of_card.display_name = "Renamed"
    while "Renamed" not in (now := await card()).display_name:
        await asyncio.sleep(0.01)
    assert now.parameter_count > first.parameter_count


async def test_it_counts_what_it_did(cast: Cast) -> None:
    await cast.ask()
    await cast.refused(task=pb.Task.TASK_UNSPECIFIED)
    request = pb.GetModelStatsRequest(model_id="finder-drawer")
    stats = await cast.stub.GetModelStats(request, timeout=20)
    counts = {outcome.outcome: outcome.count for outcome in stats.outcomes}
    assert counts == {"OK": 1, "INVALID_ARGUMENT": 1}
    predicted = {s.stage: s.total.ToMilliseconds() for s in stats.stages}["predict"]
    assert predicted == 35
    figures = (await cast.stage.http().get("/metrics")).text
    assert 'diptych_model_up{model="finder-drawer"} 1.0' in figures
    assert 'diptych_model_requests_total{code="OK",model="finder-drawer"} 1.0' in figures


async def test_too_many_at_a_time_are_refused(stage: Any) -> None:
    cast = await hired(stage, in_flight_requests=1)
    cascade = stage.gateway.registry.model("finder-drawer")
    release = asyncio.Event()
    draw = cast.segmenter.answer

    async def wait(request: Any, context: Any) -> Any:
        await release.wait()
        return await draw(request, context)

    cast.segmenter.answer = wait
    running = asyncio.ensure_future(cast.ask())
    await stage.until(lambda: cast.segmenter.running == 1)
    assert cascade.in_flight == 1
    error = await cast.refused()
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_info(error).metadata["modelId"] == "finder-drawer"
    release.set()
    assert len((await running).segments) == 3


async def test_in_a_comparison_it_stands_beside_the_others(cast: Cast) -> None:
    stub = cast.stage.compare_stub()
    asked = pb.CompareRequest(request=cast.stage.request())
    reply = await stub.Compare(asked, timeout=20)
    assert [r.model_id for r in reply.results] == ["finder", "finder-drawer"]
    (agreement,) = reply.agreements
    assert (agreement.model_id_a, agreement.model_id_b) == ("finder", "finder-drawer")
    assert [(m.index_a, m.index_b) for m in agreement.matches] == [(0, 0), (1, 1), (2, 2)]
    assert agreement.mean_match_iou == pytest.approx(0.5)
    asked = pb.StreamCompareRequest(compare=asked)
    events = [event async for event in stub.StreamCompare(asked, timeout=20)]
    assert {e.result.model_id for e in events[:-1]} == {"finder", "finder-drawer"}
    assert len(events[-1].agreements.agreements) == 1


async def test_over_http(cast: Cast) -> None:
    http = cast.stage.http()
    models = (await http.get("/api/models")).json()
    assert [m["model_id"] for m in models] == ["finder", "drawer", "finder-drawer"]
    one = (await http.get("/api/models/finder-drawer")).json()
    assert one["card"]["tasks"] == ["instance-segmentation"]
    form = cast.stage.form(model="finder-drawer")
    reply = await http.post("/api/segment", **form)
    assert reply.status_code == 200
    segments = reply.json()["segments"]
    assert [s["label"] for s in segments] == list(FOUND)
    assert [s["source_iou"] for s in segments] == pytest.approx([0.5] * 3)
    streamed = await http.post("/api/compare/stream", **cast.stage.form())
    outcomes = [
        json.loads(line.removeprefix("data: "))
        for line in streamed.text.splitlines()
        if line.startswith("data: {")
    ]
    assert {o["model_id"] for o in outcomes} == {"finder", "finder-drawer"}
    ready = (await http.get("/readyz")).json()
    assert ready["models"] == ["finder", "drawer", "finder-drawer"]
