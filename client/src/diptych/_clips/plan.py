"""Objects followed through a clip that the client holds, in one direction or in both. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from .._types.checkpoint import VideoPrompt
from .._types.video import VideoEvent, VideoFrameResult, VideoRefusal
from .._video.frames import FrameLike, VideoFrame
from .._video.read import VideoReader

Direction = Literal["forward", "backward", "both"]
"""Which way from the frames with prompts."""

Clip = VideoReader | Sequence[FrameLike]
"""Frames that can be read more than once, and from the end."""

_DIRECTIONS = ("forward", "backward", "both")


class ClipPlan:
    """What is sent in which order, and what comes of both ways together.

    Args:
        clip: a ``VideoReader`` or a sequence of frames, which are numbered from 0 where they are no
            ``VideoFrame``. Without ``direction`` forward it is also read from its end.
        prompts: at least one.

    Raises:
        TypeError: the clip can be read once only.
        ValueError: there is no prompt, a frame of one is not in the clip, or there is no such
            direction.
    """

    def __init__(self, clip: Clip, prompts: Iterable[VideoPrompt], direction: Direction) -> None:
        if direction not in _DIRECTIONS:
            raise ValueError(f"direction: expected one of {_DIRECTIONS}, got {direction!r}")
        if not isinstance(clip, (VideoReader, Sequence)) or isinstance(clip, (str, bytes)):
            raise TypeError(
                "clip: expected read_video() or a sequence of frames, which can be read from the "
                f"end, got {type(clip).__name__}"
            )
        self._clip = clip
        self._prompts: dict[int, list[VideoPrompt]] = {}
        for prompt in prompts:
            self._prompts.setdefault(prompt.frame_index, []).append(prompt)
        if not self._prompts:
            raise ValueError("prompts: expected at least one, got none")
        self._check_frames()
        self._first: dict[int, int] = {}
        for index in sorted(self._prompts, reverse=True):
            for prompt in self._prompts[index]:
                self._first[prompt.object_id] = index

    def _check_frames(self) -> None:
        if isinstance(self._clip, VideoReader):
            there: Sequence[int] = self._clip.indexes
        else:
            there = [index for index, _ in _numbered(enumerate(self._clip))]
        for index in self._prompts:
            if index not in there:
                raise ValueError(f"prompts: expected frames of the clip, got frame {index}")

    def prompts_on(self, index: int) -> Sequence[VideoPrompt]:
        """What is said on a frame, in the order given."""
        return self._prompts.get(index, ())

    def forward(self) -> Iterator[tuple[int, FrameLike]]:
        """The frames from the first one with a prompt on."""
        first = min(self._prompts)
        frames = _numbered(enumerate(self._clip))
        return ((index, frame) for index, frame in frames if index >= first)

    def backward(self) -> Iterator[tuple[int, FrameLike]]:
        """The frames from the last one with a prompt back to the start."""
        last = max(self._prompts)
        if isinstance(self._clip, VideoReader):
            frames = _numbered((0, frame) for frame in reversed(self._clip))
        else:
            count = len(self._clip)
            frames = _numbered((count - 1 - n, f) for n, f in enumerate(reversed(self._clip)))
        return ((index, frame) for index, frame in frames if index <= last)

    def held(self, event: VideoEvent) -> VideoFrameResult | None:
        """What the way forward does not say: objects before their first prompt."""
        if isinstance(event, VideoRefusal):
            return None
        index = event.frame_index
        objects = tuple(o for o in event.objects if index < self._first.get(o.object_id, -1))
        return replace(event, objects=objects, raw=None)

    def alone(self, event: VideoEvent) -> bool:
        """Whether the way forward says nothing of this."""
        index = event.frame_index
        return index is not None and index < min(self._prompts)

    def merged(self, event: VideoEvent, held: Mapping[int, VideoFrameResult]) -> VideoEvent:
        """A result of the way forward with what is held of its frame."""
        if isinstance(event, VideoRefusal) or event.frame_index not in held:
            return event
        return merged(event, held[event.frame_index])


def merged(forward: VideoFrameResult, held: VideoFrameResult) -> VideoFrameResult:
    """A frame's answer with the objects of another way through the clip; those have precedence."""
    known = {found.object_id for found in held.objects}
    objects = [*held.objects, *(each for each in forward.objects if each.object_id not in known)]
    return replace(forward, objects=tuple(sorted(objects, key=lambda each: each.object_id)))


class LastWords:
    """Answers of a session whose prompts follow their frame at once: each frame's last one.

    It is known when a later frame is answered.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, VideoFrameResult | None] = {}

    def sent(self, index: int) -> None:
        """Note that a frame is sent now."""
        self._waiting[index] = None

    def take(self, event: VideoEvent) -> Iterator[VideoEvent]:
        """What an answer makes certain, refusals among it."""
        if isinstance(event, VideoRefusal):
            if event.object_id is None and event.frame_index is not None:
                self._waiting.pop(event.frame_index, None)
            yield event
            return
        for index in list(self._waiting):
            if index == event.frame_index:
                break
            yield from self._out(index)
        self._waiting[event.frame_index] = event

    def rest(self) -> Iterator[VideoEvent]:
        """What is certain at the end."""
        for index in list(self._waiting):
            yield from self._out(index)

    def _out(self, index: int) -> Iterator[VideoEvent]:
        result = self._waiting.pop(index)
        if result is not None:
            yield result


def _numbered(
    frames: Iterable[tuple[int, FrameLike]],
) -> Iterator[tuple[int, FrameLike]]:
    for number, frame in frames:
        yield (frame.index if isinstance(frame, VideoFrame) else number), frame
