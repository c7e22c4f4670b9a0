"""Messages of a video session, in both directions."""

from __future__ import annotations

from .._types.errors import ServerError
from .._types.prompts import Prompt
from .._types.results import Provenance
from .._types.video import (
    VideoEvent,
    VideoFrameResult,
    VideoLimits,
    VideoObject,
    VideoOptions,
    VideoRefusal,
)
from ..segment import v1 as pb
from .replies import provenance, seconds, segment, timings
from .requests import object_prompt, output_options
from .statuses import error_from_status


def start_message(options: VideoOptions) -> pb.SegmentVideoRequest:
    """What opens a session."""
    return pb.SegmentVideoRequest(
        start=pb.VideoStart(
            model_id=options.model or "",
            output=output_options(options.output),
            track_all=options.track_all,
        )
    )


def frame_message(index: int, encoded: bytes) -> pb.SegmentVideoRequest:
    """The next frame."""
    return pb.SegmentVideoRequest(frame=pb.VideoFrame(frame_index=index, encoded=encoded))


def prompt_message(object_id: int, index: int, prompt: Prompt) -> pb.SegmentVideoRequest:
    """Where an object is on a frame."""
    return pb.SegmentVideoRequest(
        prompt=pb.VideoPrompt(object_id=object_id, frame_index=index, prompt=object_prompt(prompt))
    )


def removal_message(object_id: int) -> pb.SegmentVideoRequest:
    """The end of an object."""
    return pb.SegmentVideoRequest(removal=pb.VideoObjectRemoval(object_id=object_id))


def started(message: pb.SegmentVideoResponse) -> tuple[VideoLimits, tuple[Provenance, ...]]:
    """What the first answer says.

    Raises:
        ServerError: if it is another answer.
    """
    event = message.started
    if message.WhichOneof("event") != "started":
        raise ServerError(f"expected started first, got {message.WhichOneof('event')}")
    limits = VideoLimits(
        max_objects=event.max_objects,
        held_frames=max(1, event.held_frames),
        max_frames_in_flight=max(1, event.max_frames_in_flight),
        idle_timeout_s=seconds(event.idle_timeout),
        max_sessions=event.max_sessions,
    )
    return limits, tuple(provenance(entry) for entry in event.provenance)


def video_event(message: pb.SegmentVideoResponse) -> VideoEvent | None:
    """A result or a refusal; ``None`` for what callers do not see.

    Raises:
        ServerError: if a mask in it is broken.
    """
    kind = message.WhichOneof("event")
    if kind == "frame":
        return _frame_result(message.frame)
    if kind == "error":
        error = message.error
        index = error.frame_index if error.HasField("frame_index") else None
        return VideoRefusal(error_from_status(error.status), index)
    return None


def _frame_result(message: pb.VideoFrameSegments) -> VideoFrameResult:
    size = (message.image_size.height_px, message.image_size.width_px)
    try:
        objects = tuple(
            VideoObject(entry.object_id, segment(entry.segment, size), entry.presence)
            for entry in message.segments
        )
    except ValueError as error:
        raise ServerError(
            f"the answer for frame {message.frame_index} holds a broken mask: {error}"
        ) from error
    return VideoFrameResult(
        frame_index=message.frame_index,
        revision=message.revision,
        objects=objects,
        image_size=size,
        timings=timings(message.timings),
        raw=message,
    )
