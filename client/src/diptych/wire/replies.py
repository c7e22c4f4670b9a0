"""Answers about one image: segments, timings and provenance, as messages and back."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration

from .._types.errors import ServerError
from .._types.prompts import MaskEncoding
from .._types.results import Provenance, SegmentResult, Timings
from .._types.segment import Keypoint, Segment
from ..segment import v1 as pb
from .requests import (
    box_message,
    logits_message,
    mask_message,
    read_box,
    read_logits,
    read_mask,
)

_NANOSECONDS = 1_000_000_000
_NO_TIMINGS = Timings()


def result_message(
    result: SegmentResult, encoding: MaskEncoding = MaskEncoding.COCO_RLE
) -> pb.SegmentResponse:
    """An answer with its masks in the encoding asked for; timings of 0 s in all are left unset."""
    height, width = result.image_size
    message = pb.SegmentResponse(
        model_id=result.model_id,
        segments=[segment_message(segment, encoding) for segment in result.segments],
        image_size=pb.ImageSize(height_px=height, width_px=width),
        image_sha256=bytes.fromhex(result.image_sha256),
        provenance=[provenance_message(entry) for entry in result.provenance],
        request_id=result.request_id,
        omitted_segment_count=result.omitted,
        warnings=result.warnings,
    )
    if result.timings != _NO_TIMINGS:
        set_timings(message.timings, stages(result.timings))
    return message


def read_result(message: pb.SegmentResponse) -> SegmentResult:
    """The answer of one model.

    Raises:
        ServerError: if a mask in it is broken.
    """
    size = (message.image_size.height_px, message.image_size.width_px)
    try:
        segments = tuple(read_segment(entry, size) for entry in message.segments)
    except ValueError as error:
        raise ServerError(
            f"{message.model_id}: the answer holds a broken mask: {error}",
            request_id=message.request_id,
        ) from error
    return SegmentResult(
        model_id=message.model_id,
        segments=segments,
        image_size=size,
        image_sha256=message.image_sha256.hex(),
        timings=read_timings(message.timings),
        provenance=tuple(read_provenance(entry) for entry in message.provenance),
        request_id=message.request_id,
        omitted=message.omitted_segment_count,
        warnings=tuple(message.warnings),
        raw=message,
    )


def segment_message(segment: Segment, encoding: MaskEncoding = MaskEncoding.COCO_RLE) -> pb.Segment:
    """One segment with its mask in the encoding asked for."""
    message = pb.Segment(
        score=segment.score,
        label=segment.label,
        category_id=segment.category_id,
        area_px=segment.area,
        prompt_index=segment.prompt_index,
        candidate_index=segment.candidate_index,
        stability_score=segment.stability_score,
        source_iou=segment.source_iou,
    )
    if segment.mask is not None and encoding is not MaskEncoding.NONE:
        message.mask.CopyFrom(mask_message(segment.mask, encoding))
    if segment.box is not None:
        message.box.CopyFrom(box_message(segment.box))
    for point in segment.keypoints:
        message.keypoints.add(name=point.name, x_px=point.x, y_px=point.y, score=point.score)
    if segment.low_res_logits is not None:
        message.low_res_logits.CopyFrom(logits_message(segment.low_res_logits))
    return message


def read_segment(message: pb.Segment, size: tuple[int, int]) -> Segment:
    """One segment of an image of ``size`` (height, width).

    Raises:
        ValueError: its mask is broken.
    """
    has = message.HasField
    return Segment(
        score=message.score,
        box=read_box(message.box) if has("box") else None,
        mask=read_mask(message.mask, size),
        label=message.label,
        category_id=message.category_id,
        area=message.area_px,
        keypoints=tuple(Keypoint(k.name, k.x_px, k.y_px, k.score) for k in message.keypoints),
        prompt_index=message.prompt_index if has("prompt_index") else None,
        candidate_index=message.candidate_index if has("candidate_index") else None,
        stability_score=message.stability_score if has("stability_score") else None,
        low_res_logits=read_logits(message.low_res_logits) if has("low_res_logits") else None,
        source_iou=message.source_iou if has("source_iou") else None,
    )


def set_timings(message: pb.Timings, stages: Mapping[str, float]) -> None:
    """Fill in the seconds of each stage, which has the name of its field."""
    for stage, spent in stages.items():
        getattr(message, stage).CopyFrom(duration(spent))


def stages(timings: Timings) -> dict[str, float]:
    """Seconds by stage, as ``set_timings`` takes them."""
    return {name.removesuffix("_s"): spent for name, spent in vars(timings).items()}


def read_timings(message: pb.Timings) -> Timings:
    """Where the time went."""
    return Timings(
        queue_s=seconds(message.queue),
        decode_s=seconds(message.decode),
        encode_s=seconds(message.encode),
        predict_s=seconds(message.predict),
        postprocess_s=seconds(message.postprocess),
        total_s=seconds(message.total),
    )


def provenance_message(provenance: Provenance) -> pb.Provenance:
    """What produced an answer."""
    return pb.Provenance(
        model_id=provenance.model_id,
        weights=provenance.weights,
        weights_sha256=bytes.fromhex(provenance.weights_sha256),
        tier=provenance.tier,
        device=provenance.device,
        dtype=provenance.dtype,
        image_cache_hit=provenance.image_cache_hit,
        software=provenance.software,
    )


def read_provenance(message: pb.Provenance) -> Provenance:
    """What produced an answer."""
    return Provenance(
        model_id=message.model_id,
        weights=message.weights,
        weights_sha256=message.weights_sha256.hex(),
        tier=message.tier,
        device=message.device,
        dtype=message.dtype,
        image_cache_hit=message.image_cache_hit,
        software=message.software,
    )


def duration(spent: float) -> Duration:
    """Seconds as a message; negative ones, from clocks read in the wrong order, become 0."""
    whole, nanoseconds = divmod(max(round(spent * _NANOSECONDS), 0), _NANOSECONDS)
    return Duration(seconds=whole, nanos=nanoseconds)


def seconds(message: Duration) -> float:
    """A duration in seconds."""
    return message.ToNanoseconds() / _NANOSECONDS
