"""Which sessions an agent's worker, CVAT's own code, opens, and what they are sent."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import PIL.Image
import pytest
from cvat_cli._internal.agent_driver import set_worker_current_function
from cvat_cli._internal.agent_driver_tracking import (
    AgentTrackingFunctionDriver,
    _worker_job_init_tracking,
    _worker_job_track,
)
from cvat_sdk.auto_annotation import TrackableShape
from cvat_stand_in import TASK

from diptych import Mask, Segment, VideoObject
from diptych.testing import FakeSegmentService, FakeVideoFrame
from diptych_cvat import tracker
from diptych_cvat.failures import FunctionError

BOX = TrackableShape(type="rectangle", points=[10, 10, 40, 30])
RING = TrackableShape(type="polygon", points=[50, 10, 80, 10, 80, 40, 50, 40])


@pytest.fixture
def fake() -> Iterator[FakeSegmentService]:
    with FakeSegmentService(["sam-2"]) as service:
        yield service


def picture(seed: int) -> PIL.Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (60, 90, 3), np.uint8)
    return PIL.Image.fromarray(pixels)


def work_with(fake: FakeSegmentService, **parameters: object) -> None:
    set_worker_current_function(tracker.create(address=fake.address, **parameters))
    numbers = itertools.count()
    AgentTrackingFunctionDriver.init_worker(lambda: f"state-{next(numbers)}")


def begin(frame: PIL.Image.Image, *shapes: TrackableShape) -> list[str]:
    return _worker_job_init_tracking(TASK, frame, list(shapes))


def follow(frame: PIL.Image.Image, states: Sequence[str]) -> list[TrackableShape | None]:
    return _worker_job_track(TASK, frame, list(states))


def sent(fake: FakeSegmentService) -> list[str]:
    return [str(message.WhichOneof("event")) for message in fake.video_requests]


def test_objects_of_a_frame_share_a_session_and_each_frame_is_sent_once(
    fake: FakeSegmentService,
) -> None:
    work_with(fake)
    states = begin(picture(0), BOX, RING)
    for i in (1, 2):
        box, ring = follow(picture(i), states)
        assert (box.type, ring.type) == ("rectangle", "polygon")
        assert box.points == [10, 10, 40, 30]
        assert sorted(ring.points[::2]) == [50, 50, 80, 80]
    assert sent(fake) == ["start", "frame", "prompt", "prompt", "frame", "frame"]


def test_one_object_may_be_followed_after_the_other(fake: FakeSegmentService) -> None:
    work_with(fake)
    first, second = begin(picture(0), BOX, RING)
    for state in (first, second):
        for i in (1, 2):
            assert follow(picture(i), [state])[0] is not None
    assert sent(fake).count("frame") == 3


def test_an_object_that_takes_another_way_gets_a_session_from_where_it_was(
    fake: FakeSegmentService,
) -> None:
    work_with(fake)
    first, second = begin(picture(0), BOX, RING)
    follow(picture(1), [first, second])
    follow(picture(2), [first])
    (ring,) = follow(picture(3), [second])
    assert sorted(ring.points[::2]) == [50, 50, 80, 80]
    assert sent(fake)[-4:] == ["start", "frame", "prompt", "frame"]
    frames = [m.frame.encoded for m in fake.video_requests if m.WhichOneof("event") == "frame"]
    assert frames[-2] == frames[1], "the frame on which it was seen last"


def test_sessions_are_few_and_closed_ones_begin_anew(fake: FakeSegmentService) -> None:
    work_with(fake, sessions=1)
    (first,) = begin(picture(0), BOX)
    (second,) = begin(picture(10), RING)
    for i in (1, 2):
        assert follow(picture(i), [first])[0].points == [10, 10, 40, 30]
        assert follow(picture(10 + i), [second])[0] is not None
    assert fake.video_session_count <= 2, "one, and one that is just ending"


def test_a_hidden_object_is_none_and_comes_back(fake: FakeSegmentService) -> None:
    work_with(fake)
    states = begin(picture(0), BOX)

    there = Mask.from_crop(np.ones((20, 30)), 10, 10, (60, 90))

    def hidden_on_the_second(frame: FakeVideoFrame) -> list[VideoObject]:
        segment = Segment(0.9) if frame.frame_index == 1 else Segment(0.9, there.box, there)
        return [VideoObject(0, segment, 0.9)]

    fake.answer_video_with(hidden_on_the_second)
    assert follow(picture(1), states) == [None]
    assert follow(picture(2), states)[0].points == [10, 10, 40, 30]


def test_a_shape_beside_the_frame_is_told(fake: FakeSegmentService) -> None:
    work_with(fake)
    outside = TrackableShape(type="polygon", points=[200, 10, 220, 10, 220, 40])
    with pytest.raises(FunctionError, match="polygon: expected pixels within 90 x 60, got none"):
        begin(picture(0), outside)


def test_after_an_error_an_object_goes_on_from_where_it_was(fake: FakeSegmentService) -> None:
    work_with(fake, timeout=5.0)
    states = begin(picture(0), BOX)
    fake.fail("MODEL_FAILED", times=1, frame_index=1)
    with pytest.raises(FunctionError, match=r"Diptych at \S+: told to fail"):
        follow(picture(1), states)
    assert follow(picture(1), states)[0].points == [10, 10, 40, 30]


def test_a_session_that_is_lost_begins_anew(fake: FakeSegmentService) -> None:
    work_with(fake)
    states = begin(picture(0), BOX)
    follow(picture(1), states)
    fake.fail("SESSION_EXPIRED", times=1, frame_index=2)
    assert follow(picture(2), states)[0].points == [10, 10, 40, 30]
