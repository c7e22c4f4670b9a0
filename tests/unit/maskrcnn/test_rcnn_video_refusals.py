"""What a live session of Mask R-CNN refuses, and that nothing of it stays behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from rcnn_video_helpers import around, drifting, feed, opened, state_of, truth
from steps import finished

from diptych import Box, Point, Prompt
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.video.session import MaskRcnnVideoSession
from diptych_runtime.engine import Reason, ServiceError

CLIP = drifting(5, 8)
CORNER = Point(1, 255)
EMPTY = Prompt(box=Box(0, 250, 4, 256))


@pytest.fixture
def session(engine: MaskRcnnEngine) -> MaskRcnnVideoSession:
    """Four frames; objects 1 and 3 are followed since the first one, 2 was removed."""
    made = opened(engine, max_objects=3, held_frames=3)
    feed(made, CLIP, [0])
    for value in (1, 2, 3):
        finished(made.prompt(value, 0, around(CLIP, 0, value)))
    feed(made, CLIP, range(1, 4))
    made.remove(2)
    return made


@pytest.mark.parametrize(
    ("object_id", "prompt", "reason", "text"),
    [
        (
            9,
            Prompt(points=(CORNER,)),
            Reason.PROMPT_INVALID,
            "prompt.prompt.points: expected points of an object of frame 3, "
            "got points that no detected object covers",
        ),
        (
            1,
            Prompt(points=(Point(1, 255, positive=False),)),
            Reason.PROMPT_INVALID,
            "prompt.prompt: expected a foreground point, a box or a mask, got background points "
            "alone; mask-rcnn chooses a detection, and they choose none",
        ),
        (
            9,
            EMPTY,
            Reason.PROMPT_INVALID,
            "prompt.prompt.box: expected a box around an object of frame 3, got one around none",
        ),
        (
            2,
            around(CLIP, 3, 2),
            Reason.OBJECT_UNKNOWN,
            "object_id: object 2 was removed, and ids are not reused",
        ),
    ],
)
def test_a_refused_prompt_leaves_no_trace(
    session: MaskRcnnVideoSession, object_id: int, prompt: Prompt, reason: Reason, text: str
) -> None:
    before = state_of(session)
    with pytest.raises(ServiceError) as caught:
        finished(session.prompt(object_id, 3, prompt))
    assert (caught.value.reason, caught.value.message) == (reason, text)
    assert state_of(session) == before
    assert [one.object_id for one in feed(session, CLIP, [4])[0].objects] == [1, 3]


def test_two_objects_cannot_be_prompted_with_one_detection(session: MaskRcnnVideoSession) -> None:
    finished(session.prompt(1, 3, around(CLIP, 3, 1)))
    before = state_of(session)
    with pytest.raises(ServiceError) as caught:
        finished(session.prompt(9, 3, around(CLIP, 3, 1)))
    assert caught.value.message == (
        "prompt.prompt: expected an object of its own, got that of object 1 on this frame"
    )
    assert state_of(session) == before
    session.remove(1)
    (answer,) = finished(session.prompt(9, 3, around(CLIP, 3, 1)))
    assert [one.object_id for one in answer.objects] == [3, 9]


def test_no_more_objects_than_allowed_and_none_twice(session: MaskRcnnVideoSession) -> None:
    finished(session.prompt(4, 3, around(CLIP, 3, 2)))
    before = state_of(session)
    with pytest.raises(ServiceError, match="expected at most 3 objects at a time") as caught:
        finished(session.prompt(5, 3, around(CLIP, 3, 2)))
    assert caught.value.reason is Reason.OBJECT_LIMIT
    with pytest.raises(ServiceError, match=r"expected a tracked object \(1, 3, 4\), got 2"):
        session.remove(2)
    assert state_of(session) == before
    session.remove(4)
    (answer,) = finished(session.prompt(5, 3, around(CLIP, 3, 2)))
    assert [one.object_id for one in answer.objects] == [1, 3, 5]


MESSAGES: dict[str, Callable[[MaskRcnnVideoSession], Any]] = {
    "frame": lambda session: session.add_frame(4, CLIP[4][0]),
    "held": lambda session: session.prompt(1, 2, around(CLIP, 2, 2)),
    "points": lambda session: session.prompt(7, 2, Prompt(points=(Point(60, 200),))),
    "own box": lambda session: session.prompt(7, 1, Prompt(box=Box(20, 150, 60, 200))),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_steps_that_are_closed_anywhere_leave_no_trace(
    session: MaskRcnnVideoSession, message: Callable[[MaskRcnnVideoSession], Any]
) -> None:
    before = state_of(session)
    taken = 0
    while True:
        steps = message(session)
        try:
            for _ in range(taken + 1):
                next(steps)
        except StopIteration:
            break
        steps.close()
        assert state_of(session) == before
        taken += 1
    assert taken >= 1
    assert state_of(session) != before
    feed(session, CLIP, [5])


@pytest.mark.parametrize("part", ["box_head", "mask_head"])
def test_a_failure_half_way_leaves_no_trace(
    engine: MaskRcnnEngine, session: MaskRcnnVideoSession, part: str
) -> None:
    before = state_of(session)

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory left")

    head = getattr(engine._networks["mask"].module.roi_heads, part)
    handle = head.register_forward_pre_hook(full)
    with pytest.raises(ServiceError) as caught:
        feed(session, CLIP, [4])
    handle.remove()
    assert caught.value.reason is Reason.DEVICE_MEMORY
    assert state_of(session) == before
    assert len(feed(session, CLIP, [4])[0].objects) == 2


def test_a_held_frame_that_came_before_an_object_is_prompted_again(
    session: MaskRcnnVideoSession,
) -> None:
    """An object starts where it was prompted; frames before that answer without it."""
    answers = finished(session.prompt(7, 2, around(CLIP, 2, 2)))
    assert [[one.object_id for one in answer.objects] for answer in answers] == [[1, 3, 7]] * 2
    earlier = finished(session.prompt(1, 1, around(CLIP, 1, 1)))
    assert [[one.object_id for one in answer.objects] for answer in earlier] == [
        [1, 3],
        [1, 3, 7],
        [1, 3, 7],
    ]
    assert truth(CLIP, 3, 2).iou(answers[-1].objects[-1].segment.mask) > 0.5  # type: ignore[arg-type]
