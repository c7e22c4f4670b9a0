"""Mask R-CNN through a live stream: what it detects on each frame is linked to objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import replace

from diptych import Box, Prompt
from diptych_runtime.engine import (
    OWN_IDS,
    FrameAnswer,
    ObjectIds,
    Pixels,
    Reason,
    Steps,
    VideoOptions,
    check_tracked,
    invalid,
)
from diptych_runtime.engine.video_errors import nothing_to_correct

from ..network.detect import detect, fill_masks
from ..network.pyramid import Pyramid, embed
from ..prompts import find_pointed_at, segment_boxes
from ..segments import (
    DEFAULT_MAX_SEGMENTS,
    DEFAULT_MIN_SCORE,
    Network,
    allowed,
    box_segment,
    detection_box,
    mask_segment,
)
from .held_frames import HeldFrame, held_bytes
from .tracking import Linked, Pin, Rules, Track, advance, within_reach

MIN_BOX_IOU = 0.5
"""A box prompt takes the detection that it overlaps most, if it does so by this much: the usual
threshold for calling two boxes those of one object (PASCAL VOC, COCO)."""


class MaskRcnnVideoSession:
    """Implements ``diptych_runtime.engine.video.VideoSession``.

    Prompts choose which detected object is followed; a box around none is segmented as for
    images. What a frame was linked from is kept while it is held, so that a prompt on it links it
    and the later ones again, with their own prompts. Frames are values that a message makes anew
    and swaps in at its end, so one that fails half-way leaves no trace.

    A step is the backbone, the box head, a batch of masks, or one mask's run lengths.
    """

    def __init__(self, network: Network, options: VideoOptions) -> None:
        output = options.output
        most = DEFAULT_MAX_SEGMENTS if output.max_segments is None else output.max_segments
        self._network = network
        self._output = output
        self._held_frames = options.held_frames
        self._min_score = DEFAULT_MIN_SCORE if output.min_score is None else output.min_score
        self._track_all = options.track_all
        self._most = min(options.max_objects, most)
        self._ids = ObjectIds(options.max_objects)
        self._dismissed: Set[int] = frozenset()
        """Automatic tracks that were removed, while they are known on a held frame."""
        self._frames: tuple[HeldFrame, ...] = ()

    @property
    def nbytes(self) -> int:
        """Memory that the session keeps, on any device; the shared network is not counted."""
        return held_bytes(self._frames) + self._ids.nbytes

    def add_frame(self, frame_index: int, pixels: Pixels) -> Steps[FrameAnswer]:
        """Take the next frame and link what is detected on it to objects.

        Raises:
            ServiceError: ``DEVICE_MEMORY``.
        """
        features = embed(self._network.module, pixels)
        yield
        assert isinstance(features.payload, Pyramid)
        detections = detect(self._network.module, features.payload)
        yield
        frame = HeldFrame(frame_index, pixels, features, detections)
        newest = self._frames[-1].linked if self._frames else Linked()
        frame = yield from self._linked(frame, newest.tracks, newest.next_id)
        older = (held.without_features() for held in self._frames)
        self._frames = (*older, frame)[-self._held_frames :]
        self._dismissed &= _all_ids(self._frames)
        return frame.answer(self._rules())

    def prompt(
        self, object_id: int, frame_index: int, prompt: Prompt
    ) -> Steps[tuple[FrameAnswer, ...]]:
        """Choose the object to follow on a held frame, and link the later frames again.

        Raises:
            ServiceError: ``OBJECT_UNKNOWN`` for an id of a removed object, ``OBJECT_LIMIT`` if as
                many were prompted already, ``PROMPT_INVALID`` where it chooses no object or one
                that is another's, ``DEVICE_MEMORY``. Background points alone choose none.
        """
        self._ids.check(object_id, [i for i in self._shown() if i < OWN_IDS])
        at = [frame.index for frame in self._frames].index(frame_index)
        frame = yield from self._with_features(self._frames[at])
        frame, pin = yield from self._chosen(frame, prompt)
        frame = frame.pinned(object_id, pin, self._rules())
        tracks, next_id = frame.before, self._frames[-1].linked.next_id
        frames = list(self._frames)
        for number, held in enumerate((frame, *self._frames[at + 1 :]), start=at):
            linked = yield from self._linked(held, tracks, next_id)
            tracks, next_id = linked.linked.tracks, linked.linked.next_id
            is_newest = number == len(frames) - 1
            frames[number] = linked if is_newest else linked.without_features()
        self._frames = tuple(frames)
        rules = self._rules()
        return tuple(held.answer(rules) for held in self._frames[at:])

    def remove(self, object_id: int) -> None:
        """Stop following an object; its id is not free again.

        Raises:
            ServiceError: ``OBJECT_UNKNOWN`` if it is not followed.
        """
        shown = self._shown()
        if object_id < OWN_IDS:
            self._ids.remove(object_id, shown)
        else:
            check_tracked(object_id, shown)
            self._dismissed = {*self._dismissed, object_id}
        rules = self._rules()
        self._frames = tuple(frame.without(object_id, rules) for frame in self._frames)

    def close(self) -> None:
        """Give all memory back; steps that are under way must be closed first."""
        self._frames = ()
        self._ids.clear()
        self._dismissed = frozenset()

    def _rules(self) -> Rules:
        removed = self._ids.removed | self._dismissed
        return Rules(self._min_score, self._most, self._track_all, removed)

    def _shown(self) -> list[int]:
        """List the ids of objects that are followed and were not removed."""
        tracks = self._frames[-1].linked.tracks if self._frames else ()
        removed = self._rules().removed
        return [track.object_id for track in tracks if track.object_id not in removed]

    def _linked(self, frame: HeldFrame, before: Sequence[Track], next_id: int) -> Steps[HeldFrame]:
        """Link the frame to the tracks before it."""
        rules = self._rules()
        frame = yield from self._with_masks(frame, self._needed(frame, before, rules))
        linked = advance(before, frame.observation, rules, next_id)
        return replace(frame, before=tuple(before), linked=linked)

    def _needed(self, frame: HeldFrame, before: Sequence[Track], rules: Rules) -> list[int]:
        """List the detections that need a mask: those over the floor, and those that a track may go
        on with; none without anything to follow.
        """
        if not rules.track_all:
            before = [track for track in before if track.object_id not in rules.removed]
        if not (before or frame.pins or rules.track_all):
            return []
        eligible = allowed(frame.detections, self._output)
        scores = frame.detections.scores
        low = {
            index: box_segment(self._network, frame.detections, index, frame.size)
            for index in eligible
            if scores[index] < rules.min_score
        }
        return [index for index in eligible if index not in low] + within_reach(before, low)

    def _with_masks(self, frame: HeldFrame, wanted: Iterable[int]) -> Steps[HeldFrame]:
        missing = [index for index in wanted if index not in frame.segments]
        if not missing:
            return frame
        frame = yield from self._with_features(frame)
        pyramid = _pyramid(frame)
        yield from fill_masks(self._network.module, pyramid, missing)
        segments = dict(frame.segments)
        for index in missing:
            segments[index] = mask_segment(self._network, pyramid, frame.detections, index)
            yield
        return replace(frame, segments=segments)

    def _with_features(self, frame: HeldFrame) -> Steps[HeldFrame]:
        if frame.features is not None:
            return frame
        features = embed(self._network.module, frame.pixels)
        yield
        frame = replace(frame, features=features)
        _pyramid(frame).detections = frame.detections
        return frame

    def _chosen(self, frame: HeldFrame, prompt: Prompt) -> Steps[tuple[HeldFrame, Pin]]:
        """Find what a prompt chooses; as for images, a box decides over its points."""
        if prompt.box is None:
            pointed_at = yield from self._pointed_at(frame, prompt)
            frame = yield from self._with_masks(frame, [pointed_at])
            return frame, Pin(frame.segments[pointed_at], pointed_at)
        boxed = self._boxed(frame, prompt.box)
        if boxed is not None:
            frame = yield from self._with_masks(frame, [boxed])
            if frame.segments[boxed].area:
                return frame, Pin(frame.segments[boxed], boxed)
        inside = segment_boxes(self._network, _pyramid(frame), [prompt.box], self._output)
        yield
        if not inside or not inside[0].area:
            text = f"expected a box around an object of frame {frame.index}, got one around none"
            raise invalid(Reason.PROMPT_INVALID, "prompt.prompt.box", text)
        return frame, Pin(inside[0], None)

    def _boxed(self, frame: HeldFrame, box: Box) -> int | None:
        """Find the detection that a box overlaps most, if that is enough."""
        overlaps = {
            index: box.iou(detection_box(frame.detections, index, frame.size))
            for index in allowed(frame.detections, self._output)
        }
        best = max(overlaps, key=lambda index: overlaps[index], default=None)
        return best if best is not None and overlaps[best] >= MIN_BOX_IOU else None

    def _pointed_at(self, frame: HeldFrame, prompt: Prompt) -> Steps[int]:
        """Find the detection that agrees best with points."""
        if prompt.is_correction:
            raise nothing_to_correct("mask-rcnn chooses a detection, and they choose none")
        eligible = allowed(frame.detections, self._output)
        pyramid = _pyramid(frame)
        (found,) = yield from find_pointed_at(self._network, pyramid, [prompt], eligible)
        if not found:
            text = (
                f"expected points of an object of frame {frame.index}, "
                "got points that no detected object covers"
            )
            raise invalid(Reason.PROMPT_INVALID, "prompt.prompt.points", text)
        return found[0]


def _pyramid(frame: HeldFrame) -> Pyramid:
    assert frame.features is not None
    assert isinstance(frame.features.payload, Pyramid)
    return frame.features.payload


def _all_ids(frames: Iterable[HeldFrame]) -> set[int]:
    """Collect the ids that a track has, or could get again."""
    return {
        object_id
        for frame in frames
        for object_id in (
            *(track.object_id for track in (*frame.before, *frame.linked.tracks)),
            *frame.linked.started.values(),
        )
    }
