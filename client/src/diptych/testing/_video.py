"""The fake's video sessions: each object stays where it was said to be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._types.prompts import MaskEncoding
from .._types.results import Timings
from .._types.video import VideoFrameResult, VideoObject
from ..limits import SERVER_IDS
from ..segment import v1 as pb
from ..wire.requests import box_message, read_encoding, read_mask
from ..wire.video import ack_reply, frame_reply, refusal_reply
from ._answers import FakeVideoFrame
from ._failures import Failed, make_failure
from ._images import image_size
from ._replies import default_segments

if TYPE_CHECKING:
    from ._service import FakeSegmentService


@dataclass
class _Frame:
    image: bytes
    size: tuple[int, int]
    revision: int = 0


@dataclass
class VideoSessionFake:
    """One session with one fake model."""

    fake: FakeSegmentService
    model_id: str
    start: pb.VideoStart
    _frames: dict[int, _Frame] = field(default_factory=dict)
    _objects: dict[int, pb.ObjectPrompt] = field(default_factory=dict)
    _gone: set[int] = field(default_factory=set)
    _size: tuple[int, int] | None = None
    _newest: int = -1

    def answers(self, request: pb.SegmentVideoRequest) -> Iterator[pb.SegmentVideoResponse]:
        """What one message is answered with; a refusal is in band."""
        kind = request.WhichOneof("event")
        try:
            if kind == "frame":
                yield self._answer(request.seq, self._add_frame(request.frame))
            elif kind == "prompt":
                for index in self._prompt(request.prompt):
                    self._frames[index].revision += 1
                    yield self._answer(request.seq, index)
            elif kind == "removal":
                self._remove(request.removal.object_id)
                yield _in_reply(request.seq, ack_reply())
            else:
                raise _refused("SESSION_ORDER", f"expected frame, prompt or removal, got {kind}")
        except Failed as failed:
            yield refusal_reply(request, failed.failure.to_status(self.fake.next_request_id()))

    def _add_frame(self, frame: pb.VideoFrame) -> int:
        index = frame.frame_index
        if index <= self._newest:
            raise _refused("SESSION_ORDER", f"frame_index: expected more than {self._newest}")
        size = image_size(frame.encoded)
        if self._size not in (None, size):
            raise _refused("IMAGE_SHAPE", f"frame: expected {self._size}, got {size}")
        self._size = size
        self._newest = index
        self._frames[index] = _Frame(frame.encoded, size)
        while len(self._frames) > max(1, self.fake.video_started.held_frames):
            del self._frames[next(iter(self._frames))]
        return index

    def _prompt(self, prompt: pb.VideoPrompt) -> list[int]:
        if prompt.frame_index not in self._frames:
            raise _refused("FRAME_NOT_HELD", f"frame_index: {prompt.frame_index} is not held")
        if prompt.object_id in self._gone or not 0 <= prompt.object_id < SERVER_IDS:
            raise _refused("PROMPT_INVALID", f"object_id: {prompt.object_id} cannot be used")
        fresh = prompt.object_id not in self._objects
        if fresh and len(self._objects) >= self.fake.video_started.max_objects:
            raise _refused("OBJECT_LIMIT", f"objects: at most {len(self._objects)}")
        if not (prompt.prompt.points or prompt.prompt.HasField("box") or _has_mask(prompt)):
            raise _refused("PROMPT_INVALID", "prompt: expected points, a box or a mask")
        if not _only_corrects(prompt):
            self._objects[prompt.object_id] = prompt.prompt
        elif fresh:
            raise _refused("PROMPT_INVALID", "prompt: background points have nothing to correct")
        return [index for index in self._frames if index >= prompt.frame_index]

    def _remove(self, object_id: int) -> None:
        if object_id not in self._objects:
            raise _refused("OBJECT_UNKNOWN", f"object_id: {object_id} is not tracked")
        del self._objects[object_id]
        self._gone.add(object_id)

    def _answer(self, seq: int, index: int) -> pb.SegmentVideoResponse:
        frame = self._frames[index]
        result = VideoFrameResult(
            frame_index=index,
            revision=frame.revision,
            objects=tuple(self._found(index, frame)),
            image_size=frame.size,
            timings=Timings(total_s=0.005),
        )
        encoding = read_encoding(self.start.output.mask_encoding) or MaskEncoding.COCO_RLE
        return _in_reply(seq, frame_reply(result, encoding))

    def _found(self, index: int, frame: _Frame) -> Sequence[VideoObject]:
        answer = self.fake.video_answer(self.model_id)
        if answer is not None:
            prompts = dict(self._objects)
            return answer(FakeVideoFrame(self.model_id, index, frame.image, frame.size, prompts))
        asked = [_boxed(prompt, frame.size) for prompt in self._objects.values()]
        segments = default_segments(pb.SegmentRequest(prompts=asked), frame.size) if asked else []
        ids = [*self._objects]
        if self.start.track_all:
            ids.append(SERVER_IDS)
            segments += default_segments(pb.SegmentRequest(), frame.size)
        return [VideoObject(i, one, one.score) for i, one in zip(ids, segments, strict=True)]


def video_answers(
    fake: FakeSegmentService, model_id: str, requests: Iterator[pb.SegmentVideoRequest]
) -> Iterator[pb.SegmentVideoResponse]:
    """A whole session after its ``start``; ``Failed`` when the model was told to fail."""
    session: VideoSessionFake | None = None
    with fake.open_video_session():
        for request in requests:
            fake.note_video(request)
            is_frame = request.WhichOneof("event") == "frame"
            fake.work(model_id, request.frame.frame_index if is_frame else None)
            if session is None:
                session = VideoSessionFake(fake, model_id, request.start)
                started = fake.video_started
                yield pb.SegmentVideoResponse(in_reply_to_seq=request.seq, started=started)
            else:
                yield from session.answers(request)


def _in_reply(seq: int, message: pb.SegmentVideoResponse) -> pb.SegmentVideoResponse:
    message.in_reply_to_seq = seq
    return message


def _boxed(prompt: pb.ObjectPrompt, size: tuple[int, int]) -> pb.ObjectPrompt:
    """A prompt whose mask, if it has one, is told by its box."""
    mask = read_mask(prompt.mask.mask, size) if prompt.HasField("mask") else None
    if mask is None or mask.box is None or prompt.HasField("box"):
        return prompt
    return pb.ObjectPrompt(box=box_message(mask.box))


def _has_mask(prompt: pb.VideoPrompt) -> bool:
    return prompt.prompt.HasField("mask")


def _only_corrects(prompt: pb.VideoPrompt) -> bool:
    """Whether it says no more than where the object is not."""
    known = prompt.prompt.HasField("box") or _has_mask(prompt)
    foreground = pb.PointLabel.POINT_LABEL_FOREGROUND
    return not known and all(point.label != foreground for point in prompt.prompt.points)


def _refused(reason: str, message: str) -> Failed:
    return Failed(make_failure(reason, message))
