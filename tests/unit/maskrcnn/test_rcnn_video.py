"""A live session on drawn clips, by the real engine with the demo weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from rcnn_cases import ask
from rcnn_video_helpers import (
    Clip,
    around,
    by_id,
    crossing,
    drifting,
    feed,
    opened,
    overlap,
    truth,
)
from reachable import reachable_bytes
from steps import finished

from diptych import Box, Mask, Point, Prompt, Segment, Task
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.network.pyramid import Pyramid
from diptych_maskrcnn.video import session as video
from diptych_maskrcnn.video.tracking import MAX_MISSED
from diptych_runtime.engine import OWN_IDS, FrameAnswer, LoadedModel, Pixels, Reason, ServiceError

STEADY = (3, 5, 7)
"""Seeds of clips whose objects stay in sight."""
HIDING, HIDDEN = 20_000_002, (7, 8, 9)
"""A clip in which object 1 passes behind another, and the frames on which nothing of it shows."""


@contextmanager
def counted(engine: MaskRcnnEngine, part: str) -> Iterator[list[int]]:
    """How many pictures or boxes a part of the network gets at each of its runs."""
    module = engine._networks["mask"].module
    target = module.backbone if part == "backbone" else getattr(module.roi_heads, part)
    seen: list[int] = []
    handle = target.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    yield seen
    handle.remove()


def everything(engine: MaskRcnnEngine, pixels: Pixels) -> list[Segment]:
    """What a still picture's answer holds, without a score floor."""
    return ask(engine, pixels, Task.INSTANCE_SEGMENTATION, min_score=0.0)


def middle(mask: Mask) -> Point:
    """A pixel of a mask."""
    ys, xs = np.nonzero(mask.to_array())
    nearest = np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)
    return Point(float(xs[nearest]) + 0.5, float(ys[nearest]) + 0.5)


def ids(answer: FrameAnswer) -> list[int]:
    return [one.object_id for one in answer.objects]


def masks(answer: FrameAnswer) -> list[Mask | None]:
    return [one.segment.mask for one in answer.objects]


@pytest.mark.parametrize("seed", STEADY)
def test_ids_hold_over_a_clip(engine: MaskRcnnEngine, seed: int) -> None:
    clip = drifting(seed)
    objects = range(1, int(clip[0][1].max()) + 1)
    session = opened(engine)
    feed(session, clip, [0])
    for value in objects:
        finished(session.prompt(value, 0, around(clip, 0, value)))
    held = {value: 0 for value in objects}
    for answer in feed(session, clip, range(1, 24)):
        assert ids(answer) == list(objects)
        for value, one in by_id(answer).items():
            held[value] += overlap(one, truth(clip, answer.frame_index, value)) > 0.5
    share = sum(held.values()) / (23 * len(objects))
    print(f"seed {seed}: {share:.3f} of {23 * len(objects)} frames of objects")
    assert share > 0.95


def test_an_answer_is_what_a_still_picture_says(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    session = opened(engine, track_all=True)
    (answer,) = feed(session, clip, [0])
    expected = [one for one in everything(engine, clip[0][0]) if one.score >= 0.5]
    assert len(expected) == 3
    assert ids(answer) == [OWN_IDS, OWN_IDS + 1, OWN_IDS + 2]
    assert [one.segment for one in answer.objects] == expected
    assert [one.presence for one in answer.objects] == [one.score for one in expected]


def test_a_hidden_object_has_neither_mask_nor_box_and_comes_back(engine: MaskRcnnEngine) -> None:
    clip = crossing(HIDING)
    session = opened(engine)
    feed(session, clip, [0])
    ((first,),) = (answer.objects for answer in finished(session.prompt(1, 0, around(clip, 0, 1))))
    answers = feed(session, clip, range(1, 24))
    nothing = Segment(0.0, label=first.segment.label, category_id=first.segment.category_id)
    assert first.segment.label != ""
    for index in HIDDEN:
        assert truth(clip, index, 1).area == 0
        (hidden,) = answers[index - 1].objects
        assert (hidden.object_id, hidden.presence, hidden.segment) == (1, 0.0, nothing)
    seen = [overlap(a.objects[0], truth(clip, a.frame_index, 1)) > 0.5 for a in answers]
    assert seen[:4] == [True] * 4
    assert seen[-10:] == [True] * 10


def test_a_box_takes_the_detection_that_it_overlaps_most(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    found = everything(engine, clip[0][0])
    session = opened(engine)
    feed(session, clip, [0])
    weak = [one for one in found if one.score < 0.5 and one.box]
    assert weak
    for number, one in enumerate((found[0], weak[0])):
        assert one.box is not None
        (answer,) = finished(session.prompt(number, 0, Prompt(box=one.box)))
        assert by_id(answer)[number].segment == one
        assert by_id(answer)[number].presence == one.score


def test_a_box_around_no_detection_is_segmented_as_for_pictures(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    found = everything(engine, clip[0][0])
    whole = truth(clip, 0, 1).box
    assert whole is not None
    half = Box(whole.x_min, whole.y_min, (whole.x_min + whole.x_max) / 2, whole.y_max)
    half = Box(half.x_min, half.y_min, half.x_max, half.y_min + 0.8 * (half.y_max - half.y_min))
    assert all(one.box is None or one.box.iou(half) < 0.5 for one in found)
    (expected,) = ask(engine, clip[0][0], Task.PROMPTED_SEGMENTATION, [Prompt(box=half)])
    session = opened(engine)
    feed(session, clip, [0])
    (answer,) = finished(session.prompt(4, 0, Prompt(box=half)))
    (one,) = answer.objects
    assert one.segment.mask == expected.mask
    assert one.segment.box == expected.box
    assert one.segment.score == one.presence == pytest.approx(expected.score, abs=1e-6)
    assert (one.segment.label, one.segment.area) == (expected.label, expected.area)
    assert (one.segment.prompt_index, one.segment.candidate_index) == (None, None)


def test_points_take_what_they_take_on_pictures(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    session = opened(engine)
    feed(session, clip, [0])
    for value in (1, 2, 3):
        prompt = Prompt(points=(middle(truth(clip, 0, value)), Point(1, 1, positive=False)))
        (expected,) = ask(engine, clip[0][0], Task.PROMPTED_SEGMENTATION, [prompt])
        (answer,) = finished(session.prompt(value, 0, prompt))
        one = by_id(answer)[value]
        assert (one.segment.mask, one.segment.score) == (expected.mask, expected.score)
        assert overlap(one, truth(clip, 0, value)) > 0.6


def test_points_that_contradict_each_other_choose_as_on_pictures(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    session = opened(engine)
    feed(session, clip, [0])
    on = middle(truth(clip, 0, 1))
    prompt = Prompt(points=(on, Point(on.x, on.y, positive=False)))
    (expected,) = ask(engine, clip[0][0], Task.PROMPTED_SEGMENTATION, [prompt])
    (answer,) = finished(session.prompt(1, 0, prompt))
    one = answer.objects[0]
    assert (one.segment.mask, one.segment.score) == (expected.mask, expected.score)
    assert overlap(one, truth(clip, 0, 1)) > 0.6


def test_a_box_decides_over_its_points(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    session = opened(engine)
    feed(session, clip, [0])
    prompt = Prompt(points=(middle(truth(clip, 0, 1)),), box=truth(clip, 0, 2).box)
    (answer,) = finished(session.prompt(1, 0, prompt))
    assert overlap(answer.objects[0], truth(clip, 0, 2)) > 0.6


def test_wanted_categories_are_followed_and_prompted_only(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    found = everything(engine, clip[0][0])
    triangle = next(one for one in found if one.label == "triangle")
    output = {"category_ids": (triangle.category_id,)}
    session = opened(engine, track_all=True, output=output)
    answers = feed(session, clip, range(4))
    assert [ids(answer) for answer in answers] == [[OWN_IDS]] * 4
    assert {one.segment.label for answer in answers for one in answer.objects} == {"triangle"}
    ball = next(one for one in found if one.label == "ball")
    assert ball.mask is not None
    with pytest.raises(ServiceError, match="no detected object covers"):
        finished(session.prompt(1, 3, Prompt(points=(middle(ball.mask),))))


@pytest.mark.parametrize("track_all", [False, True])
def test_a_correction_on_a_held_frame_equals_one_made_in_time(
    engine: MaskRcnnEngine, track_all: bool
) -> None:
    """All later frames are linked again, with their own prompts; only new ids may be others."""
    clip = drifting(5)
    late, timely = (opened(engine, track_all=track_all) for _ in range(2))
    for session in (late, timely):
        feed(session, clip, range(3))
        finished(session.prompt(1, 0, around(clip, 0, 1)))
    correction = around(clip, 3, 2)
    feed(timely, clip, [3])
    expected = list(finished(timely.prompt(1, 3, correction)))
    feed(timely, clip, [4])
    expected += finished(timely.prompt(2, 4, around(clip, 4, 3)))
    expected += feed(timely, clip, [5, 6])
    feed(late, clip, [3, 4])
    finished(late.prompt(2, 4, around(clip, 4, 3)))
    (*_, before) = feed(late, clip, [5, 6])
    answers = list(finished(late.prompt(1, 3, correction)))
    assert [answer.frame_index for answer in answers] == [3, 4, 5, 6]
    last = by_id(answers[-1])
    assert overlap(last[1], truth(clip, 6, 2)) > 0.5
    assert overlap(last[2], truth(clip, 6, 3)) > 0.5
    answers += feed(late, clip, [7])
    expected += feed(timely, clip, [7])
    same: dict[int, int] = {}
    for answer, wanted in zip(answers, expected, strict=True):
        assert len(answer.objects) == len(wanted.objects)
        for one in answer.objects:
            (twin,) = [other for other in wanted.objects if other.segment == one.segment]
            assert same.setdefault(one.object_id, twin.object_id) == twin.object_id
    assert {object_id for object_id in same if object_id < OWN_IDS} == {1, 2}
    assert all(one == other for one, other in same.items() if one < OWN_IDS)
    for one in before.objects:
        if one.object_id >= OWN_IDS and one.object_id in last:
            assert last[one.object_id] == one, "who is not concerned keeps the id"
    assert (len(same) > 2) is track_all


def test_a_correction_encodes_only_frames_whose_masks_it_lacks(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    session = opened(engine)
    feed(session, clip, range(4))
    with counted(engine, "backbone") as pictures, counted(engine, "box_head") as boxes:
        finished(session.prompt(1, 3, around(clip, 3, 1)))
        assert sum(pictures) == 0
        finished(session.prompt(1, 1, around(clip, 1, 1)))
        assert sum(pictures) == 2, "frames 1 and 2 came when nothing was followed"
        finished(session.prompt(1, 1, around(clip, 1, 1)))
        assert sum(pictures) == 3, "frame 1 for the prompt, and no later one"
    assert boxes == [], "detections are held"


def test_masks_are_computed_for_what_is_followed_only(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    session = opened(engine)
    with counted(engine, "mask_head") as boxes:
        assert feed(session, clip, range(3)) == [FrameAnswer(index, ()) for index in range(3)]
        assert boxes == []
        finished(session.prompt(1, 2, around(clip, 2, 1)))
        boxes.clear()
        feed(session, clip, [3])
    detections = session._frames[-1].detections
    high = int((detections.scores >= 0.5).sum())
    assert high <= sum(boxes) < len(detections.scores)
    session.remove(1)
    with counted(engine, "mask_head") as boxes:
        assert feed(session, clip, [4]) == [FrameAnswer(4, ())]
    assert boxes == []


def test_a_step_is_one_pass_of_one_part(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    session = opened(engine, track_all=True)
    with (
        counted(engine, "backbone") as pictures,
        counted(engine, "box_head") as boxes,
        counted(engine, "mask_head") as batches,
    ):
        passes = []
        steps = session.add_frame(0, clip[0][0])
        try:
            while True:
                before = len(pictures) + len(boxes) + len(batches)
                next(steps)
                passes.append(len(pictures) + len(boxes) + len(batches) - before)
        except StopIteration:
            pass
    assert passes[:3] == [1, 1, 1]
    assert max(passes) == 1


def test_everything_is_followed_within_the_limit(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    session = opened(engine, track_all=True, max_objects=2)
    answers = feed(session, clip, range(6))
    assert [ids(answer) for answer in answers] == [[OWN_IDS, OWN_IDS + 1]] * 6
    few = opened(engine, track_all=True, output={"max_segments": 1})
    assert [ids(answer) for answer in feed(few, clip, range(2))] == [[OWN_IDS]] * 2
    finished(few.prompt(1, 1, around(clip, 1, 3)))
    answer = finished(few.prompt(2, 1, around(clip, 1, 2)))[-1]
    assert ids(answer) == [1, 2], "answers to prompts are never left out"


def test_a_prompt_takes_its_object_over_and_the_weakest_gives_way(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    session = opened(engine, track_all=True, max_objects=2)
    (first,) = feed(session, clip, [0])
    strong, weak = first.objects
    assert strong.presence > weak.presence
    (answer,) = finished(session.prompt(7, 0, Prompt(box=strong.segment.box)))
    assert ids(answer) == [7, weak.object_id]
    assert answer.objects[0].segment == strong.segment
    newest = feed(session, clip, range(1, 4))[-1]
    assert ids(newest) == [7, weak.object_id]
    free = [
        value
        for value in (1, 2, 3)
        if all(overlap(one, truth(clip, 3, value)) < 0.5 for one in newest.objects)
    ]
    answer = finished(session.prompt(8, 3, around(clip, 3, free[0])))[-1]
    assert ids(answer) == [7, 8]
    with pytest.raises(ServiceError) as caught:
        finished(session.prompt(9, 3, around(clip, 3, free[0])))
    assert caught.value.reason is Reason.OBJECT_LIMIT


def test_a_removed_object_does_not_start_again_while_it_is_seen(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    session = opened(engine, track_all=True, max_objects=3)
    feed(session, clip, range(2))
    session.remove(OWN_IDS)
    finished(session.prompt(1, 1, around(clip, 1, 2)))
    session.remove(1)
    for answer in feed(session, clip, range(2, 5)):
        assert len(ids(answer)) == 1
    answers = finished(session.prompt(5, 3, around(clip, 3, 3)))
    assert [ids(answer) for answer in answers] == [[5], [5]]
    again = finished(session.prompt(6, 4, around(clip, 4, 2)))[-1]
    assert ids(again) == [5, 6], "a prompt may ask for it again"
    with pytest.raises(ServiceError, match=r"expected a tracked object \(5, 6\), got") as caught:
        session.remove(OWN_IDS)
    assert caught.value.reason is Reason.OBJECT_UNKNOWN


def test_a_removed_object_stays_away_when_its_frames_are_linked_again(
    engine: MaskRcnnEngine,
) -> None:
    clip = drifting(5)
    session = opened(engine, track_all=True)
    feed(session, clip, range(4))
    finished(session.prompt(1, 2, around(clip, 2, 1)))
    session.remove(1)
    for index in (2, 1):
        answers = finished(session.prompt(2, index, around(clip, index, 2)))
        for answer in answers:
            if answer.frame_index >= 2:
                shown = truth(clip, answer.frame_index, 1)
                assert all(overlap(one, shown) < 0.5 for one in answer.objects)
            assert 2 in ids(answer)
    (*_, answer) = finished(session.prompt(3, 2, around(clip, 2, 1)))
    assert overlap(by_id(answer)[3], truth(clip, 3, 1)) > 0.5, "a prompt may ask for it again"


def test_a_detection_without_pixels_is_none(
    engine: MaskRcnnEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mask head may see no pixel of what the box head has found."""

    def hollow(_: object, pyramid: Pyramid, *__: object) -> Segment:
        height, width = pyramid.size
        return Segment(0.9, None, Mask.from_counts([height * width], pyramid.size), "ball", 1)

    monkeypatch.setattr(video, "mask_segment", hollow)
    clip = drifting(5)
    session = opened(engine, track_all=True)
    assert feed(session, clip, [0, 1]) == [FrameAnswer(0, ()), FrameAnswer(1, ())]
    (answer,) = finished(session.prompt(1, 1, around(clip, 1, 1)))
    (expected,) = ask(engine, clip[1][0], Task.PROMPTED_SEGMENTATION, [around(clip, 1, 1)])
    assert masks(answer) == [expected.mask]


def test_a_removed_object_that_was_lost_may_start_under_a_new_id(engine: MaskRcnnEngine) -> None:
    clip = drifting(5)
    session = opened(engine, track_all=True)
    (first,) = feed(session, clip, [0])
    session.remove(OWN_IDS)
    plain = np.full_like(clip[0][0], 128)
    for index in range(1, MAX_MISSED + 2):
        finished(session.add_frame(index, plain))
    answer = finished(session.add_frame(MAX_MISSED + 2, clip[0][0]))
    fresh = len(first.objects)
    assert ids(answer) == [OWN_IDS + fresh + n for n in range(fresh)]
    assert masks(answer) == masks(first)
    assert session._dismissed == {OWN_IDS}, "known on frames that may be linked again"
    for index in range(MAX_MISSED + 3, MAX_MISSED + 12):
        finished(session.add_frame(index, plain))
    assert not session._dismissed


def test_memory_is_flat_and_counted(engine: MaskRcnnEngine) -> None:
    clip: Clip = [*drifting(5), *crossing(HIDING)]
    session = opened(engine, track_all=True, held_frames=4)
    sizes = []
    for index in range(200):
        answer = finished(session.add_frame(index, clip[index % len(clip)][0]))
        if index % 5 == 0:
            for one in answer.objects[:2]:
                session.remove(one.object_id)
        sizes.append(session.nbytes)
    assert max(sizes[100:]) < 1.2 * max(sizes[:100])
    assert len(session._frames) == 4
    assert sum(frame.features is not None for frame in session._frames) == 1
    assert len(session._dismissed) < 40
    assert session.nbytes == pytest.approx(
        reachable_bytes(session._frames, without=torch.nn.Module), rel=0.25
    )
    session.close()
    assert session.nbytes == 0
    assert reachable_bytes(session._frames, without=torch.nn.Module) == 0


def test_the_engine_offers_video_but_not_for_pictures(
    loaded: tuple[MaskRcnnEngine, LoadedModel],
) -> None:
    engine, model = loaded
    assert Task.VIDEO_SEGMENTATION in model.tasks
    assert Task.VIDEO_SEGMENTATION in model.weights[0].tasks
    assert Task.VIDEO_SEGMENTATION not in model.weights[1].tasks
    with pytest.raises(ServiceError) as caught:
        engine.features_kind(Task.VIDEO_SEGMENTATION)
    assert caught.value.reason is Reason.TASK_UNSUPPORTED
