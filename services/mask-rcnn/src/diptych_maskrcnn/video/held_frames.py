"""The newest frames of a stream: those on which prompts are still accepted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from diptych import Segment
from diptych_runtime.engine import (
    Features,
    FrameAnswer,
    Pixels,
    Reason,
    ServiceError,
    TrackedObject,
)

from ..network.pyramid import Detections
from .tracking import Linked, Observation, Pin, Rules, Track

_SEGMENT_BYTES = 1024  # of a segment or a track without its run lengths, roughly


@dataclass(frozen=True)
class HeldFrame:
    """One frame: what was found on it, what prompts chose, and how it is linked.

    Its pixels are kept instead of its features, which are ten times larger and can be made again.
    """

    index: int
    """The client's."""
    pixels: Pixels
    features: Features | None
    """Kept for the newest frame; else only while a message that needs them is worked on."""
    detections: Detections
    segments: Mapping[int, Segment] = field(default_factory=dict)
    """The detections whose masks were needed so far."""
    pins: Mapping[int, Pin] = field(default_factory=dict)
    """By object id."""
    before: tuple[Track, ...] = ()
    linked: Linked = field(default_factory=Linked)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return (self.pixels.shape[0], self.pixels.shape[1])

    @property
    def observation(self) -> Observation:
        """What the tracker is given; a detection whose mask has no pixels is none."""
        seen = {index: self.segments[index] for index in sorted(self.segments)}
        found = {index: one for index, one in seen.items() if one.area}
        return Observation(found, self.pins, self.linked.started)

    def without_features(self) -> HeldFrame:
        """Return the frame as it is kept when it is not the newest."""
        return self if self.features is None else replace(self, features=None)

    def pinned(self, object_id: int, pin: Pin, rules: Rules) -> HeldFrame:
        """Return the frame after a prompt has chosen.

        Raises:
            ServiceError: ``PROMPT_INVALID`` if another prompt on it has chosen the same detection.
        """
        rivals = {
            other
            for other, taken in self.pins.items()
            if other != object_id and pin.index is not None and pin.index == taken.index
        }
        for other in rivals - rules.removed:
            text = f"expected an object of its own, got that of object {other} on this frame"
            raise ServiceError(Reason.PROMPT_INVALID, f"prompt.prompt: {text}")
        pins = {other: taken for other, taken in self.pins.items() if other not in rivals}
        return replace(self, pins={**pins, object_id: pin})

    def without(self, object_id: int, rules: Rules) -> HeldFrame:
        """Return the frame after an object is removed. With ``track_all`` the detection that a
        prompt chose for it stays taken, or it would start again when the frame is linked again."""
        pin = self.pins.get(object_id)
        if pin is None or (rules.track_all and pin.index is not None):
            return self
        pins = {other: kept for other, kept in self.pins.items() if other != object_id}
        return replace(self, pins=pins)

    def answer(self, rules: Rules) -> FrameAnswer:
        """Answer with every object that was not removed, by id."""
        shown = [t for t in self.linked.tracks if t.object_id not in rules.removed]
        shown.sort(key=lambda track: track.object_id)
        return FrameAnswer(self.index, tuple(map(_tracked, shown)))


def held_bytes(frames: Iterable[HeldFrame]) -> int:
    """Count the bytes that frames keep, on any device; what several of them share counts once."""
    total = 0
    segments: dict[int, Segment] = {}
    for frame in frames:
        total += frame.pixels.nbytes + frame.detections.nbytes
        total += frame.features.nbytes if frame.features else 0
        total += _SEGMENT_BYTES * len(frame.linked.tracks)
        segments |= {id(one): one for one in _segments(frame)}
    runs = sum(one.mask.counts.nbytes for one in segments.values() if one.mask is not None)
    return total + runs + _SEGMENT_BYTES * len(segments)


def _segments(frame: HeldFrame) -> Iterator[Segment]:
    yield from frame.segments.values()
    yield from (pin.segment for pin in frame.pins.values())
    yield from (track.last for track in (*frame.before, *frame.linked.tracks))


def _tracked(track: Track) -> TrackedObject:
    if track.missed:
        hidden = Segment(0.0, label=track.last.label, category_id=track.last.category_id)
        return TrackedObject(track.object_id, hidden, 0.0)
    return TrackedObject(track.object_id, track.last, track.last.score)
