"""Messages of a video session, in both directions."""

from __future__ import annotations

from collections.abc import Iterable

from google.rpc import status_pb2

from .._types.errors import ServerError
from .._types.prompts import MaskEncoding, OutputOptions, Prompt
from .._types.results import Provenance, Timings
from .._types.video import (
    VideoEvent,
    VideoFrameResult,
    VideoLimits,
    VideoObject,
    VideoRefusal,
)
from ..segment import v1 as pb
from .replies import (
    duration,
    provenance_message,
    read_provenance,
    read_segment,
    read_timings,
    seconds,
    segment_message,
    set_timings,
    stages,
)
from .requests import output_message, prompt_message
from .statuses import error_from_status


def start_request(model_id: str, output: OutputOptions, track_all: bool) -> pb.SegmentVideoRequest:
    """What opens a session."""
    return pb.SegmentVideoRequest(
        start=pb.VideoStart(model_id=model_id, output=output_message(output), track_all=track_all)
    )


def frame_request(index: int, encoded: bytes) -> pb.SegmentVideoRequest:
    """The next frame."""
    message = pb.SegmentVideoRequest()
    # Not as arguments: a message that is put into another is copied with its megabytes.
    message.frame.frame_index = index
    message.frame.encoded = encoded
    return message


def prompt_request(object_id: int, index: int, prompt: Prompt) -> pb.SegmentVideoRequest:
    """Where an object is on a frame."""
    return pb.SegmentVideoRequest(
        prompt=pb.VideoPrompt(object_id=object_id, frame_index=index, prompt=prompt_message(prompt))
    )


def removal_request(object_id: int) -> pb.SegmentVideoRequest:
    """The end of an object."""
    return pb.SegmentVideoRequest(removal=pb.VideoObjectRemoval(object_id=object_id))


def started_reply(limits: VideoLimits, provenance: Iterable[Provenance]) -> pb.SegmentVideoResponse:
    """The session is open."""
    started = pb.VideoStarted(
        max_objects=limits.max_objects,
        held_frames=limits.held_frames,
        max_frames_in_flight=limits.max_frames_in_flight,
        idle_timeout=duration(limits.idle_timeout_s),
        max_sessions=limits.max_sessions,
        provenance=[provenance_message(entry) for entry in provenance],
    )
    return pb.SegmentVideoResponse(started=started)


def read_started(message: pb.SegmentVideoResponse) -> tuple[VideoLimits, tuple[Provenance, ...]]:
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
    return limits, tuple(read_provenance(entry) for entry in event.provenance)


def frame_reply(
    result: VideoFrameResult, encoding: MaskEncoding = MaskEncoding.COCO_RLE
) -> pb.SegmentVideoResponse:
    """Every object on one frame, masks in the encoding asked for; timings of 0 s in all are left
    unset."""
    height, width = result.image_size
    frame = pb.VideoFrameSegments(
        frame_index=result.frame_index,
        revision=result.revision,
        segments=[_object_message(found, encoding) for found in result.objects],
        image_size=pb.ImageSize(height_px=height, width_px=width),
        warnings=result.warnings,
    )
    if result.timings != Timings():
        set_timings(frame.timings, stages(result.timings))
    return pb.SegmentVideoResponse(frame=frame)


def _object_message(found: VideoObject, encoding: MaskEncoding) -> pb.VideoSegment:
    return pb.VideoSegment(
        object_id=found.object_id,
        segment=segment_message(found.segment, encoding),
        presence=found.presence,
    )


def ack_reply() -> pb.SegmentVideoResponse:
    """A removal was carried out."""
    return pb.SegmentVideoResponse(ack=pb.VideoAck())


def going_away_reply(grace_s: float) -> pb.SegmentVideoResponse:
    """The server will close the session after so many seconds."""
    return pb.SegmentVideoResponse(going_away=pb.VideoGoingAway(grace=duration(grace_s)))


def read_going_away(message: pb.SegmentVideoResponse) -> float | None:
    """After how many seconds the server will close the session; ``None`` for other messages."""
    if message.WhichOneof("event") != "going_away":
        return None
    return seconds(message.going_away.grace)


def refusal_reply(
    request: pb.SegmentVideoRequest, status: status_pb2.Status
) -> pb.SegmentVideoResponse:
    """The answer to a message that was refused; it names a frame if the message did."""
    error = pb.VideoError(status=status)
    kind = request.WhichOneof("event")
    if kind == "frame":
        error.frame_index = request.frame.frame_index
    elif kind == "prompt":
        error.frame_index = request.prompt.frame_index
    return pb.SegmentVideoResponse(in_reply_to_seq=request.seq, error=error)


def read_video_event(message: pb.SegmentVideoResponse) -> VideoEvent | None:
    """A result or a refusal; ``None`` for what callers do not see.

    Raises:
        ServerError: if a mask in it is broken.
    """
    kind = message.WhichOneof("event")
    if kind == "frame":
        return _read_frame(message.frame)
    if kind == "error":
        error = message.error
        index = error.frame_index if error.HasField("frame_index") else None
        return VideoRefusal(error_from_status(error.status), index)
    return None


def _read_frame(message: pb.VideoFrameSegments) -> VideoFrameResult:
    size = (message.image_size.height_px, message.image_size.width_px)
    try:
        objects = tuple(
            VideoObject(entry.object_id, read_segment(entry.segment, size), entry.presence)
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
        timings=read_timings(message.timings),
        warnings=tuple(message.warnings),
        raw=message,
    )
