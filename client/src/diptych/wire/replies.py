"""Replies: from wire messages to what a caller gets."""

from __future__ import annotations

from datetime import timezone

from google.protobuf.duration_pb2 import Duration

from .._types.errors import DiptychError, ServerError
from .._types.prompts import Box, LowResLogits, Task
from .._types.results import (
    Agreement,
    Agreements,
    AnswerTime,
    Comparison,
    Match,
    ModelOutcome,
    ModelStats,
    Provenance,
    SegmentResult,
    StageTime,
    Timings,
)
from .._types.segment import Keypoint, Segment
from ..masks.mask import Mask
from ..segment import v1 as pb
from .statuses import error_from_status

_TASKS = {pb.Task.Value(f"TASK_{task.name}"): task for task in Task}
_BASES = {
    pb.AgreementBasis.AGREEMENT_BASIS_MASK_IOU: "mask-iou",
    pb.AgreementBasis.AGREEMENT_BASIS_BOX_IOU: "box-iou",
    pb.AgreementBasis.AGREEMENT_BASIS_PROMPT: "prompt",
}


def segment_result(message: pb.SegmentResponse) -> SegmentResult:
    """The answer of one model.

    Raises:
        ServerError: if a mask in it is broken.
    """
    size = (message.image_size.height_px, message.image_size.width_px)
    try:
        segments = tuple(segment(entry, size) for entry in message.segments)
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
        timings=timings(message.timings),
        provenance=tuple(provenance(entry) for entry in message.provenance),
        request_id=message.request_id,
        omitted=message.omitted_segment_count,
        raw=message,
    )


def comparison(message: pb.CompareResponse) -> Comparison:
    """The answers of several models."""
    return Comparison(
        results=tuple(model_outcome(result) for result in message.results),
        agreements=tuple(_agreement(agreement) for agreement in message.agreements),
        raw=message,
    )


def compare_event(message: pb.StreamCompareResponse) -> ModelOutcome | Agreements | None:
    """One event of a streamed comparison; ``None`` for a kind that this version does not know."""
    kind = message.WhichOneof("event")
    if kind == "result":
        return model_outcome(message.result)
    if kind == "agreements":
        return Agreements(tuple(_agreement(entry) for entry in message.agreements.agreements))
    return None


def model_outcome(message: pb.ModelResult) -> ModelOutcome:
    """The answer or the error of one model; a broken answer is an error."""
    result: SegmentResult | None = None
    error: DiptychError | None = None
    if message.WhichOneof("outcome") == "response":
        try:
            result = segment_result(message.response)
        except ServerError as broken:
            error = broken
    else:
        error = error_from_status(message.error)
    return ModelOutcome(message.model_id, result, error, seconds(message.elapsed))


def model_stats(message: pb.GetModelStatsResponse) -> ModelStats:
    """The counters of a model."""
    return ModelStats(
        outcomes={entry.outcome: entry.count for entry in message.outcomes},
        stages={
            entry.stage: StageTime(entry.count, seconds(entry.total)) for entry in message.stages
        },
        queue_length=message.queue_length,
        running_count=message.running_count,
        session_count=message.session_count,
        held_image_count=message.held_image_count,
        held_bytes=message.held_bytes,
        image_cache_hit_count=message.image_cache_hit_count,
        encoder_run_count=message.encoder_run_count,
        engine_restart_count=message.engine_restart_count,
        answer_times=tuple(_answer_time(entry) for entry in message.answer_times),
        counting_since=message.counting_since.ToDatetime(timezone.utc)
        if message.HasField("counting_since")
        else None,
        device=message.device,
        engine_memory_bytes=message.engine_memory_bytes,
        engine_peak_memory_bytes=message.engine_peak_memory_bytes,
        device_peak_memory_bytes=message.device_peak_memory_bytes,
        batch_sizes={entry.size: entry.answer_count for entry in message.batch_sizes},
    )


def _answer_time(message: pb.AnswerTime) -> AnswerTime:
    return AnswerTime(
        task=_TASKS.get(message.task),
        image_held=message.image_held,
        count=message.count,
        p50_s=seconds(message.p50),
        p95_s=seconds(message.p95),
    )


def seconds(duration: Duration) -> float:
    """A duration as a float."""
    return duration.ToNanoseconds() / 1e9


def segment(message: pb.Segment, size: tuple[int, int]) -> Segment:
    """One segment of a picture of ``size``; ``ValueError`` if its mask is broken."""
    logits = message.low_res_logits
    return Segment(
        score=message.score,
        box=_box(message.box) if message.HasField("box") else None,
        mask=_mask(message.mask, size),
        label=message.label,
        category_id=message.category_id,
        area=message.area_px,
        keypoints=tuple(Keypoint(k.name, k.x_px, k.y_px, k.score) for k in message.keypoints),
        prompt_index=message.prompt_index if message.HasField("prompt_index") else None,
        candidate_index=message.candidate_index if message.HasField("candidate_index") else None,
        stability_score=message.stability_score if message.HasField("stability_score") else None,
        low_res_logits=LowResLogits(logits.height, logits.width, logits.float16_le)
        if message.HasField("low_res_logits")
        else None,
        source_iou=message.source_iou if message.HasField("source_iou") else None,
    )


def _box(message: pb.BoundingBox) -> Box:
    return Box(message.x_min_px, message.y_min_px, message.x_max_px, message.y_max_px)


def _mask(message: pb.Mask, size: tuple[int, int]) -> Mask | None:
    encoding = message.WhichOneof("encoding")
    if encoding is None:
        return None
    if encoding == "polygons":
        return Mask.from_polygons([ring.xy_px for ring in message.polygons.rings], size)
    if encoding == "coco_rle":
        return Mask.from_coco(message.coco_rle, size)
    mask = Mask.from_png(message.png)
    if mask.size != size:
        raise ValueError(f"expected a mask of {size[0]}x{size[1]}, got {mask.size}")
    return mask


def timings(message: pb.Timings) -> Timings:
    """Where the time went."""
    return Timings(
        queue_s=seconds(message.queue),
        decode_s=seconds(message.decode),
        encode_s=seconds(message.encode),
        predict_s=seconds(message.predict),
        postprocess_s=seconds(message.postprocess),
        total_s=seconds(message.total),
    )


def provenance(message: pb.Provenance) -> Provenance:
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


def _agreement(message: pb.Agreement) -> Agreement:
    return Agreement(
        model_id_a=message.model_id_a,
        model_id_b=message.model_id_b,
        basis=_BASES.get(message.basis, ""),
        matches=tuple(Match(m.index_a, m.index_b, m.iou) for m in message.matches),
        only_a=tuple(message.only_a),
        only_b=tuple(message.only_b),
        mean_match_iou=message.mean_match_iou if message.HasField("mean_match_iou") else None,
        foreground_iou=message.foreground_iou if message.HasField("foreground_iou") else None,
    )
