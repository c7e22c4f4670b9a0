"""Turns what a video session answers into messages of the contract."""

from __future__ import annotations

import time
from dataclasses import dataclass

from diptych import MaskEncoding, Task, VideoFrameResult, VideoLimits
from diptych.segment import v1 as pb
from diptych.wire.replies import set_timings
from diptych.wire.video import frame_reply, started_reply

from ..engine.protocol import LoadedModel
from ..settings import RuntimeSettings
from .live_session import Event, FrameReply
from .work import check_finite, provenance


@dataclass(frozen=True)
class VideoReplyWriter:
    """Fills replies for one loaded model."""

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
        """One frame's objects; times are those of the message that is answered."""
        started = time.monotonic()
        check_finite(found.segment for found in reply.answer.objects)
        message = frame_reply(
            VideoFrameResult(
                frame_index=reply.answer.frame_index,
                revision=reply.revision,
                objects=reply.answer.objects,
                image_size=reply.size,
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
