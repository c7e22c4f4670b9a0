"""Turns what an engine answers into messages of the contract, once it is checked.

An engine that gives a mask of another size, or a box that is none, is wrong in a way that nobody
behind it can see: its answer would be taken for a result. It is a fault like an exception.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from diptych import (
    MaskEncoding,
    Provenance,
    Segment,
    SegmentResult,
    Task,
    VideoFrameResult,
    VideoLimits,
)
from diptych.segment import v1 as pb
from diptych.wire.replies import result_message, set_timings
from diptych.wire.requests import read_encoding, read_task
from diptych.wire.video import frame_reply, started_reply

from ..engine.protocol import Answer, LoadedModel
from ..settings import RuntimeSettings
from .live_session import Event, FrameReply
from .work import Work

_ROUNDING_PX = 1.0
"""How far an edge may be outside the image: engines compute in the sizes of their networks."""


@dataclass(frozen=True)
class ReplyWriter:
    """Fills replies to requests for one loaded model."""

    model_id: str
    loaded: LoadedModel

    def write(self, work: Work, answer: Answer) -> tuple[bytes, dict[str, float]]:
        """Write a reply; returns it serialised, and seconds by stage as named in ``Timings``.

        Raises:
            ValueError: see ``check_segments``.
        """
        started = time.monotonic()
        encoding = read_encoding(work.request.output.mask_encoding)
        assert encoding is not None
        assert work.image is not None
        check_segments(answer.segments, work.image.size, self.loaded, prompts=len(work.prompts))
        task = read_task(work.request.task)
        result = SegmentResult(
            model_id=self.model_id,
            segments=answer.segments,
            image_size=work.image.size,
            image_sha256=work.digest,
            provenance=(provenance(self.model_id, self.loaded, task, work.cache_hit),),
            request_id=work.request_id,
            omitted=answer.omitted,
            warnings=work.image.warnings,
        )
        reply = result_message(result, encoding)
        seconds = _stages(work, postprocess_s=time.monotonic() - started)
        set_timings(reply.timings, seconds)
        return reply.SerializeToString(), seconds


@dataclass(frozen=True)
class VideoReplyWriter:
    """Fills replies of video sessions for one loaded model."""

    model_id: str
    loaded: LoadedModel
    settings: RuntimeSettings

    def started(self) -> pb.SegmentVideoResponse:
        """The session is open."""
        limits = VideoLimits(
            max_objects=self.settings.max_video_objects,
            held_frames=self.settings.held_frames,
            max_frames_in_flight=self.settings.frames_in_flight,
            idle_timeout_s=self.settings.session_idle_s,
            max_sessions=self.settings.max_sessions,
        )
        return started_reply(
            limits, [provenance(self.model_id, self.loaded, Task.VIDEO_SEGMENTATION)]
        )

    def frame(
        self, reply: FrameReply, event: Event, encoding: MaskEncoding
    ) -> pb.SegmentVideoResponse:
        """One frame's objects; times are those of the message that is answered.

        Raises:
            ValueError: see ``check_segments``.
        """
        started = time.monotonic()
        objects = reply.answer.objects
        check_segments([found.segment for found in objects], reply.size, self.loaded)
        for found in objects:
            if not 0 <= found.presence <= 1:
                raise ValueError(f"presence: expected 0 to 1, got {found.presence}")
        message = frame_reply(
            VideoFrameResult(
                frame_index=reply.answer.frame_index,
                revision=reply.revision,
                objects=objects,
                image_size=reply.size,
                warnings=reply.warnings,
            ),
            encoding,
        )
        now = time.monotonic()
        total, post = now - event.received, now - started
        stages = {
            "queue": total - event.decode_s - event.model_s - post,
            "decode": event.decode_s,
            "predict": event.model_s,
            "postprocess": post,
            "total": total,
        }
        set_timings(message.frame.timings, stages)
        return message


def check_segments(
    segments: Sequence[Segment], size: tuple[int, int], loaded: LoadedModel, *, prompts: int = 0
) -> None:
    """Check that what an engine found can be so in an image of ``size`` (height, width).

    Args:
        segments: Its answer, or all objects of one frame.
        size: Of the image as it was sent.
        loaded: What the engine said of itself.
        prompts: How many it was given.

    Raises:
        ValueError: it cannot; a fault of the engine.
    """
    categories = dict(loaded.categories)
    for index, segment in enumerate(segments):
        for problem in _problems(segment, size, loaded):
            raise ValueError(f"segment {index}: {problem}")
        if segment.category_id and segment.category_id not in categories:
            text = f"expected 0 or one of {len(categories)} categories, got {segment.category_id}"
            raise ValueError(f"segment {index}: {text}")
        if segment.prompt_index is not None and not 0 <= segment.prompt_index < prompts:
            text = f"expected one of {prompts} prompts, got {segment.prompt_index}"
            raise ValueError(f"segment {index}: {text}")


def _problems(segment: Segment, size: tuple[int, int], loaded: LoadedModel) -> Iterator[str]:
    numbers = [segment.score, segment.stability_score or 0.0, segment.source_iou or 0.0]
    numbers += [point.score for point in segment.keypoints]
    if not all(map(math.isfinite, numbers)):
        yield f"expected finite numbers, got {numbers}"
    height, width = size
    if mask := segment.mask:
        if mask.size != size:
            yield f"mask: expected {width} x {height}, got {mask.size[1]} x {mask.size[0]}"
        elif mask.area != segment.area:
            yield f"area: expected the {mask.area} pixels of the mask, got {segment.area}"
    elif not 0 <= segment.area <= width * height:
        yield f"area: expected up to {width * height} pixels, got {segment.area}"
    # Comparisons are false for what is not a number.
    if (box := segment.box) and not (
        -_ROUNDING_PX <= box.x_min <= box.x_max <= width + _ROUNDING_PX
        and -_ROUNDING_PX <= box.y_min <= box.y_max <= height + _ROUNDING_PX
    ):
        yield f"box: expected edges in order inside {width} x {height}, got {box.xyxy}"
    if (points := segment.keypoints) and len(points) != len(loaded.keypoint_names):
        yield f"keypoints: expected {len(loaded.keypoint_names)}, got {len(points)}"
    for point in points:
        if not (
            -_ROUNDING_PX <= point.x <= width + _ROUNDING_PX
            and -_ROUNDING_PX <= point.y <= height + _ROUNDING_PX
        ):
            yield f"keypoint {point.name!r}: expected it inside the image, got {point.x, point.y}"
    if logits := segment.low_res_logits:
        sides = (logits.height, logits.width)
        if sides != loaded.logits_size or len(logits.float16_le) != 2 * math.prod(sides):
            yield f"logits: expected sides of {loaded.logits_size}, got {sides}"
        elif not np.isfinite(np.frombuffer(logits.float16_le, "<f2")).all():
            yield "logits: expected finite numbers"


def provenance(
    model_id: str, loaded: LoadedModel, task: Task | None, cache_hit: bool = False
) -> Provenance:
    """What answers a task; ``cache_hit``: with features that were still held."""
    weights = next(w for w in loaded.weights if not w.tasks or task in w.tasks)
    return Provenance(
        model_id=model_id,
        weights=weights.name,
        weights_sha256=weights.sha256.hex(),
        tier=loaded.tier,
        device=loaded.device,
        dtype=loaded.dtype,
        image_cache_hit=cache_hit,
        software=loaded.software,
    )


def _stages(work: Work, *, postprocess_s: float) -> dict[str, float]:
    """Seconds by stage; what no stage accounts for was waiting."""
    total = time.monotonic() - work.received
    seconds = {
        "decode": work.decode_s,
        "encode": work.encode_s,
        "predict": max(work.model_s - work.encode_s, 0.0),
        "postprocess": postprocess_s,
    }
    waited = max(total - sum(seconds.values()), 0.0)
    return {"queue": waited, **seconds, "total": total}
