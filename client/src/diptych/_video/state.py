"""What both kinds of video session know of their stream: order, window, held frames. No I/O.

Not safe between threads; the sessions guard it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .._arguments import BoxLike, PointLike, make_box, make_point
from .._transport.timeouts import checked_timeout
from .._types.checkpoint import VideoCheckpoint, VideoPrompt
from .._types.errors import DiptychError, SessionLostError, UnavailableError
from .._types.prompts import LowResLogits, OutputOptions, Prompt
from .._types.results import Provenance
from .._types.video import (
    VideoEvent,
    VideoFrameResult,
    VideoLimits,
    VideoOptions,
    VideoRefusal,
)
from ..masks.mask import Mask
from ..segment import v1 as pb
from ..wire.video import (
    frame_request,
    prompt_request,
    read_going_away,
    read_started,
    removal_request,
    start_request,
)
from .frames import checked_quality
from .held import HeldObjects

MAX_WAITING = 1024
"""Prompts and removals that may be unanswered."""


def make_prompt(
    points: Sequence[PointLike], box: BoxLike | None, mask: Mask | NDArray[np.bool_] | None
) -> Prompt:
    """Make one object's prompt; an array is a ``(height, width)`` mask of the frame.

    Raises:
        TypeError, ValueError: it cannot be one.
    """
    if isinstance(mask, LowResLogits):
        raise TypeError("mask: expected a Mask or an array, got the logits of an image answer")
    return Prompt(
        points=tuple(make_point(point) for point in points),
        box=None if box is None else make_box(box),
        mask=Mask.from_array(mask) if isinstance(mask, np.ndarray) else mask,
    )


def make_video_options(
    model: str | None,
    output: OutputOptions | None,
    track_all: bool,
    resume: SessionLostError | None,
    raise_refusals: bool,
    jpeg_quality: int | None,
    timeout: float | None,
) -> VideoOptions:
    """Options of a new session, or of one that goes on from a lost one.

    Raises:
        ValueError: one cannot be used, or the error holds no session.
    """
    checkpoint = resume.checkpoint if resume is not None else None
    if checkpoint is not None:
        model, output = model or checkpoint.model, output or checkpoint.output
        track_all = track_all or checkpoint.track_all
    elif resume is not None:
        raise ValueError("resume: expected the error of an open session, got one without any")
    return VideoOptions(
        model=model,
        output=output or OutputOptions(),
        track_all=track_all,
        raise_refusals=raise_refusals,
        jpeg_quality=checked_quality(jpeg_quality),
        timeout=checked_timeout(timeout),
        checkpoint=checkpoint,
    )


class SessionState:
    """Everything about one stream but the stream."""

    def __init__(self, options: VideoOptions) -> None:
        self._options = options
        self._seq = 0
        self._newest_index = -1
        self._frames: dict[int, bytes] = {}
        self._unanswered: dict[int, pb.SegmentVideoRequest] = {}
        self._unanswered_frames: set[int] = set()
        self._objects = HeldObjects(self._frames.keys())
        self.limits: VideoLimits | None = None
        self.provenance: tuple[Provenance, ...] = ()
        self.going_away_s: float | None = None

    def start(self) -> pb.SegmentVideoRequest:
        """The first message."""
        options = self._options
        message = start_request(options.model or "", options.output, options.track_all)
        self.sent(message)
        return message

    def opened(self, message: pb.SegmentVideoResponse) -> None:
        """Takes the first answer; ``ServerError`` if it is another."""
        self.limits, self.provenance = read_started(message)
        self._unanswered.clear()

    @property
    def has_room(self) -> bool:
        """Another frame may be sent."""
        assert self.limits is not None
        return len(self._unanswered_frames) < self.limits.max_frames_in_flight

    @property
    def all_answered(self) -> bool:
        """Nothing that was sent waits for an answer."""
        return not self._unanswered

    def frame(self, encoded: bytes, index: int | None) -> pb.SegmentVideoRequest:
        """The next frame; ``ValueError`` if its index does not grow."""
        if index is None:
            index = self._newest_index + 1
        elif index <= self._newest_index:
            raise ValueError(f"index: expected more than {self._newest_index}, got {index}")
        return frame_request(index, encoded)

    def prompt(self, object_id: int, index: int | None, prompt: Prompt) -> pb.SegmentVideoRequest:
        """A prompt, for the newest frame if no index is given.

        Raises:
            ValueError: no frame was sent yet.
            RuntimeError: too many prompts are not answered.
        """
        if index is None:
            if not self._frames:
                raise ValueError("prompt: send a frame first")
            index = next(reversed(self._frames))
        self._check_waiting()
        return prompt_request(object_id, index, prompt)

    def removal(self, object_id: int) -> pb.SegmentVideoRequest:
        """The end of an object; ``RuntimeError`` if too many are not answered."""
        self._check_waiting()
        return removal_request(object_id)

    def _check_waiting(self) -> None:
        if len(self._unanswered) - len(self._unanswered_frames) >= MAX_WAITING:
            raise RuntimeError(
                f"{MAX_WAITING} prompts wait for an answer: read results of the session"
            )

    def sent(self, message: pb.SegmentVideoRequest, prompt: Prompt | None = None) -> None:
        """Numbers a message that is sent now, and remembers it until it is answered."""
        self._seq += 1
        message.seq = self._seq
        kind = message.WhichOneof("event")
        if kind == "frame":
            self._newest_index = message.frame.frame_index
            self._hold(self._newest_index, message.frame.encoded)
            self._unanswered_frames.add(self._seq)
            # Without its megabytes.
            kept = frame_request(self._newest_index, b"")
            self._unanswered[self._seq] = kept
        else:
            self._unanswered[self._seq] = message
        if kind == "prompt" and prompt is not None:
            asked = VideoPrompt(message.prompt.object_id, message.prompt.frame_index, prompt)
            self._objects.ask(self._seq, asked)
        elif kind == "removal":
            self._objects.forget(message.removal.object_id)

    def _hold(self, index: int, encoded: bytes) -> None:
        assert self.limits is not None
        self._frames[index] = encoded
        while len(self._frames) > self.limits.held_frames:
            del self._frames[next(iter(self._frames))]
        self._objects.trim()

    def settle(
        self, message: pb.SegmentVideoResponse, event: VideoEvent | None
    ) -> VideoEvent | None:
        """Takes an answer and what it was read as; what the caller is to see of it."""
        grace_s = read_going_away(message)
        if grace_s is not None:
            self.going_away_s = grace_s
        seq = message.in_reply_to_seq
        request = self._unanswered.pop(seq, None)
        self._unanswered_frames.discard(seq)
        if isinstance(event, VideoRefusal):
            self._objects.refused(seq)
            return self._refused(event, request)
        self._objects.answered(seq)
        if isinstance(event, VideoFrameResult):
            self._objects.saw(event)
        return event

    def _refused(
        self, refusal: VideoRefusal, request: pb.SegmentVideoRequest | None
    ) -> VideoRefusal:
        kind = request.WhichOneof("event") if request is not None else None
        if request is None:
            return refusal
        if kind == "frame":
            self._frames.pop(request.frame.frame_index, None)
            return replace(refusal, frame_index=request.frame.frame_index)
        if kind == "prompt":
            asked = request.prompt
            return replace(refusal, frame_index=asked.frame_index, object_id=asked.object_id)
        return replace(refusal, object_id=request.removal.object_id)

    def checkpoint(self) -> VideoCheckpoint:
        """What another session needs to go on from here."""
        prompts, lost = self._objects.prompts()
        return VideoCheckpoint(
            model=self._options.model,
            output=self._options.output,
            track_all=self._options.track_all,
            frames=tuple(self._frames.items()),
            prompts=prompts,
            lost_objects=lost,
        )

    def lost(self, error: DiptychError) -> DiptychError:
        """The error as the caller is to see it: one that a new session can go on from."""
        if self.limits is None or not isinstance(error, (SessionLostError, UnavailableError)):
            return error
        if not isinstance(error, SessionLostError):
            # The server went away under an open session: it cannot say so itself.
            error = SessionLostError(
                str(error),
                code=error.code,
                reason=error.reason,
                metadata=error.metadata,
                request_id=error.request_id,
                retry_after_s=error.retry_after_s,
            )
        error.checkpoint = self.checkpoint()
        return error
