"""Turns what a video session answers into messages of the contract."""

from __future__ import annotations

import time
from dataclasses import dataclass

from google.rpc import status_pb2

from diptych import MaskEncoding, Task
from diptych.segment import v1 as pb

from ..engine.protocol import LoadedModel
from ..settings import RuntimeSettings
from ..wire.convert import duration, tracked_to_wire
from .live_session import Event, FrameReply
from .replies import provenance


@dataclass(frozen=True)
class VideoReplyWriter:
    """Fills replies for one loaded model."""

    model_id: str
    loaded: LoadedModel
    settings: RuntimeSettings

    def started(self) -> pb.SegmentVideoResponse:
        """The session is open."""
        started = pb.VideoStarted(
            max_objects=self.settings.max_video_objects,
            held_frames=self.settings.held_frames,
            max_frames_in_flight=self.settings.frames_in_flight,
            max_sessions=self.settings.max_sessions,
            idle_timeout=duration(self.settings.session_idle_s),
            provenance=[provenance(self.model_id, self.loaded, Task.VIDEO_SEGMENTATION)],
        )
        return pb.SegmentVideoResponse(started=started)

    def frame(
        self, reply: FrameReply, event: Event, encoding: MaskEncoding
    ) -> pb.SegmentVideoResponse:
        """One frame's objects; times are those of the message that is answered."""
        started = time.monotonic()
        frame = pb.VideoFrameSegments(
            frame_index=reply.answer.frame_index,
            revision=reply.revision,
            segments=[tracked_to_wire(tracked, encoding) for tracked in reply.answer.objects],
            image_size=pb.ImageSize(height_px=reply.size[0], width_px=reply.size[1]),
        )
        now = time.monotonic()
        total, post = now - event.received, now - started
        for stage, seconds in (
            ("queue", total - event.decode_s - event.model_s - post),
            ("decode", event.decode_s),
            ("predict", event.model_s),
            ("postprocess", post),
            ("total", total),
        ):
            getattr(frame.timings, stage).CopyFrom(duration(seconds))
        return pb.SegmentVideoResponse(frame=frame)


def refused(status: status_pb2.Status, request: pb.SegmentVideoRequest) -> pb.SegmentVideoResponse:
    """The answer to a message that was refused; it concerns a frame if the message named one."""
    error = pb.VideoError(status=status)
    kind = request.WhichOneof("event")
    if kind == "frame":
        error.frame_index = request.frame.frame_index
    elif kind == "prompt":
        error.frame_index = request.prompt.frame_index
    return pb.SegmentVideoResponse(in_reply_to_seq=request.seq, error=error)
