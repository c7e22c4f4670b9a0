"""What an answer holds, and what is told beside it: health, reflection, card, counters, logs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import grpc
import numpy as np
import picture_files
import pytest
import pytest_asyncio
import structlog
from fake_engine import WRONG, watermark
from gates import fresh
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from impossible import IMPOSSIBLE
from serving_helpers import (
    automatic_request,
    error_info,
    error_of,
    outcomes,
    picture,
    png,
    point_request,
    running_service,
    stats,
    stub_of,
)

from diptych import Mask
from diptych.segment import v1 as pb
from diptych_runtime import logs
from diptych_runtime.ipc.pipe import Incoming

pytestmark = pytest.mark.asyncio(loop_scope="module")

Stub = pb.SegmentServiceStub
SIZE = (48, 64)
STAGES = ("queue", "decode", "encode", "predict", "postprocess")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def port() -> AsyncIterator[int]:
    async with running_service() as service:
        yield service.port


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stub(port: int) -> AsyncIterator[Stub]:
    async with stub_of(port) as stub:
        yield stub


def seconds(duration: Duration) -> float:
    return duration.ToNanoseconds() / 1e9


async def test_an_answer_says_where_it_comes_from(stub: Stub) -> None:
    pixels = fresh()
    answer = await stub.Segment(point_request(png(pixels)))
    assert answer.model_id == "fake"
    assert (answer.image_size.height_px, answer.image_size.width_px) == SIZE
    assert answer.segments[0].label == watermark(pixels)
    assert answer.segments[0].prompt_index == 0
    assert answer.request_id
    provenance = answer.provenance[0]
    assert (provenance.model_id, provenance.weights, provenance.tier) == ("fake", "fake", "exact")
    assert (provenance.device, provenance.dtype, provenance.software) == ("cpu", "float32", "none")
    assert provenance.weights_sha256 == bytes(32)


async def test_stages_add_up_to_the_total(stub: Stub) -> None:
    for request in (point_request(png(fresh())), automatic_request(png(fresh()))):
        timings = (await stub.Segment(request)).timings
        parts = [seconds(getattr(timings, stage)) for stage in STAGES]
        assert all(part >= 0 for part in parts)
        assert sum(parts) == pytest.approx(seconds(timings.total), abs=1e-6)
        assert seconds(timings.decode) > 0


async def test_encodings_agree(stub: Stub) -> None:
    encoded = png(fresh())
    found = {}
    for name in ("UNSPECIFIED", "COCO_RLE", "PNG", "POLYGONS", "NONE"):
        request = point_request(encoded, 20, 30)
        request.output.mask_encoding = pb.MaskEncoding.Value(f"MASK_ENCODING_{name}")
        found[name] = (await stub.Segment(request)).segments[0]
    assert found["UNSPECIFIED"] == found["COCO_RLE"]
    mask = Mask.from_coco(found["COCO_RLE"].mask.coco_rle, SIZE)
    assert mask.area == found["COCO_RLE"].area_px == 64
    assert Mask.from_png(found["PNG"].mask.png) == mask
    rings = [np.array(r.xy_px).reshape(-1, 2) for r in found["POLYGONS"].mask.polygons.rings]
    assert Mask.from_polygons(rings, SIZE) == mask
    assert not found["NONE"].HasField("mask")
    assert found["NONE"].box == found["PNG"].box
    assert found["NONE"].area_px == 64


async def test_several_prompts_and_a_limit(stub: Stub) -> None:
    request = point_request(png(fresh()))
    for x in (20, 30):
        point = request.prompts.add().points.add(x_px=x, y_px=20)
        point.label = pb.PointLabel.POINT_LABEL_FOREGROUND
    answer = await stub.Segment(request)
    assert [segment.prompt_index for segment in answer.segments] == [0, 1, 2]
    request.output.max_segments = 2
    answer = await stub.Segment(request)
    assert (len(answer.segments), answer.omitted_segment_count) == (2, 1)


async def test_a_damaged_file_is_answered_with_a_warning_each_time(stub: Stub) -> None:
    damaged = dict(picture_files.damaged())
    for name in ("baseline-without-end.jpg", "text-checksum.png", "cut-in-metadata.webp"):
        request = point_request(damaged[name])
        first = await stub.Segment(request)
        (warning,) = first.warnings
        assert "file is damaged (" in warning, name
        request.image.sha256 = first.image_sha256
        assert list((await stub.Segment(request)).warnings) == [warning], name
    cut = dict(picture_files.missing())["baseline-20-bytes-less.jpg"]
    error = await error_of(stub.Segment(point_request(cut)))
    assert error_info(error).reason == "IMAGE_UNREADABLE"
    assert not (await stub.Segment(point_request(png(fresh())))).warnings


async def test_masks_and_logits_of_an_answer_are_prompts(stub: Stub) -> None:
    encoded = png(fresh())
    request = point_request(encoded)
    request.output.low_res_logits = True
    first = (await stub.Segment(request)).segments[0]
    refined = point_request(encoded)
    refined.prompts[0].mask.low_res_logits.CopyFrom(first.low_res_logits)
    assert (await stub.Segment(refined)).segments
    alone = point_request(encoded)
    alone.prompts[0].Clear()
    alone.prompts[0].mask.mask.CopyFrom(first.mask)
    assert (await stub.Segment(alone)).segments


async def test_points_and_boxes_on_the_edge_are_inside(stub: Stub) -> None:
    request = point_request(png(fresh()), x=64, y=48)
    request.prompts.add().box.CopyFrom(pb.BoundingBox(x_max_px=64, y_max_px=48))
    assert len((await stub.Segment(request)).segments) == 2


async def test_the_model_id_may_be_given(stub: Stub) -> None:
    request = point_request(png(fresh()))
    request.model_id = "fake"
    assert (await stub.Segment(request)).segments
    card = (await stub.GetModelCard(pb.GetModelCardRequest(model_id="fake"))).model_card
    assert card.limits.max_prompts == 256


async def test_every_call_is_counted_once() -> None:
    began = datetime.now(UTC)
    async with running_service() as service, stub_of(service.port) as stub:
        for _ in range(3):
            await stub.Segment(point_request(png(fresh())))
        for _ in range(2):
            await error_of(stub.Segment(point_request(b"no picture")))
        keypoints = automatic_request(png(fresh()))
        keypoints.task = pb.Task.TASK_KEYPOINT_DETECTION
        await error_of(stub.Segment(keypoints))
        await stub.GetModelCard(pb.GetModelCardRequest())
        now = await stats(stub)
        assert outcomes(now) == {"OK": 3, "INVALID_ARGUMENT": 2, "UNIMPLEMENTED": 1}
        assert {stage.stage: stage.count for stage in now.stages} == dict.fromkeys(
            (*STAGES, "total"), 3
        )
        assert (now.encoder_run_count, now.held_image_count) == (3, 3)
        assert [(one.size, one.answer_count) for one in now.batch_sizes] == [(1, 3)]
        (times,) = now.answer_times
        assert (times.task, times.image_held, times.count) == (
            pb.Task.TASK_PROMPTED_SEGMENTATION,
            False,
            3,
        )
        assert 0 < times.p50.ToNanoseconds() <= times.p95.ToNanoseconds()
        assert now.device.startswith("cpu")
        assert 0 < now.engine_memory_bytes <= now.engine_peak_memory_bytes
        assert now.device_peak_memory_bytes == 0
        assert began <= now.counting_since.ToDatetime(UTC) <= datetime.now(UTC)
        assert (now.running_count, now.queue_length, now.engine_restart_count) == (0, 0, 0)


@pytest.mark.parametrize("service", ["", "diptych.segment.v1.SegmentService"])
async def test_health(port: int, service: str) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        error = await error_of(health.Check(health_pb2.HealthCheckRequest(service="other")))
        assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_health_says_when_the_model_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_LOAD_S", "0.5")
    from diptych_runtime.front.service import ModelService
    from diptych_runtime.settings import RuntimeSettings

    service = ModelService("fake_engine:create", RuntimeSettings(drain_s=1), port=0)
    port = await service.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = aiter(health.Watch(health_pb2.HealthCheckRequest()))
        assert (await anext(watch)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        error = await error_of(pb.SegmentServiceStub(channel).Segment(point_request(b"x")))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert error_info(error).reason == "MODEL_LOADING"
        assert (await anext(watch)).status == health_pb2.HealthCheckResponse.SERVING
        assert (await pb.SegmentServiceStub(channel).Segment(point_request(png(fresh())))).segments
        await service.stop()
        assert (await anext(watch)).status == health_pb2.HealthCheckResponse.NOT_SERVING


async def listed(port: int) -> set[str]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answer = await anext(aiter(stub.ServerReflectionInfo(iter([request]))))
        return {service.name for service in answer.list_services_response.service}


async def test_reflection_is_a_setting(port: int) -> None:
    assert await listed(port) >= {"diptych.segment.v1.SegmentService", "grpc.health.v1.Health"}
    async with running_service(reflection=False) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await listed(service.port)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_one_log_line_for_each_request(
    stub: Stub, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", service="fake")
    try:
        answer = await stub.Segment(point_request(png(fresh())))
        error = await error_of(stub.Segment(point_request(b"no picture")))
        await test_health(port, "")
        await listed(port)
    finally:
        structlog.reset_defaults()
    logs.flush()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    good, bad = (line for line in lines if line["event"] == "request")
    assert (good["method"], good["code"]) == ("Segment", "OK")
    assert good["request_id"] == answer.request_id
    assert good["total_ms"] > 0
    assert (bad["code"], bad["reason"]) == ("INVALID_ARGUMENT", "IMAGE_UNREADABLE")
    assert bad["request_id"] == error_info(error).metadata["requestId"]


async def test_a_quick_answer_is_all_that_the_engine_says() -> None:
    async with running_service() as service, stub_of(service.port) as stub:
        engine = service.supervisor.engine
        assert engine
        pipe, said = engine._pipe, list[str]()
        deliver = pipe._deliver

        def note(incoming: Incoming) -> None:
            assert not isinstance(incoming, Exception)
            said.append(incoming[0]["op"])
            deliver(incoming)

        pipe.listen(note)
        for _ in range(3):
            await asyncio.sleep(0.3)  # longer than an engine at work is silent
            await stub.Segment(point_request(png(fresh())))
        pipe.listen(deliver)
        assert said == ["done"] * 3


@pytest.mark.parametrize("wrong", IMPOSSIBLE)
async def test_what_cannot_be_so_is_a_fault_of_the_engine(
    stub: pb.SegmentServiceStub, wrong: str
) -> None:
    request = automatic_request(png(picture(WRONG)))
    request.output.max_segments = list(IMPOSSIBLE).index(wrong) + 1
    error = await error_of(stub.Segment(request))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error_info(error).reason == "MODEL_FAILED"
    assert "expected" not in (error.details() or "")


async def test_the_collector_does_not_go_through_the_model_of_an_engine_that_serves() -> None:
    async with running_service("collected_engine:create") as service, stub_of(service.port) as stub:
        answer = await stub.Segment(point_request(png(fresh())))
    assert int(answer.segments[0].label) > 1000
