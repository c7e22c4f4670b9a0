"""The codec: what is filled into a message is read back from it."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from diptych import (
    Agreement,
    Agreements,
    AnswerTime,
    AutomaticOptions,
    Box,
    Keypoint,
    LowResLogits,
    Mask,
    MaskEncoding,
    Match,
    ModelStats,
    OutputOptions,
    Point,
    Prompt,
    Provenance,
    Segment,
    SegmentResult,
    ServerError,
    ServingStatus,
    StageTime,
    Task,
    Timings,
    VideoFrameResult,
    VideoLimits,
    VideoObject,
    VideoRefusal,
    Violation,
)
from diptych.segment import v1 as pb
from diptych.wire import comparison, health, replies, requests, stats, statuses, video
from diptych.wire.reasons import Reason
from diptych.wire.statuses import StatusDetails

SIZE = (6, 9)
PIXELS = np.zeros(SIZE, bool)
PIXELS[1:4, 2:7] = True
MASK = Mask.from_array(PIXELS)
LOGITS = LowResLogits.from_numpy(np.linspace(-2, 2, 12).reshape(3, 4))
SEGMENT = Segment(
    score=0.5,
    box=Box(1, 2, 3, 4),
    mask=MASK,
    label="cat",
    category_id=17,
    area=15,
    keypoints=(Keypoint("nose", 1.5, 2.5, 3.0),),
    prompt_index=0,
    candidate_index=0,
    stability_score=0.25,
    low_res_logits=LOGITS,
    source_iou=0.75,
)
PROVENANCE = Provenance("m", "w", "ab" * 32, "exact", "cpu", "float32", True, "torch 2")
RESULT = SegmentResult(
    model_id="m",
    segments=(SEGMENT, Segment(score=0.0)),
    image_size=SIZE,
    image_sha256="cd" * 32,
    timings=Timings(0.5, 0.25, 0.125, 1.0, 0.0, 1.875),
    provenance=(PROVENANCE,),
    request_id="r",
    omitted=3,
    warnings=("image: the JPEG file is damaged", "and so on"),
)
OUTPUT = OutputOptions(0.25, 7, MaskEncoding.PNG, True, True, (1, 3))


@pytest.mark.parametrize("encoding", [MaskEncoding.COCO_RLE, MaskEncoding.PNG])
def test_a_result_there_and_back(encoding: MaskEncoding) -> None:
    message = replies.result_message(RESULT, encoding)
    assert replies.read_result(pb.SegmentResponse.FromString(message.SerializeToString())) == RESULT


def test_polygons_and_no_masks_at_all() -> None:
    message = replies.segment_message(SEGMENT, MaskEncoding.POLYGONS)
    assert replies.read_segment(message, SIZE) == SEGMENT
    bare = replies.segment_message(SEGMENT, MaskEncoding.NONE)
    assert replies.read_segment(bare, SIZE) == dataclasses.replace(SEGMENT, mask=None)


def test_an_empty_mask_stays_a_mask() -> None:
    empty = Mask.from_array(np.zeros(SIZE, bool))
    for encoding in set(MaskEncoding) - {MaskEncoding.NONE}:
        assert requests.read_mask(requests.mask_message(empty, encoding), SIZE) == empty


def test_a_mask_of_another_size_is_refused() -> None:
    message = requests.mask_message(MASK, MaskEncoding.PNG)
    with pytest.raises(ValueError, match="expected the size of the picture, 8 x 6, got 9 x 6"):
        requests.read_mask(message, (6, 8))


def test_timings_that_are_not_known_are_left_unset() -> None:
    message = replies.result_message(dataclasses.replace(RESULT, timings=Timings()))
    assert not message.HasField("timings")
    assert replies.read_result(message).timings == Timings()
    assert replies.stages(RESULT.timings)["postprocess"] == 0.0
    assert replies.result_message(RESULT).timings.HasField("postprocess")


def test_durations_are_exact_and_never_negative() -> None:
    assert replies.duration(0.1 + 0.2).ToNanoseconds() == 300_000_000
    assert replies.duration(-1.0).ToNanoseconds() == 0
    assert replies.seconds(replies.duration(12.000000001)) == 12.000000001


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(points=(Point(1.5, 2.5), Point(3.0, 4.0, positive=False)), box=Box(1, 2, 3, 4)),
        Prompt(mask=MASK),
        Prompt(mask=LOGITS, points=(Point(1, 2),)),
    ],
)
def test_prompts_there_and_back(prompt: Prompt) -> None:
    assert requests.read_prompt(requests.prompt_message(prompt), SIZE) == prompt


def test_a_prompt_without_pixels_is_refused() -> None:
    empty = requests.prompt_message(Prompt(mask=Mask.from_array(np.zeros(SIZE, bool))))
    with pytest.raises(ValueError, match="at least one pixel"):
        requests.read_prompt(empty, SIZE)
    nothing = pb.ObjectPrompt(mask=pb.MaskPrompt())
    with pytest.raises(ValueError, match="expected COCO RLE or PNG, got nothing"):
        requests.read_prompt(nothing, SIZE)


def test_output_options_there_and_back() -> None:
    for output in (OUTPUT, OutputOptions()):
        assert requests.read_output(requests.output_message(output)) == output
    assert requests.read_output(pb.OutputOptions()) == OutputOptions()
    with pytest.raises(ValueError, match="expected one of the encodings, got 99"):
        requests.read_output(pb.OutputOptions(mask_encoding=99))  # type: ignore[arg-type]


def test_automatic_options_there_and_back() -> None:
    names = [field.name for field in dataclasses.fields(AutomaticOptions)]
    full = AutomaticOptions(**{name: index % 2 for index, name in enumerate(names)})
    assert requests.read_automatic(requests.automatic_message(full)) == full
    some = requests.automatic_message(AutomaticOptions(points_per_side=0))
    expected = dataclasses.replace(full, points_per_side=0)
    assert requests.read_automatic(some, default=full) == expected
    assert requests.read_automatic(pb.AutomaticOptions()) == AutomaticOptions()


def test_enum_values_there_and_back() -> None:
    assert all(requests.read_task(requests.task_value(task)) is task for task in Task)
    assert requests.read_task(pb.Task.TASK_UNSPECIFIED) is None
    assert requests.read_task(99) is None
    for encoding in MaskEncoding:
        assert requests.read_encoding(requests.encoding_value(encoding)) is encoding
    assert requests.read_encoding(0) is MaskEncoding.COCO_RLE
    assert requests.read_encoding(99) is None


def test_statistics_there_and_back() -> None:
    found = ModelStats(
        outcomes={"OK": 3, "INTERNAL": 1},
        stages={"total": StageTime(4, 2.5)},
        queue_length=1,
        running_count=2,
        session_count=3,
        held_image_count=4,
        held_bytes=5,
        image_cache_hit_count=6,
        encoder_run_count=7,
        engine_restart_count=8,
        answer_times=(AnswerTime(Task.OBJECT_DETECTION, True, 9, 0.5, 1.5),),
        counting_since=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc),
        device="cpu",
        engine_memory_bytes=10,
        engine_peak_memory_bytes=11,
        device_peak_memory_bytes=12,
        batch_sizes={1: 13, 4: 14},
    )
    message = stats.stats_message(found)
    assert {field.name for field, _ in message.ListFields()} == set(
        pb.GetModelStatsResponse.DESCRIPTOR.fields_by_name
    )
    assert stats.read_stats(message) == found
    nothing = ModelStats({}, {})
    assert stats.read_stats(stats.stats_message(nothing)) == nothing


def test_agreements_and_outcomes_there_and_back() -> None:
    agreement = Agreement("a", "b", "box-iou", (Match(0, 1, 0.5),), (1,), (0,), 0.5, None)
    answered = comparison.outcome_message("a", replies.result_message(RESULT), 0.25)
    failed = comparison.outcome_message("b", statuses.status_message(_code("NOT_FOUND"), "no"), 0.5)
    message = comparison.comparison_message(
        [answered, failed], [comparison.agreement_message(agreement)]
    )
    read = comparison.read_comparison(message)
    assert read.agreements == (agreement,)
    assert (read["a"].result, read["a"].error, read["a"].elapsed_s) == (RESULT, None, 0.25)
    assert (read["b"].result, str(read["b"].error)) == (None, "no")
    events = [
        comparison.outcome_event(answered),
        comparison.agreements_event(message.agreements),
        pb.StreamCompareResponse(),
    ]
    outcome, agreements, unknown = map(comparison.read_compare_event, events)
    assert (outcome, agreements, unknown) == (read["a"], Agreements((agreement,)), None)


def test_answers_of_a_video_session_there_and_back() -> None:
    limits = VideoLimits(1, 2, 3, 4.5, 6)
    started = video.started_reply(limits, [PROVENANCE])
    assert video.read_started(started) == (limits, (PROVENANCE,))
    with pytest.raises(ServerError, match="expected started first, got ack"):
        video.read_started(video.ack_reply())
    timings = Timings(total_s=0.5)
    frame = VideoFrameResult(7, 1, (VideoObject(3, SEGMENT, 0.5),), SIZE, timings)
    reply = video.frame_reply(frame, MaskEncoding.PNG)
    assert video.read_video_event(reply) == frame
    assert video.read_going_away(video.going_away_reply(2.5)) == 2.5
    assert video.read_going_away(reply) is None
    assert video.read_video_event(video.ack_reply()) is None


@pytest.mark.parametrize(
    ("request_", "frame_index"),
    [
        (video.frame_request(4, b"x"), 4),
        (video.prompt_request(1, 5, Prompt()), 5),
        (video.removal_request(1), None),
    ],
)
def test_a_refusal_names_the_frame_of_the_message(
    request_: pb.SegmentVideoRequest, frame_index: int | None
) -> None:
    request_.seq = 9
    status = statuses.status_message(_code("ABORTED"), "gone")
    reply = video.refusal_reply(request_, status)
    event = video.read_video_event(reply)
    assert isinstance(event, VideoRefusal)
    assert (reply.in_reply_to_seq, event.frame_index, str(event.error)) == (9, frame_index, "gone")


def test_health_there_and_back() -> None:
    assert health.health_request("one").service == "one"
    assert all(
        health.read_health(health.health_reply(status)) is status for status in ServingStatus
    )


DETAILS = StatusDetails(
    reason=Reason.QUEUE_FULL,
    metadata={"modelId": "m"},
    request_id="r",
    violations=(Violation("prompts[0]", "no"),),
    retry_after_s=1.5,
)


def test_status_details_there_and_back() -> None:
    status = statuses.status_message(_code("RESOURCE_EXHAUSTED"), "full", DETAILS)
    assert (statuses.code_of(status), status.message) == (_code("RESOURCE_EXHAUSTED"), "full")
    assert statuses.read_details(status) == DETAILS
    assert statuses.read_details(statuses.ok_status()) == StatusDetails()


def test_details_of_others_are_not_taken_for_ours() -> None:
    status = statuses.status_message(_code("UNAVAILABLE"), "full", DETAILS)
    foreign = error_details_pb2.ErrorInfo(reason="PROXY", domain="example.org")
    status.details.add().Pack(foreign)
    status.details.add(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff")
    assert statuses.read_details(status) == DETAILS


def test_a_status_never_passes_four_kilobytes() -> None:
    huge = StatusDetails(
        reason="R" * 9_000,
        metadata={f"key{index}" * 9: "v" * 900 for index in range(99)},
        request_id="r" * 9_000,
        violations=[Violation("f" * 900, "d" * 900)] * 99,
        retry_after_s=1.0,
    )
    status = statuses.status_message(_code("INTERNAL"), "ä" * 9_000, huge)
    assert status.ByteSize() <= statuses.MAX_STATUS_BYTES
    read = statuses.read_details(status)
    assert (read.reason, read.retry_after_s) == ("R" * 200, 1.0)
    assert read.violations[-1].description.endswith("more")


def test_numbers_that_gRPC_does_not_have_are_unknown() -> None:
    status = statuses.ok_status()
    status.code = 99
    assert statuses.code_of(status) is _code("UNKNOWN")


def _code(name: str) -> grpc.StatusCode:
    return grpc.StatusCode[name]
