"""The tracker alone, on rectangles that tests draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diptych import Mask, Segment
from diptych_maskrcnn.video.tracking import (
    MAX_MISSED,
    Linked,
    Observation,
    Pin,
    Rules,
    Track,
    advance,
    positions_of,
    within_reach,
)
from diptych_runtime.engine import OWN_IDS

SIZE = (80, 120)
ALL = Rules(min_score=0.5, max_objects=10, track_all=True)
PROMPTED = Rules(min_score=0.5, max_objects=10, track_all=False)


def thing(x: int, y: int = 20, *, score: float = 0.9, label: int = 1, side: int = 20) -> Segment:
    """A square with its top left corner at a place, cut off at the edges of the picture."""
    array = np.zeros(SIZE, np.bool_)
    array[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)] = True
    mask = Mask.from_array(array)
    return Segment(score, mask.box, mask, f"class {label}", label, mask.area)


def observation(*found: Segment, **known: Any) -> Observation:
    return Observation(dict(enumerate(found)), **known)


def follow(frames: Sequence[Sequence[Segment]], rules: Rules = ALL) -> list[Linked]:
    """Link frames one after the other, from nothing."""
    done = [Linked()]
    for found in frames:
        done.append(advance(done[-1].tracks, observation(*found), rules, done[-1].next_id))
    return done[1:]


def start(*segments: Segment) -> Linked:
    """Objects 0 and on, prompted on a frame."""
    pins = {number: Pin(segment, number) for number, segment in enumerate(segments)}
    return advance((), observation(*segments, pins=pins), PROMPTED, OWN_IDS)


def links(linked: Linked) -> dict[int, Segment]:
    return {track.object_id: track.last for track in linked.tracks if track.missed == 0}


def ids(linked: Linked) -> list[int]:
    return sorted(track.object_id - OWN_IDS for track in linked.tracks)


def test_ids_stay_with_their_objects_whatever_the_order_of_detections() -> None:
    frames = [[thing(2 * i), thing(90 - 2 * i, 50)] for i in range(10)]
    frames = [found[:: 1 if i % 2 else -1] for i, found in enumerate(frames)]
    done = follow(frames)
    first = {i: segment.mask.box.y_min for i, segment in links(done[0]).items()}  # type: ignore[union-attr]
    assert len(first) == 2
    for linked in done:
        rows = {i: segment.mask.box.y_min for i, segment in links(linked).items()}  # type: ignore[union-attr]
        assert rows == first
    assert done[-1].next_id == OWN_IDS + 2


def test_a_detection_below_the_floor_continues_a_track_and_starts_none() -> None:
    weak = thing(42, score=0.1)
    (only,) = follow([[weak]])
    assert only.tracks == ()
    done = follow([[thing(40)], [weak], [thing(44)]])
    assert [links(linked)[OWN_IDS].score for linked in done] == [0.9, 0.1, 0.9]
    assert ids(done[-1]) == [0]


def test_a_detection_over_the_floor_comes_before_one_below() -> None:
    linked = start(thing(40))
    best = advance(
        linked.tracks, observation(thing(44, score=0.6), thing(40, score=0.4)), PROMPTED, OWN_IDS
    )
    assert links(best)[0].score == 0.6


def test_objects_of_different_classes_cross_without_a_switch() -> None:
    frames = [[thing(5 * i, label=1), thing(90 - 5 * i, label=2)] for i in range(19)]
    done = follow(frames)
    assert ids(done[-1]) == [0, 1]
    for linked in done:
        assert [links(linked)[OWN_IDS + n].category_id for n in (0, 1)] == [1, 2]


def test_objects_of_one_class_cross_by_their_velocity() -> None:
    frames = [[thing(5 * i), thing(90 - 5 * i, 24)] for i in range(19)]
    done = follow(frames)
    assert ids(done[-1]) == [0, 1]
    for linked in done:
        boxes = [links(linked)[OWN_IDS + n].box for n in (0, 1)]
        assert [box.y_min for box in boxes if box] == [20, 24]


def test_a_hidden_object_is_found_where_its_velocity_takes_it() -> None:
    frames = [[thing(6 * i)] for i in range(5)] + [[]] * 5 + [[thing(60)]]
    done = follow(frames)
    assert [track.missed for track in done[9].tracks] == [5]
    assert links(done[9]) == {}
    assert list(links(done[-1])) == [OWN_IDS]
    still = thing(24)
    assert still.mask is not None
    assert still.mask.intersection(frames[-1][0].mask) == 0  # type: ignore[arg-type]


def test_a_resting_object_is_found_where_it_was() -> None:
    done = follow([[thing(40)], [thing(40)], *[[]] * MAX_MISSED, [thing(42)]])
    assert list(links(done[-1])) == [OWN_IDS]


def test_automatic_tracks_end_and_prompted_ones_stay() -> None:
    linked = start(thing(40))
    linked = advance(linked.tracks, observation(thing(40), thing(90, 50)), ALL, OWN_IDS)
    assert {track.object_id for track in linked.tracks} == {0, OWN_IDS}
    for _ in range(MAX_MISSED):
        linked = advance(linked.tracks, observation(), ALL, linked.next_id)
    assert {track.object_id for track in linked.tracks} == {0, OWN_IDS}
    linked = advance(linked.tracks, observation(), ALL, linked.next_id)
    assert {track.object_id for track in linked.tracks} == {0}
    linked = advance(linked.tracks, observation(thing(90, 50)), ALL, linked.next_id)
    assert {track.object_id for track in linked.tracks} == {0, OWN_IDS + 1}


def test_a_detector_that_changes_its_mind_keeps_the_track() -> None:
    done = follow([[thing(40)], [thing(43, label=2)], [thing(46)]])
    assert [links(linked)[OWN_IDS].category_id for linked in done] == [1, 2, 1]
    assert ids(done[-1]) == [0]


@pytest.mark.parametrize(
    "other",
    [thing(55, label=2), thing(43, label=2, score=0.4)],
    ids=["too little overlap", "below the floor"],
)
def test_another_class_is_another_object(other: Segment) -> None:
    linked = start(thing(40))
    after = advance(linked.tracks, observation(other), PROMPTED, OWN_IDS)
    assert links(after) == {}


def test_its_own_class_comes_before_another() -> None:
    linked = start(thing(40))
    after = advance(linked.tracks, observation(thing(40, label=2), thing(50)), PROMPTED, OWN_IDS)
    assert links(after)[0].category_id == 1


def test_a_lost_track_is_not_found_as_another_class() -> None:
    linked = start(thing(40))
    lost = advance(linked.tracks, observation(), PROMPTED, OWN_IDS)
    after = advance(lost.tracks, observation(thing(40, label=2)), PROMPTED, OWN_IDS)
    assert links(after) == {}


def test_a_lost_track_may_go_on_with_a_low_score() -> None:
    linked = start(thing(40))
    lost = advance(linked.tracks, observation(), PROMPTED, OWN_IDS)
    found = observation(thing(80, score=0.9), thing(42, score=0.1))
    assert links(advance(lost.tracks, found, PROMPTED, OWN_IDS))[0].score == 0.1


def test_a_track_that_is_seen_comes_before_a_lost_one() -> None:
    """The lost one would overlap more: it has been there before, at rest."""
    first = Track(0, thing(40), missed=3)
    second = Track(1, thing(45))
    after = advance((first, second), observation(thing(41)), PROMPTED, OWN_IDS)
    assert list(links(after)) == [1]


def test_no_more_tracks_than_allowed_the_best_first() -> None:
    rules = Rules(min_score=0.5, max_objects=2, track_all=True)
    found = [thing(0, score=0.9), thing(30, score=0.8), thing(60, score=0.7)]
    first, second = follow([found, found], rules)
    assert sorted(segment.score for segment in links(first).values()) == [0.8, 0.9]
    assert ids(second) == [0, 1]
    third = advance(second.tracks, observation(found[2]), rules, second.next_id)
    assert ids(third) == [0, 1], "lost tracks keep their positions"


def test_the_weakest_automatic_track_gives_way_to_a_prompt() -> None:
    rules = Rules(min_score=0.5, max_objects=3, track_all=True)
    found = [thing(0, score=0.9), thing(30, score=0.6), thing(60, score=0.8), thing(90, score=0.5)]
    (linked,) = follow([found[:3]], rules)
    pinned = observation(*found, pins={7: Pin(found[3], 3)})
    after = advance(linked.tracks, pinned, rules, linked.next_id)
    assert set(links(after)) == {7, OWN_IDS, OWN_IDS + 2}
    lost = advance(linked.tracks, observation(*found[1:3]), rules, linked.next_id)
    hidden = Observation({i: one for i, one in pinned.found.items() if i}, pinned.pins)
    after = advance(lost.tracks, hidden, rules, lost.next_id)
    assert set(links(after)) == {7, OWN_IDS + 1, OWN_IDS + 2}, "the lost one is the weakest"


def test_a_prompt_takes_a_detection_from_an_automatic_track_which_ends() -> None:
    found = [thing(0), thing(60)]
    (linked,) = follow([found])
    after = advance(
        linked.tracks, observation(*found, pins={7: Pin(found[0], 0)}), ALL, linked.next_id
    )
    assert {track.object_id for track in after.tracks} == {7, OWN_IDS + 1}
    assert links(after)[7] == found[0]


def test_a_prompt_with_a_mask_of_its_own_takes_over_what_it_covers_best() -> None:
    (linked,) = follow([[thing(0), thing(60)]])
    pins = {7: Pin(thing(1, score=0.2), None)}
    after = advance(linked.tracks, observation(thing(6), thing(60), pins=pins), ALL, linked.next_id)
    assert OWN_IDS not in {track.object_id for track in after.tracks}


def test_a_prompt_leaves_a_track_alone_that_has_a_better_detection() -> None:
    (linked,) = follow([[thing(0)]])
    pins = {7: Pin(thing(12), None)}
    after = advance(linked.tracks, observation(thing(1), pins=pins), ALL, linked.next_id)
    assert set(links(after)) == {7, OWN_IDS}


def test_a_prompt_takes_a_detection_from_another_prompted_object_which_is_lost() -> None:
    linked = start(thing(0))
    found = observation(thing(2), pins={7: Pin(thing(2), 0)})
    after = advance(linked.tracks, found, PROMPTED, OWN_IDS)
    assert {track.object_id: track.missed for track in after.tracks} == {0: 1, 7: 0}


def test_a_correction_forgets_the_velocity() -> None:
    linked = start(thing(0))
    for x in (5, 10):
        linked = advance(linked.tracks, observation(thing(x)), PROMPTED, OWN_IDS)
    (track,) = linked.tracks
    assert track.velocity == pytest.approx((5, 0))
    pinned = observation(thing(80), pins={0: Pin(thing(80), 0)})
    (track,) = advance(linked.tracks, pinned, PROMPTED, OWN_IDS).tracks
    assert track == Track(0, thing(80))


def test_a_removed_track_is_followed_in_silence_and_takes_no_place() -> None:
    rules = Rules(0.5, 1, track_all=True, removed=frozenset({OWN_IDS}))
    (linked,) = follow([[thing(0)]], Rules(0.5, 1, track_all=True))
    linked = advance(linked.tracks, observation(thing(2), thing(60)), rules, linked.next_id)
    assert set(links(linked)) == {OWN_IDS, OWN_IDS + 1}
    for _ in range(MAX_MISSED + 1):
        linked = advance(linked.tracks, observation(thing(60)), rules, linked.next_id)
    assert set(links(linked)) == {OWN_IDS + 1}


def test_a_removed_object_is_dropped_where_nothing_could_start_it_again() -> None:
    linked = start(thing(0), thing(60))
    rules = Rules(0.5, 10, track_all=False, removed=frozenset({0}))
    after = advance(linked.tracks, observation(thing(0), thing(60)), rules, OWN_IDS)
    assert set(links(after)) == {1}


def test_a_frame_that_is_linked_again_calls_its_objects_by_the_same_ids() -> None:
    found = [thing(0), thing(30), thing(60)]
    once = advance((), observation(*found), ALL, OWN_IDS)
    pins = {7: Pin(found[0], 0)}
    again = advance((), observation(*found, pins=pins, started=once.started), ALL, once.next_id)
    assert links(again) == {7: found[0], OWN_IDS + 1: found[1], OWN_IDS + 2: found[2]}
    back = advance((), observation(*found, started=again.started), ALL, again.next_id)
    assert links(back) == links(once)
    assert back.next_id == once.next_id


def test_a_removed_object_that_a_frame_starts_again_takes_no_place() -> None:
    rules = Rules(0.5, 1, track_all=True, removed=frozenset({OWN_IDS}))
    found = observation(thing(0), thing(60), started={0: OWN_IDS})
    linked = advance((), found, rules, OWN_IDS + 1)
    assert links(linked) == {OWN_IDS: thing(0), OWN_IDS + 1: thing(60)}


def test_reach_is_where_the_mask_may_be_and_of_its_class() -> None:
    track = Track(0, thing(40), velocity=(30.0, 0.0))
    assert positions_of(track) == (thing(70).mask,)
    candidates = {
        3: thing(80, score=0.1),
        4: thing(40, score=0.1),
        5: thing(80, score=0.1, label=2),
    }
    assert within_reach([track], candidates) == [3]
    gone = Track(0, thing(40), velocity=(300.0, 0.0))
    assert within_reach([gone], candidates) == []
    assert within_reach([replace(gone, missed=1)], candidates) == [4]


def test_what_is_being_hidden_does_not_change_the_velocity() -> None:
    linked = start(thing(20))
    for x in (24, 28):
        linked = advance(linked.tracks, observation(thing(x)), PROMPTED, OWN_IDS)
    half = thing(32, side=12)
    linked = advance(linked.tracks, observation(half), PROMPTED, OWN_IDS)
    (track,) = linked.tracks
    assert (track.last, track.velocity) == (half, (4, 0))


@st.composite
def scenes(draw: st.DrawFn) -> list[list[Segment]]:
    """Frames of squares at random positions, best score first."""
    place = st.tuples(
        st.integers(-10, 110),
        st.integers(-10, 70),
        st.sampled_from([0.1, 0.4, 0.5, 0.9]),
        st.sampled_from([1, 2]),
    )
    frames = draw(st.lists(st.lists(place, max_size=5), min_size=1, max_size=6))
    squares = [
        [thing(x, y, score=score, label=label) for x, y, score, label in frame] for frame in frames
    ]
    return [
        sorted((one for one in found if one.area), key=lambda one: -one.score) for found in squares
    ]


@given(scenes(), st.integers(1, 4), st.data())
def test_no_two_ids_on_one_detection_and_no_id_twice(
    frames: list[list[Segment]], most: int, data: st.DataObject
) -> None:
    rules = Rules(0.5, most, track_all=True)
    linked = Linked()
    ended: set[int] = set()
    prompted: set[int] = set()
    for found in frames:
        pins: dict[int, Pin] = {}
        if found and data.draw(st.booleans()):
            object_id = data.draw(st.integers(0, most - 1))
            index = data.draw(st.integers(0, len(found) - 1))
            pins[object_id] = Pin(found[index], index)
            prompted.add(object_id)
        before = {track.object_id for track in linked.tracks}
        linked = advance(linked.tracks, observation(*found, pins=pins), rules, linked.next_id)
        after = [track.object_id for track in linked.tracks]
        assert len(set(after)) == len(after) <= most
        assert not ended & set(after)
        ended |= before - set(after)
        assert prompted <= set(after)
        seen = [id(track.last) for track in linked.tracks if track.missed == 0]
        assert len(set(seen)) == len(seen)
        assert {id(one) for one in found} >= set(seen)
        assert all(object_id < linked.next_id for object_id in after)
        assert pins.keys() <= links(linked).keys()


@given(
    st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=3, max_size=3),
    st.lists(st.permutations(range(3)), min_size=2, max_size=8),
)
def test_ids_are_stable_for_objects_that_move_slowly(
    speeds: list[tuple[int, int]], orders: list[list[int]]
) -> None:
    starts = [(20, 15), (60, 15), (60, 50)]
    owner: dict[int, int] = {}
    linked = Linked()
    for number, order in enumerate(orders):
        positions = [
            (x + number * dx, y + number * dy)
            for (x, y), (dx, dy) in zip(starts, speeds, strict=True)
        ]
        found = [thing(*positions[i], side=12) for i in order]
        linked = advance(linked.tracks, observation(*found), ALL, linked.next_id)
        for object_id, segment in links(linked).items():
            (index,) = [i for i, one in enumerate(found) if one is segment]
            assert owner.setdefault(object_id, order[index]) == order[index]
    assert len(owner) == 3


def test_nothing_given_is_changed() -> None:
    found: Mapping[int, Segment] = {0: thing(0), 1: thing(60)}
    started = {0: OWN_IDS}
    pins = {7: Pin(found[1], 1)}
    (linked,) = follow([[thing(0), thing(60)]])
    tracks = list(linked.tracks)
    advance(tracks, Observation(found, pins, started), ALL, linked.next_id)
    assert tracks == list(linked.tracks)
    assert (list(found), started, list(pins)) == ([0, 1], {0: OWN_IDS}, [7])
