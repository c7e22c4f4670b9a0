"""Links what is detected on each frame to objects that keep their ids, by the overlap of masks.

In the spirit of the IoU tracker (Bochinski, Eiselein and Sikora, "High-Speed Tracking-by-Detection
Without Using Image Information", AVSS 2017): a detection continues the track that it overlaps most.
From ByteTrack (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box",
ECCV 2022) come the second association, of detections below the score floor, which may continue a
track but never start one, and tracks that are looked for where their velocity has brought them.
Both link boxes; here masks are linked, as run lengths.

All is immutable: a frame makes new tracks of those before it, so it can be linked again at any time
from the tracks that it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from diptych import Box, Mask, Segment
from diptych_runtime.engine import OWN_IDS

# Chosen on 200 clips of demo-weights/scenes.py, `crossing_clip`, seeds from 20000000.
MIN_IOU = 0.1
"""Overlap that a link within a class needs. Masks of thin objects overlap less than their boxes,
for which ByteTrack asks for 0.2."""
MIN_IOU_OTHER_CLASS = 0.5
"""Overlap that a link to another class needs: detectors change their mind about what they see."""
SMOOTHING = 0.25
"""Weight of the newest displacement in the velocity."""
STEADY_AREA = 0.7
"""Share that the smaller of two masks must have of the larger one to say how their object moved:
the middle of what is being hidden does not move with it."""
MAX_COAST = 10
"""Frames that a lost track is moved on by its velocity."""
MAX_MISSED = 30
"""Frames that an automatic track may be lost, as in ByteTrack; then it ends."""


Positions: TypeAlias = tuple[Mask, ...]
"""Where an object may be on the next frame, as masks."""


@dataclass(frozen=True)
class Track:
    """One object. It is automatic if the session chose its id, prompted if the client did."""

    object_id: int
    last: Segment
    """The detection that it was last linked to; its mask has pixels."""
    missed: int = 0
    """Frames since then."""
    velocity: tuple[float, float] | None = None
    """Pixels a frame to the right and down; ``None`` until two detections of it agree in area."""

    @property
    def automatic(self) -> bool:
        """Whether it was started by a detection and not by a prompt."""
        return self.object_id >= OWN_IDS


@dataclass(frozen=True)
class Pin:
    """What a prompt chose on its frame: a detection, or with no ``index`` what is in its box."""

    segment: Segment
    index: int | None


@dataclass(frozen=True)
class Observation:
    """What is known of one frame."""

    found: Mapping[int, Segment]
    """Detections by index, best first; each has a mask with pixels."""
    pins: Mapping[int, Pin] = field(default_factory=dict)
    """By object id; no two of one detection."""
    started: Mapping[int, int] = field(default_factory=dict)
    """Ids by the detections that started their tracks when the frame was linked before."""


@dataclass(frozen=True)
class Rules:
    """What holds for a session; ``removed`` has the ids of its removed objects.

    With ``track_all`` every detection over ``min_score`` that continues no track starts one, while
    there are fewer than ``max_objects``. Removed objects are then followed like automatic ones, or
    they would start again at once, but do not count; otherwise they are dropped.
    """

    min_score: float
    max_objects: int
    track_all: bool
    removed: Set[int] = frozenset()


@dataclass(frozen=True)
class Linked:
    """One frame after linking. An object that is seen on it has a track with ``missed`` 0."""

    tracks: tuple[Track, ...] = ()
    started: Mapping[int, int] = field(default_factory=dict)
    """As in ``Observation``, with the tracks that this frame started."""
    next_id: int = OWN_IDS
    """The first id that no track had yet."""


def advance(tracks: Iterable[Track], seen: Observation, rules: Rules, next_id: int) -> Linked:
    """Link one frame to the tracks before it.

    A pinned detection belongs to its prompted object; an automatic track that would have continued
    with it ends. Where there are too many objects automatic tracks give way: those that are lost
    longest, then those with the lowest scores.
    """
    before = [track for track in tracks if rules.track_all or track.object_id not in rules.removed]
    positions = {track.object_id: positions_of(track) for track in before}
    before = [t for t in before if not _taken_over(t, positions[t.object_id], seen, rules)]
    chosen = _associated(before, positions, seen, rules.min_score)
    after = [_continued(track, seen, chosen.get(track.object_id)) for track in before]
    known = {track.object_id for track in before}
    after += [Track(i, pin.segment) for i, pin in seen.pins.items() if i not in known]
    after = [t for t in after if t.missed <= MAX_MISSED or _is_kept(t, rules)]
    after = _with_room(after, rules)
    started = dict(seen.started)
    if rules.track_all:
        used = {*chosen.values(), *(pin.index for pin in seen.pins.values())}
        free = {index: one for index, one in seen.found.items() if index not in used}
        new, next_id = _new_tracks(free, after, started, rules, next_id)
        started |= {index: track.object_id for index, track in new.items()}
        after += new.values()
    return Linked(tuple(after), started, next_id)


def positions_of(track: Track) -> Positions:
    """Find where an object may be on the next frame: where its velocity has brought it and, once
    it is lost, also where it was last seen. A mask that has left the image has no pixels."""
    assert track.last.mask is not None
    if track.velocity is None:
        return (track.last.mask,)
    frames = min(track.missed, MAX_COAST) + 1
    across, down = track.velocity
    moved = track.last.mask.shifted(round(frames * across), round(frames * down))
    return (moved, track.last.mask) if track.missed else (moved,)


def within_reach(tracks: Iterable[Track], candidates: Mapping[int, Segment]) -> list[int]:
    """List the detections below the score floor, whose masks need not be known, that a track may go
    on with: those of its class near one of its positions."""
    positions = [(track.last.category_id, at.box) for track in tracks for at in positions_of(track)]
    return [
        index
        for index, one in candidates.items()
        if any(
            label == one.category_id and _meet(position, one.box) for label, position in positions
        )
    ]


def _associated(
    tracks: Sequence[Track],
    positions: Mapping[int, Positions],
    seen: Observation,
    floor: float,
) -> dict[int, int]:
    """Associate detections with tracks that are not pinned; returns them by object id.

    In five passes, each over what the ones before left. Tracks that were seen on the frame
    before come first, or a lost one, moved on in thought, could push aside one that was just
    prompted. Unlike in ByteTrack a lost track may go on with a low score too.
    """
    free = {i: one for i, one in seen.found.items() if not _is_pinned(i, seen)}
    high = {i: one for i, one in free.items() if one.score >= floor}
    low = {i: one for i, one in free.items() if one.score < floor}
    waiting = [track for track in tracks if track.object_id not in seen.pins]
    current = [track for track in waiting if track.missed == 0]
    lost = [track for track in waiting if track.missed > 0]
    chosen: dict[int, int] = {}
    for some, found, overlap, least in (
        (current, high, _overlap_in_class, MIN_IOU),
        (current, low, _overlap_in_class, MIN_IOU),
        (current, high, _overlap, MIN_IOU_OTHER_CLASS),
        (lost, high, _overlap_in_class, MIN_IOU),
        (lost, low, _overlap_in_class, MIN_IOU),
    ):
        _choose(some, found, positions, overlap, least, chosen)
    return chosen


def _choose(
    tracks: Sequence[Track],
    found: Mapping[int, Segment],
    positions: Mapping[int, Positions],
    overlap: Callable[[Track, Positions, Segment], float],
    least: float,
    chosen: dict[int, int],
) -> None:
    """Add links to ``chosen``, the largest overlap first."""
    taken = set(chosen.values())
    pairs = [
        (-share, index, track.object_id)
        for track in tracks
        if track.object_id not in chosen
        for index, one in found.items()
        if index not in taken
        and (share := overlap(track, positions[track.object_id], one)) >= least
    ]
    for _, index, object_id in sorted(pairs):
        if index not in taken and object_id not in chosen:
            chosen[object_id] = index
            taken.add(index)


def _overlap(track: Track, positions: Positions, one: Segment) -> float:
    mask = one.mask
    assert mask is not None
    return max(at.iou(mask) if _meet(at.box, mask.box) else 0.0 for at in positions)


def _overlap_in_class(track: Track, positions: Positions, one: Segment) -> float:
    return _overlap(track, positions, one) if track.last.category_id == one.category_id else 0.0


def _taken_over(track: Track, positions: Positions, seen: Observation, rules: Rules) -> bool:
    """Tell whether a track that no client asked for would best go on with what is pinned."""
    if not seen.pins or track.object_id in seen.pins or _is_kept(track, rules):
        return False
    pinned = max(_overlap_in_class(track, positions, pin.segment) for pin in seen.pins.values())
    others = [_overlap_in_class(track, positions, one) for one in seen.found.values()]
    return pinned >= max(MIN_IOU, *others)


def _continued(track: Track, seen: Observation, index: int | None) -> Track:
    if track.object_id in seen.pins:
        # What led here may have been another object, so its velocity is forgotten.
        return Track(track.object_id, seen.pins[track.object_id].segment)
    if index is None:
        return replace(track, missed=track.missed + 1)
    one = seen.found[index]
    return Track(track.object_id, one, velocity=_velocity(track, one))


def _velocity(track: Track, one: Segment) -> tuple[float, float] | None:
    smaller, larger = sorted((track.last.area, one.area))
    if smaller < STEADY_AREA * larger:
        return track.velocity
    start, end = _centre(track.last), _centre(one)
    frames = track.missed + 1
    new = (end[0] - start[0]) / frames, (end[1] - start[1]) / frames
    old = track.velocity or new
    return old[0] + SMOOTHING * (new[0] - old[0]), old[1] + SMOOTHING * (new[1] - old[1])


def _centre(one: Segment) -> tuple[float, float]:
    assert one.box is not None
    return (one.box.x_min + one.box.x_max) / 2, (one.box.y_min + one.box.y_max) / 2


def _with_room(tracks: Sequence[Track], rules: Rules) -> list[Track]:
    """Leave out the weakest automatic tracks, if there are too many objects."""
    excess = _shown_count(tracks, rules) - rules.max_objects
    automatic = [t for t in tracks if t.automatic and t.object_id not in rules.removed]
    weakest = sorted(automatic, key=lambda track: (-track.missed, track.last.score))
    leaving = {track.object_id for track in weakest[: max(excess, 0)]}
    return [track for track in tracks if track.object_id not in leaving]


def _new_tracks(
    free: Mapping[int, Segment],
    tracks: Sequence[Track],
    started: Mapping[int, int],
    rules: Rules,
    next_id: int,
) -> tuple[dict[int, Track], int]:
    """Start tracks, the best detections first while there is room; returns them by detection.

    A detection that has started a track before starts the same again: a frame that is linked anew
    must not call one object by two ids.
    """
    new: dict[int, Track] = {}
    room = rules.max_objects - _shown_count(tracks, rules)
    for index, one in free.items():
        object_id = started.get(index, next_id)
        shown = object_id not in rules.removed
        if one.score < rules.min_score or (shown and room < 1):
            continue
        new[index] = Track(object_id, one)
        room -= shown
        next_id += object_id == next_id
    return new, next_id


def _shown_count(tracks: Iterable[Track], rules: Rules) -> int:
    return sum(track.object_id not in rules.removed for track in tracks)


def _is_kept(track: Track, rules: Rules) -> bool:
    """Tell whether a track stays until its client removes it."""
    return not track.automatic and track.object_id not in rules.removed


def _is_pinned(index: int, seen: Observation) -> bool:
    return any(pin.index == index for pin in seen.pins.values())


def _meet(one: Box | None, other: Box | None) -> bool:
    """Tell whether two boxes have an inside in common; ``None`` is an empty one."""
    if one is None or other is None:
        return False
    across = min(one.x_max, other.x_max) - max(one.x_min, other.x_min)
    down = min(one.y_max, other.y_max) - max(one.y_min, other.y_min)
    return across > 0 and down > 0
