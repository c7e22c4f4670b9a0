"""SAM 2 through a live stream: objects are added, corrected and removed while frames arrive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor

from diptych import Prompt, Segment
from diptych_runtime.engine import (
    FrameAnswer,
    ObjectIds,
    Pixels,
    Steps,
    TrackedObject,
    VideoOptions,
)
from diptych_runtime.engine.video_errors import (
    not_held,
    nothing_to_correct,
    other_size,
    out_of_order,
)
from diptych_torch.faults import guarded_steps

from ..masks import Upsampler, shape_of
from ..network.frames import squashed
from ..network.memory import FrameMemory, MemoryWindow, ObjectMemory
from ..network.video import FrameFeatures, VideoNetwork
from .held_frames import HeldFrame, HeldFrames
from .options import check_options
from .prompts import check_prompt, prompt_inputs

_OBJECT_BYTES = 1024


@dataclass
class _Track:
    """One object: what the network remembers of it, and its answers on the held frames."""

    memory: ObjectMemory
    answers: dict[int, TrackedObject] = field(default_factory=dict)
    """By frame number."""

    def copy(self) -> _Track:
        return _Track(self.memory.copy(), dict(self.answers))

    def forget(self, oldest: int) -> None:
        self.memory.forget(oldest)
        for number in [n for n in self.answers if n < oldest]:
            del self.answers[number]

    @property
    def nbytes(self) -> int:
        masks = [answer.segment.mask for answer in self.answers.values()]
        runs = sum(mask.counts.nbytes for mask in masks if mask is not None)
        return self.memory.nbytes + runs + _OBJECT_BYTES * len(self.answers)


class Sam2VideoSession:
    """Implements ``diptych_runtime.engine.video.VideoSession``.

    Answers equal those of ``SAM2VideoPredictor`` driven in stream order over the whole clip, but
    for rounding, as long as no object has more than ``max_conditioning_frames`` prompted frames;
    beyond it the first and the newest of them stay. Work is done on copies that replace the state
    at the end, so a message that fails half-way leaves no trace.

    Args:
        network: Shared by all sessions of an engine, in one thread.
        options: What the client asked for; prompts are accepted on ``held_frames`` frames.
        max_conditioning_frames: Prompted frames that an object is remembered by; at least 2.
        feature_frames: Newest frames whose features are kept instead of being computed again when
            a prompt needs them; at least 1. At 1024 pixels they cost 16 MiB a frame.

    Raises:
        ServiceError: ``TASK_UNSUPPORTED`` for ``track_all``.
    """

    def __init__(
        self,
        network: VideoNetwork,
        options: VideoOptions,
        *,
        max_conditioning_frames: int = 8,
        feature_frames: int = 2,
    ) -> None:
        check_options(options, max_conditioning_frames, feature_frames)
        self._network = network
        self._ids = ObjectIds(options.max_objects)
        self._window = MemoryWindow(
            network.memory_frames, network.pointer_frames, max_conditioning_frames
        )
        self._frames = HeldFrames(options.held_frames, feature_frames)
        self._tracks: dict[int, _Track] = {}
        self._size: tuple[int, int] | None = None
        self._upsampler: Upsampler | None = None
        self._busy = self._closed = False

    @property
    def nbytes(self) -> int:
        """Memory that the session keeps, on any device; the shared network is not counted."""
        tracks = sum(track.nbytes for track in self._tracks.values())
        return self._frames.nbytes + tracks + self._ids.nbytes

    @guarded_steps
    def add_frame(self, frame_index: int, pixels: Pixels) -> Steps[FrameAnswer]:
        """Take the next frame and find every object on it; a step is the encoder, one
        object or one batch of objects.

        Raises:
            ServiceError: ``SESSION_ORDER`` if the index does not grow, ``IMAGE_SHAPE`` for a frame
                of another size, ``DEVICE_MEMORY``.
        """
        with self._exclusive():
            newest = self._frames.newest
            self._check_frame(frame_index, pixels, newest)
            square = squashed(pixels, self._network.image_size)
            features = self._network.encode(square)
            number = 0 if newest is None else newest.number + 1
            frame = HeldFrame(number, frame_index, square, features)
            tracks = {object_id: track.copy() for object_id, track in self._tracks.items()}
            if tracks:
                yield
            for track in tracks.values():
                self._commit_pending(track, newest)
            memories = {object_id: track.memory for object_id, track in tracks.items()}
            for index, batch in enumerate(self._network.batches(memories)):
                if index:
                    yield
                chosen = {object_id: tracks[object_id] for object_id in batch}
                self._track_objects(chosen, frame, features, _size(pixels))
            self._check_open()
            self._size = _size(pixels)
            self._frames.append(frame)
            for track in tracks.values():
                track.forget(self._frames.oldest_number)
            self._tracks = tracks
            return self._answer(frame)

    @guarded_steps
    def prompt(
        self, object_id: int, frame_index: int, prompt: Prompt
    ) -> Steps[tuple[FrameAnswer, ...]]:
        """Prompt an object, new or tracked already, on a held frame.

        Frames after it are tracked again, except those on which the object was prompted itself.
        Background points alone correct the object's answer on the frame, and need one.
        All of them are answered anew, with every object. A step is the encoder or one frame.

        Raises:
            ServiceError: ``FRAME_NOT_HELD``, ``OBJECT_UNKNOWN`` for an id of a removed object,
                ``OBJECT_LIMIT``, ``PROMPT_INVALID``, ``DEVICE_MEMORY``.
        """
        with self._exclusive():
            frame = self._held(frame_index)
            self._ids.check(object_id, self._tracks)
            size = self._known_size()
            check_prompt(prompt, size)
            known = self._tracks.get(object_id)
            if prompt.is_correction and (known is None or frame.number not in known.answers):
                raise nothing_to_correct(
                    f"object {object_id} has no answer on frame {frame_index} to be corrected"
                )
            track = known.copy() if known else _Track(ObjectMemory(self._window))
            features = yield from self._features(frame)
            side, device = self._network.image_size, self._network.device
            inputs = prompt_inputs(prompt, size, side, device)
            found = self._network.prompt(features, frame.number, track.memory, inputs)
            track.answers[frame.number] = self._tracked(object_id, found, size)
            frames = self._frames.since(frame)
            if len(frames) == 1:
                track.memory.pending = (frame.number, found)
            else:
                self._commit_pending(track, frames[-1])
                track.memory.condition(frame.number, self._network.remember(features, found))
                yield from self._track_again(object_id, track, frames[1:])
            self._check_open()
            track.forget(self._frames.oldest_number)
            self._tracks[object_id] = track
            return tuple(self._answer(held) for held in frames)

    def remove(self, object_id: int) -> None:
        """Stop tracking an object; its id is not free again.

        Raises:
            ServiceError: ``OBJECT_UNKNOWN`` if it is not tracked.
        """
        with self._exclusive():
            self._ids.remove(object_id, self._tracks)
            del self._tracks[object_id]

    def close(self) -> None:
        """Free everything. Steps that are under way should be closed first: they hold what they
        work on, and fail if they are resumed. Closing twice is harmless."""
        self._closed = True
        self._frames.clear()
        self._tracks = {}
        self._ids.clear()
        self._upsampler = None

    def _track_again(self, object_id: int, track: _Track, frames: list[HeldFrame]) -> Steps[None]:
        for frame in frames:
            known = track.memory.latest(frame.number)
            if known is not None and known.prompted:
                continue
            yield
            features = yield from self._features(frame)
            self._track_objects({object_id: track}, frame, features, self._known_size())

    def _track_objects(
        self,
        tracks: Mapping[int, _Track],
        frame: HeldFrame,
        features: FrameFeatures,
        size: tuple[int, int],
    ) -> None:
        """Find objects by id, which are remembered by the same frames, on one more frame."""
        memories = [track.memory for track in tracks.values()]
        found = self._network.track(features, frame.number, memories)
        for (object_id, track), one in zip(tracks.items(), found, strict=True):
            track.memory.tracked[frame.number] = one
            track.answers[frame.number] = self._tracked(object_id, one, size)

    def _commit_pending(self, track: _Track, newest: HeldFrame | None) -> None:
        """The stream goes on: the newest frame's prompted answer becomes memory."""
        if track.memory.pending is None:
            return
        number, found = track.memory.pending
        # Only the newest frame has a pending answer, and its features are always kept.
        assert newest is not None
        assert newest.number == number
        assert newest.features is not None
        track.memory.pending = None
        track.memory.condition(number, self._network.remember(newest.features, found))

    def _features(self, frame: HeldFrame) -> Steps[FrameFeatures]:
        if frame.features is not None:
            return frame.features
        features = self._network.encode(frame.square)
        yield
        return features

    def _tracked(self, object_id: int, found: FrameMemory, size: tuple[int, int]) -> TrackedObject:
        logit = found.presence.cpu()
        presence = float(logit.sigmoid())
        if float(logit) <= 0:
            return TrackedObject(object_id, Segment(presence), presence)
        assert found.logits is not None
        return TrackedObject(object_id, self._segment(found.logits, presence, size), presence)

    def _segment(self, logits: Tensor, presence: float, size: tuple[int, int]) -> Segment:
        if self._upsampler is None:
            self._upsampler = Upsampler(self._network.logits_size, size, self._network.device)
        shape = shape_of(self._upsampler.window(logits[0, 0]), size)
        return Segment(presence, box=shape.box, mask=shape.mask, area=shape.area)

    def _answer(self, frame: HeldFrame) -> FrameAnswer:
        found = (self._tracks[i].answers.get(frame.number) for i in sorted(self._tracks))
        return FrameAnswer(frame.index, tuple(one for one in found if one is not None))

    def _check_frame(self, index: int, pixels: Pixels, newest: HeldFrame | None) -> None:
        last = -1 if newest is None else newest.index
        if index <= last:
            raise out_of_order(index, last)
        size = _size(pixels)
        if self._size not in (None, size):
            raise other_size(size, self._known_size())

    def _held(self, index: int) -> HeldFrame:
        frame = self._frames.at(index)
        if frame is None:
            raise not_held(index, self._frames.indices)
        return frame

    def _known_size(self) -> tuple[int, int]:
        assert self._size is not None
        return self._size

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        self._check_open()
        if self._busy:
            raise RuntimeError("a session takes one message at a time; finish or close the last")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this session is closed")


def _size(pixels: Pixels) -> tuple[int, int]:
    return (pixels.shape[0], pixels.shape[1])
