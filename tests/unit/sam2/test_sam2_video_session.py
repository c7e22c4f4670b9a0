"""What a live session answers; small pictures keep it quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sam2_video_helpers import (
    BOX,
    OPTIONS,
    POINT,
    demo_network,
    feed,
    noise,
    small_network,
)

from diptych import Mask, Point, Prompt
from diptych_runtime.engine import FrameAnswer, Pixels
from diptych_sam2.network.video import VideoNetwork
from diptych_sam2.video.session import Sam2VideoSession

SCENES = Path(__file__).parents[3] / "demo-weights"


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    return small_network()


@pytest.fixture(scope="module")
def demo() -> VideoNetwork:
    return demo_network()


@pytest.fixture(scope="module")
def shots() -> Iterator[list[tuple[Pixels, Any]]]:
    """Pictures and labels of a scene whose objects stay in sight."""
    sys.path.insert(0, str(SCENES))
    yield importlib.import_module("scenes").clip(5, 8, speed=5)
    sys.path.remove(str(SCENES))


@pytest.fixture
def session(network: VideoNetwork) -> Sam2VideoSession:
    return Sam2VideoSession(network, OPTIONS)


def test_frames_without_objects_are_answered_empty(session: Any) -> None:
    assert feed(session, 3) == FrameAnswer(3, ())
    assert feed(session, 9) == FrameAnswer(9, ())


def test_a_frame_takes_a_step_for_the_encoder_and_each_batch(session: Any, finish: Any) -> None:
    feed(session, 0)
    for object_id in (2, 1):
        finish(session.prompt(object_id, 0, BOX))
    answer, yields = finish(session.add_frame(1, noise(1)))
    assert yields == 1
    assert [one.object_id for one in answer.objects] == [1, 2]


def test_objects_of_a_scene_are_found_and_hidden_ones_have_no_mask(
    demo: VideoNetwork, shots: Any, finish: Any
) -> None:
    session = Sam2VideoSession(demo, OPTIONS)
    picture, labels = shots[0]
    truth = Mask.from_array(labels == 1)
    finish(session.add_frame(0, picture))
    (answer,), _ = finish(session.prompt(1, 0, Prompt(box=truth.box)))
    (one,) = answer.objects
    assert one.segment.mask.iou(truth) > 0.8
    assert one.segment.area == one.segment.mask.area
    assert one.segment.box == one.segment.mask.box
    assert one.presence > 0.5
    empty = Mask.from_array(np.zeros(labels.shape, bool))
    (answer,), _ = finish(session.prompt(1, 0, Prompt(mask=empty)))
    (one,) = answer.objects
    assert (one.segment.mask, one.segment.box) == (None, None)
    assert one.presence == one.segment.score < 0.5


def overlap(mask: Mask | None, truth: Mask) -> float:
    """IoU with the truth; 0 for a hidden object."""
    return mask.iou(truth) if mask else 0.0


def test_a_correction_changes_the_frames_after_it(
    demo: VideoNetwork, shots: Any, finish: Any
) -> None:
    session = Sam2VideoSession(demo, OPTIONS)
    for index, (picture, _) in enumerate(shots[:4]):
        finish(session.add_frame(index, picture))
        if index == 0:
            finish(session.prompt(1, 0, Prompt(points=(Point(3, 3),))))
            finish(session.prompt(2, 0, Prompt(mask=Mask.from_array(shots[0][1] == 2))))
    frames = session._frames.since(session._held(1))
    before = [session._answer(frame) for frame in frames]
    logits = [session._tracks[1].memory.latest(frame.number) for frame in frames]
    truth = Mask.from_array(shots[1][1] == 1)
    answers, _ = finish(session.prompt(1, 1, Prompt(mask=truth)))
    assert [answer.frame_index for answer in answers] == [1, 2, 3]
    truths = [truth, *(Mask.from_array(shots[index][1] == 1) for index in (2, 3))]
    wrong, right = (
        [
            overlap(answer.objects[0].segment.mask, mask)
            for answer, mask in zip(one, truths, strict=True)
        ]
        for one in (before, answers)
    )
    assert wrong[0] < 0.5
    assert right[0] > 0.9
    assert np.mean(right) > np.mean(wrong) + 0.2
    for frame, old in zip(frames, logits, strict=True):
        new = session._tracks[1].memory.latest(frame.number)
        assert old is not None
        assert new is not None
        assert old.logits is not None
        assert new.logits is not None
        assert not torch.equal(old.logits, new.logits)
    assert [answer.objects[1] for answer in answers] == [answer.objects[1] for answer in before]


def test_a_correction_leaves_later_prompts_as_they_are(session: Any, finish: Any) -> None:
    for index in range(4):
        feed(session, index)
        if index in (0, 2):
            finish(session.prompt(1, index, BOX))
    prompted = session._answer(session._held(2))
    answers, _ = finish(session.prompt(1, 1, POINT))
    assert [answer.frame_index for answer in answers] == [1, 2, 3]
    assert answers[1] == prompted
    assert sorted(session._tracks[1].memory.conditioning) == [0, 1, 2]


def test_a_prompt_beyond_the_cap_still_holds_on_its_frame(
    network: VideoNetwork, finish: Any
) -> None:
    session = Sam2VideoSession(network, OPTIONS, max_conditioning_frames=2)
    for index in range(4):
        feed(session, index)
        finish(session.prompt(1, index, BOX))
    prompted = [session._answer(session._held(index)) for index in (2, 3)]
    answers, _ = finish(session.prompt(1, 1, POINT))
    assert sorted(session._tracks[1].memory.conditioning) == [0, 3]
    assert list(answers[1:]) == prompted


def test_a_removed_object_changes_nothing_for_the_others(
    network: VideoNetwork, finish: Any
) -> None:
    sessions = [Sam2VideoSession(network, OPTIONS) for _ in range(2)]
    for session in sessions:
        feed(session, 0)
        finish(session.prompt(1, 0, BOX))
    finish(sessions[1].prompt(2, 0, POINT))
    for index in (1, 2):
        for session in sessions:
            feed(session, index)
    sessions[1].remove(2)
    assert feed(sessions[0], 3) == feed(sessions[1], 3)
