"""Every call through both clients, against a real server with a fake model."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diptych import (
    Agreements,
    AutomaticOptions,
    Box,
    ChannelOptions,
    DeadlineExceededError,
    InvalidRequestError,
    LowResLogits,
    Mask,
    MaskEncoding,
    MessageTooLargeError,
    ModelNotFoundError,
    ModelOutcome,
    OutputOptions,
    OverloadedError,
    Point,
    Prompt,
    Segment,
    ServerError,
    ServingStatus,
    Task,
    UnavailableError,
    UnsupportedCallError,
)
from diptych.segment import v1 as pb
from diptych.testing import FakeCall, FakeSegmentService


def sources(service: FakeSegmentService) -> list[str | None]:
    return [request.image.WhichOneof("source") for request in service.requests]


def test_answer_is_typed(client: Any, small_png: bytes) -> None:
    result = client.segment(small_png, model="one")
    (segment,) = result.segments
    assert result.model_id == "one"
    assert result.image_size == (40, 60)
    assert result.image_sha256 == hashlib.sha256(small_png).hexdigest()
    assert result.request_id
    assert result.timings.encode_s == pytest.approx(0.002)
    assert result.provenance[0].weights_sha256 == hashlib.sha256(b"fake weights").hexdigest()
    assert isinstance(result.raw, pb.SegmentResponse)
    assert segment.box == Box(15, 10, 45, 30)
    assert segment.mask is not None
    assert segment.mask.to_array()[10:30, 15:45].all()
    assert segment.area == segment.mask.area == 600


def test_task_follows_from_prompts(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    client.segment(small_png, model="one")
    client.segment(small_png, model="one", points=[(1, 2)])
    client.segment(small_png, model="one", task="object-detection")
    assert [request.task for request in service.requests] == [
        pb.Task.TASK_INSTANCE_SEGMENTATION,
        pb.Task.TASK_PROMPTED_SEGMENTATION,
        pb.Task.TASK_OBJECT_DETECTION,
    ]


@pytest.mark.parametrize("call", ["segment", "segment_many", "compare", "stream_compare"])
def test_no_prompts_are_refused_and_not_sent(
    client: Any, service: FakeSegmentService, small_png: bytes, call: str
) -> None:
    with pytest.raises(ValueError, match="boxes: expected at least one, got none"):
        getattr(client, call)([small_png] if call == "segment_many" else small_png, boxes=[])
    assert service.requests == ()


def test_prompts_points_and_boxes_keep_their_order(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    mask = Mask.from_array([[0, 1], [1, 1]])
    logits = LowResLogits(2, 2, b"\0" * 8)
    result = client.segment(
        small_png,
        model="one",
        prompts=[
            Prompt(mask=mask),
            Prompt((Point(1, 2, positive=False),), Box(0, 0, 3, 4), logits),
        ],
        points=[(5, 6), (7, 8, False), Point(9, 9)],
        boxes=[(1, 2, 30, 20), Box(2, 3, 4, 5)],
    )
    by_mask, full, by_points, box_a, box_b = service.requests[0].prompts
    assert by_mask.mask.mask.coco_rle == mask.to_coco()
    assert full.points[0].label == pb.PointLabel.POINT_LABEL_BACKGROUND
    assert full.box.y_max_px == 4
    assert full.mask.low_res_logits.float16_le == logits.float16_le
    assert [(p.x_px, p.y_px, p.label) for p in by_points.points] == [
        (5, 6, 1),
        (7, 8, 2),
        (9, 9, 1),
    ]
    assert box_a.box.x_max_px == 30
    assert box_b.box.x_min_px == 2
    assert [segment.prompt_index for segment in result.segments] == [0, 1, 2, 3, 4]


def test_options_reach_the_server(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    client.segment(
        small_png,
        model="one",
        output=OutputOptions(min_score=0.0, max_segments=7, category_ids=(1, 3)),
        automatic=AutomaticOptions(points_per_side=8, min_mask_region_area=5, use_m2m=True),
    )
    (request,) = service.requests
    assert request.output.HasField("min_score")
    assert request.output.max_segments == 7
    assert list(request.output.category_ids) == [1, 3]
    assert request.automatic.points_per_side == 8
    assert request.automatic.min_mask_region_area_px == 5
    assert request.automatic.use_m2m
    assert not request.automatic.HasField("pred_iou_thresh")


@pytest.mark.parametrize(
    "encoding", [MaskEncoding.COCO_RLE, MaskEncoding.PNG, MaskEncoding.POLYGONS]
)
def test_every_encoding_gives_the_same_mask(
    client: Any, small_png: bytes, encoding: MaskEncoding
) -> None:
    output = OutputOptions(mask_encoding=encoding)
    (segment,) = client.segment(small_png, model="one", output=output).segments
    assert segment.mask is not None
    assert segment.mask.area == 600
    assert segment.mask.box == Box(15, 10, 45, 30)


def test_no_masks_when_not_wanted(client: Any, small_png: bytes) -> None:
    output = OutputOptions(mask_encoding=MaskEncoding.NONE)
    (segment,) = client.segment(small_png, model="one", output=output).segments
    assert segment.mask is None
    assert segment.box is not None


def test_broken_mask_is_the_servers_error(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    def lie(call: FakeCall) -> list[Segment]:
        return [Segment(score=1.0, mask=Mask.from_array([[1, 0, 1]]))]

    service.answer_with(lie, model="one")
    with pytest.raises(ServerError, match="one: the answer holds a broken mask"):
        client.segment(small_png, model="one")
    (outcome,) = client.compare(small_png, models=["one"]).results
    assert isinstance(outcome.error, ServerError)
    assert outcome.result is None


def test_large_reply_arrives_whole(client: Any, service: FakeSegmentService) -> None:
    noise = np.random.default_rng(5).random((300, 300)) < 0.5
    segments = [Segment(1.0, None, Mask.from_array(noise)) for _ in range(10)]
    service.answer_with(lambda call: segments)
    result = client.segment(np.zeros((300, 300, 3), np.uint8), model="one")
    assert result.raw.ByteSize() > 256 * 1024
    assert [segment.mask for segment in result.segments] == [segments[0].mask] * 10


def test_large_picture_is_sent_once(
    client: Any, service: FakeSegmentService, big_png: bytes
) -> None:
    client.segment(big_png, model="one")
    again = client.segment(big_png, model="one", points=[(1, 1)])
    client.compare(big_png)
    list(client.stream_compare(big_png))
    assert sources(service) == ["encoded", "sha256", "sha256", "sha256"]
    assert again.image_sha256 == hashlib.sha256(big_png).hexdigest()


def test_small_picture_is_sent_again(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    client.segment(small_png, model="one")
    client.segment(small_png, model="one")
    assert sources(service) == ["encoded", "encoded"]


@pytest.mark.parametrize("call", ["segment", "compare", "stream_compare"])
def test_forgotten_picture_is_sent_again_unseen(
    client: Any, service: FakeSegmentService, big_png: bytes, call: str
) -> None:
    client.segment(big_png, model="one")
    service.forget_images()
    if call == "segment":
        assert client.segment(big_png, model="one").segments
    elif call == "compare":
        assert all(outcome.result for outcome in client.compare(big_png).results)
    else:
        assert len(list(client.stream_compare(big_png))) == 3
    client.segment(big_png, model="one")
    assert sources(service) == ["encoded", "sha256", "encoded", "sha256"]


def test_failed_request_does_not_count_as_sent(
    client: Any, service: FakeSegmentService, big_png: bytes
) -> None:
    service.fail("QUEUE_FULL", times=1)
    with pytest.raises(OverloadedError):
        client.segment(big_png, model="one")
    client.segment(big_png, model="one")
    assert sources(service) == ["encoded", "encoded"]


def test_compare(client: Any, service: FakeSegmentService, small_png: bytes) -> None:
    service.fail("ENGINE_LOST", "the engine was lost", model="two", retry_after_s=1.5)
    comparison = client.compare(small_png, task=Task.INSTANCE_SEGMENTATION)
    one, two = comparison.results
    assert (one.model_id, one.error) == ("one", None)
    assert one.result.segments
    assert one.elapsed_s == pytest.approx(0.005)
    assert two.result is None
    assert isinstance(two.error, UnavailableError)
    assert (two.error.reason, two.error.retry_after_s) == ("ENGINE_LOST", 1.5)
    assert two.error.request_id
    assert comparison.agreements == ()
    assert comparison["two"] is two
    with pytest.raises(KeyError):
        comparison["three"]


def test_compare_keeps_the_order_asked_and_says_how_far_they_agree(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    comparison = client.compare(small_png, models=["two", "one"], match_iou=0.25)
    assert [outcome.model_id for outcome in comparison.results] == ["two", "one"]
    (agreement,) = comparison.agreements
    assert (agreement.model_id_a, agreement.model_id_b) == ("two", "one")
    assert agreement.basis == "mask-iou"
    assert [(m.index_a, m.index_b) for m in agreement.matches] == [(0, 0)]
    assert agreement.mean_match_iou == pytest.approx(1.0)
    assert agreement.foreground_iou == pytest.approx(1.0)


def test_bases_of_agreement(client: Any, small_png: bytes) -> None:
    boxes = client.compare(small_png, task="object-detection").agreements[0]
    prompted = client.compare(small_png, points=[(5, 5)]).agreements[0]
    assert (boxes.basis, boxes.foreground_iou) == ("box-iou", None)
    assert prompted.basis == "prompt"


def test_stream_compare_ends_with_the_agreements(client: Any, small_png: bytes) -> None:
    *outcomes, agreements = client.stream_compare(small_png)
    assert [type(outcome) for outcome in outcomes] == [ModelOutcome, ModelOutcome]
    assert isinstance(agreements, Agreements)
    assert len(agreements) == len(list(agreements)) == 1


def test_stream_can_be_left(client: Any, service: FakeSegmentService, small_png: bytes) -> None:
    events = client.stream_compare(small_png)
    assert next(events).model_id == "one"
    events.close()
    assert client.segment(small_png, model="one").segments


def test_stream_errors_are_typed(client: Any) -> None:
    outcome, _ = client.stream_compare(b"", models=["nobody"])
    assert isinstance(outcome.error, ModelNotFoundError)


def test_cards_stats_and_health(client: Any, service: FakeSegmentService, small_png: bytes) -> None:
    client.segment(small_png, model="one")
    service.health["diptych.segment.v1.SegmentService"] = ServingStatus.NOT_SERVING
    assert client.model_card("one").display_name == "One"
    known = client.model_cards()
    assert [model.model_id for model in known] == ["one", "two"]
    assert all(model.error is None for model in known)
    stats = client.model_stats("one")
    assert stats.outcomes == {"OK": 1}
    assert stats.stages["total"].total_s == 1.0
    assert stats.batch_sizes == {1: 1}
    assert client.health() is ServingStatus.SERVING
    assert client.health("diptych.segment.v1.SegmentService") is ServingStatus.NOT_SERVING
    assert client.health("no.such.Service") is ServingStatus.SERVICE_UNKNOWN


def test_model_service_cannot_compare(connect: Any, small_png: bytes) -> None:
    with FakeSegmentService(gateway=False) as alone:
        client = connect(alone.address)
        assert client.segment(small_png).model_id == client.model_card().id == "fake-model"
        with pytest.raises(UnsupportedCallError, match="are the gateway's"):
            client.compare(small_png)
        with pytest.raises(UnsupportedCallError):
            list(client.stream_compare(small_png))
        with pytest.raises(UnsupportedCallError):
            client.model_cards()


def test_deadline_of_the_call_and_of_the_client(
    connect: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    service.delay_s = 30.0
    patient, hasty = connect(service.address), connect(service.address, timeout=0.2)
    with pytest.raises(DeadlineExceededError, match=r"no answer within 0\.1 s"):
        patient.segment(small_png, model="one", timeout=0.1)
    with pytest.raises(DeadlineExceededError, match=r"no answer within 0\.2 s"):
        hasty.segment(small_png, model="one")
    with pytest.raises(DeadlineExceededError):
        list(hasty.stream_compare(small_png))
    service.delay_s = 0.0
    assert hasty.segment(small_png, model="one", timeout=None).segments


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf")])
def test_absurd_timeouts_are_refused(
    client: Any, connect: Any, small_png: bytes, timeout: float
) -> None:
    with pytest.raises(ValueError, match="timeout: expected seconds above 0"):
        client.segment(small_png, timeout=timeout)
    with pytest.raises(ValueError, match="timeout"):
        connect("localhost:1", timeout=timeout)


def test_unreachable_server_is_named(connect: Any, small_png: bytes) -> None:
    with FakeSegmentService() as gone:
        address = gone.address
    client = connect(address)
    with pytest.raises(UnavailableError, match=f"{address}: no server answers there"):
        client.segment(small_png)


def test_address_from_the_environment(
    connect: Any, service: FakeSegmentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIPTYCH_ADDRESS", service.address)
    client = connect(None)
    monkeypatch.setenv("DIPTYCH_ADDRESS", "localhost:1")
    assert client.address == service.address
    assert client.health() is ServingStatus.SERVING
    monkeypatch.delenv("DIPTYCH_ADDRESS")
    assert connect(None).address == "localhost:50051"
    with pytest.raises(ValueError, match="expected host:port"):
        connect("http://localhost:50051")


def test_request_over_the_limit_never_leaves(
    connect: Any, service: FakeSegmentService, big_png: bytes
) -> None:
    client = connect(service.address, options=ChannelOptions(max_request_bytes=100_000))
    with pytest.raises(MessageTooLargeError, match="expected at most 100000 bytes"):
        client.segment(big_png, model="one")
    assert service.requests == ()


def test_message_over_the_servers_limit(connect: Any, big_png: bytes) -> None:
    with FakeSegmentService(max_request_bytes=100_000) as strict:
        client = connect(strict.address)
        with pytest.raises(MessageTooLargeError) as caught:
            client.segment(big_png)
        assert caught.value.reason == ""
        assert client.health() is ServingStatus.SERVING


def test_reply_over_the_limit(connect: Any, service: FakeSegmentService, small_png: bytes) -> None:
    client = connect(service.address, options=ChannelOptions(max_reply_bytes=50))
    with pytest.raises(MessageTooLargeError):
        client.segment(small_png, model="one")


def test_unavailable_is_not_retried_unless_asked(
    connect: Any, service: FakeSegmentService, big_png: bytes
) -> None:
    service.fail("ENGINE_LOST", times=1)
    with pytest.raises(UnavailableError):
        connect(service.address).segment(big_png, model="one")
    assert len(service.requests) == 1


def test_retry_covers_pictures(connect: Any, service: FakeSegmentService, big_png: bytes) -> None:
    # gRPC by itself would give up the retry of anything above 256 KiB.
    assert len(big_png) > 256 * 1024
    service.fail("ENGINE_LOST", times=2)
    assert connect(service.address, retry=True).segment(big_png, model="one").segments
    assert len(service.requests) == 3
    service.fail("QUEUE_FULL", times=1)
    with pytest.raises(OverloadedError):
        connect(service.address, retry=True).segment(big_png, model="one")
    assert len(service.requests) == 4


def test_closed_client_says_so(client: Any, small_png: bytes) -> None:
    client.segment(small_png, model="one")
    client.close()
    with pytest.raises(RuntimeError, match="is closed"):
        client.segment(small_png, model="one")


def test_many_keeps_order_and_turns_failures_into_values(
    client: Any, tmp_path: Path, small_png: bytes
) -> None:
    good = tmp_path / "good.png"
    good.write_bytes(small_png)
    given = [good, b"no picture", tmp_path / "missing.png", 3.5, small_png]
    items = list(client.segment_many(given, model="one", concurrency=2))
    assert [item.source for item in items] == given
    assert [type(item.error) for item in items] == [
        type(None),
        InvalidRequestError,
        FileNotFoundError,
        TypeError,
        type(None),
    ]
    assert [item.result is not None for item in items] == [True, False, False, False, True]


def test_many_reads_folders_by_name(client: Any, tmp_path: Path, small_png: bytes) -> None:
    for name in ("b.PNG", "a.jpeg", "notes.txt", "c.webp"):
        (tmp_path / name).write_bytes(small_png)
    (tmp_path / "d.png").mkdir()
    items = list(client.segment_many(tmp_path, model="one"))
    assert [item.source.name for item in items] == ["a.jpeg", "b.PNG", "c.webp"]
    with pytest.raises(FileNotFoundError):
        list(client.segment_many(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="concurrency"):
        list(client.segment_many(tmp_path, concurrency=0))


def test_many_is_bounded(client: Any, service: FakeSegmentService, small_png: bytes) -> None:
    lock, running, most, read = threading.Lock(), 0, 0, 0

    def answer(call: FakeCall) -> list[Segment]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(0.05)  # lets others come in, if they may
        with lock:
            running -= 1
        return []

    def pictures() -> Iterator[bytes]:
        nonlocal read
        for _ in range(40):
            read += 1
            yield small_png

    together = threading.Event()
    service.answer_with(answer)
    items = client.segment_many(pictures(), model="one", concurrency=3)
    taken = [next(items) for _ in range(5)]
    assert all(item.result for item in taken)
    assert read <= 5 + 2 * 3
    items.close()
    assert 1 < most <= 3


def test_many_passes_the_iterables_own_error_on(client: Any, small_png: bytes) -> None:
    def pictures() -> Iterator[bytes]:
        yield small_png
        raise RuntimeError("the camera is gone")

    with pytest.raises(RuntimeError, match="the camera is gone"):
        list(client.segment_many(pictures(), model="one"))
