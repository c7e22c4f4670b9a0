"""The client mirrors the contract: cards field by field, and the error table of the runtime."""

from __future__ import annotations

import dataclasses

import pytest

import diptych
from diptych._transport.channel import ChannelOptions
from diptych.segment import v1 as pb
from diptych.testing._replies import default_card
from diptych.wire.cards import read_card
from diptych.wire.replies import read_result, segment_message
from diptych.wire.requests import RequestOptions, make_options, segment_request
from diptych.wire.statuses import error_from_status
from diptych_runtime.engine import Reason, ServiceError, Violation
from diptych_runtime.grpc_server.server import SERVER_OPTIONS

MIRRORS = [
    (diptych.ModelCard, pb.ModelCard),
    (diptych.Application, pb.Application),
    (diptych.Architecture, pb.Architecture),
    (diptych.LicenseStatement, pb.LicenseStatement),
    (diptych.Licenses, pb.Licenses),
    (diptych.Category, pb.Category),
    (diptych.Variant, pb.Variant),
    (diptych.KeypointSchema, pb.KeypointSchema),
    (diptych.Metric, pb.Metric),
    (diptych.Weights, pb.Weights),
    (diptych.Limits, pb.Limits),
    (diptych.AutomaticOptions, pb.AutomaticOptions),
    (diptych.OutputOptions, pb.OutputOptions),
    (diptych.Provenance, pb.Provenance),
    (diptych.Agreement, pb.Agreement),
    (diptych.Match, pb.Match),
]
RENAMED = {"min_mask_region_area_px": "min_mask_region_area"}


@pytest.mark.parametrize(("ours", "message"), MIRRORS)
def test_every_field_of_the_message_is_there(ours: type, message: type) -> None:
    wanted = {RENAMED.get(name, name) for name in message.DESCRIPTOR.fields_by_name}  # type: ignore[attr-defined]
    fields = {field.name for field in dataclasses.fields(ours)}
    assert fields - {"raw"} == wanted


def test_card_values_arrive() -> None:
    message = default_card("sam-2")
    message.context_window = 0
    card = read_card(message)
    assert (card.id, card.context_window) == ("sam-2", 0)
    assert card.tasks[0] is diptych.Task.INSTANCE_SEGMENTATION
    assert [kind.value for kind in card.prompt_kinds] == ["point", "box", "mask"]
    stated = diptych.LicenseStatement("The ruler", "MIT", "https://example.org/ruler")
    note = "A rectangle is not licensed."
    assert card.licenses == diptych.Licenses("Apache-2.0", "CC0-1.0", "MIT", (stated,), note)
    use = diptych.Application("Geometry.", "https://example.org/elements")
    architecture = diptych.Architecture("Rectangle", "Euclid", "Draws rectangles.", (use,))
    assert (card.architecture, card.weights_overview) == (architecture, "Nothing was trained.")
    assert card.output_kinds == tuple(diptych.OutputKind)
    assert card.zero_shot
    assert card.weights[0].sha256 == message.weights[0].sha256.hex()
    assert card.keypoint_schema == diptych.KeypointSchema(("left", "right"), ((0, 1),))
    assert card.default_automatic == diptych.AutomaticOptions(points_per_side=32)
    assert card.limits.max_image_px == 50_000_000
    assert card.metrics == (diptych.Metric("mask AP", 1.5, "%", "none", "made up"),)
    assert card.raw is message


def test_bare_card_is_read() -> None:
    card = read_card(pb.ModelCard(id="x", tasks=[99]))  # type: ignore[list-item]
    assert (card.tasks, card.context_window, card.keypoint_schema) == ((), None, None)
    assert card.default_automatic is None


def test_each_task_and_encoding_has_its_enum_value() -> None:
    for task in diptych.Task:
        assert pb.Task.Name(segment_request(ask(task), pb.Image()).task) == f"TASK_{task.name}"
    for encoding in diptych.MaskEncoding:
        output = diptych.OutputOptions(mask_encoding=encoding)
        request = segment_request(ask(diptych.Task.INSTANCE_SEGMENTATION, output), pb.Image())
        assert pb.MaskEncoding.Name(request.output.mask_encoding).endswith(encoding.name)


def ask(task: diptych.Task, output: diptych.OutputOptions | None = None) -> RequestOptions:
    return make_options(task=task, output=output)


def test_every_field_of_a_segment_arrives() -> None:
    message = pb.Segment(
        box=pb.BoundingBox(x_min_px=1, y_min_px=2, x_max_px=3, y_max_px=4),
        score=0.5,
        label="cat",
        category_id=17,
        area_px=9,
        keypoints=[pb.Keypoint(name="nose", x_px=1, y_px=2, score=3)],
        prompt_index=0,
        candidate_index=0,
        stability_score=0.0,
        low_res_logits=pb.LowResLogits(height=1, width=1, float16_le=b"\0\0"),
        source_iou=0.0,
    )
    message.mask.coco_rle = diptych.Mask.from_array([[0, 1]]).to_coco()
    assert {field.name for field, _ in message.ListFields()} == set(
        pb.Segment.DESCRIPTOR.fields_by_name
    )
    size = pb.ImageSize(height_px=1, width_px=2)
    reply = pb.SegmentResponse(image_size=size, segments=[message, pb.Segment()])
    full, bare = read_result(reply).segments
    assert full == diptych.Segment(
        score=0.5,
        box=diptych.Box(1, 2, 3, 4),
        mask=diptych.Mask.from_array([[0, 1]]),
        label="cat",
        category_id=17,
        area=9,
        keypoints=(diptych.Keypoint("nose", 1, 2, 3),),
        prompt_index=0,
        candidate_index=0,
        stability_score=0.0,
        low_res_logits=diptych.LowResLogits(1, 1, b"\0\0"),
        source_iou=0.0,
    )
    assert bare == diptych.Segment(score=0.0)
    assert segment_message(full) == message
    assert segment_message(bare) == pb.Segment()


@pytest.mark.parametrize("reason", list(Reason))
def test_runtime_errors_are_read_whole(reason: Reason) -> None:
    sent = ServiceError(
        reason,
        "expected this, got that",
        metadata={"modelId": "one"},
        violations=[Violation("image", "is empty")],
        retry_after_s=0.25,
    )
    error = error_from_status(sent.to_status("abc"))
    assert (error.code, error.reason) == (sent.code, str(reason))
    assert (str(error), error.request_id) == (sent.message, "abc")
    assert error.metadata == {"modelId": "one"}
    assert error.violations == (diptych.Violation("image", "is empty"),)
    assert error.retry_after_s == 0.25
    assert type(error) is not diptych.DiptychError


def test_an_idle_connection_is_let_go_by_the_client_first() -> None:
    ours = dict(ChannelOptions().to_grpc(retry=False))
    theirs = dict(SERVER_OPTIONS)
    assert int(ours["grpc.client_idle_timeout_ms"]) < theirs["grpc.max_connection_idle_ms"]
    keepalive_ms = int(ours["grpc.keepalive_time_ms"])
    assert keepalive_ms > theirs["grpc.http2.min_ping_interval_without_data_ms"]
