"""Mask R-CNN in video as users see it: two real services, the gateway and the SDK."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from processes import another_child, children
from rcnn_video_helpers import Clip, drifting, truth
from stack import Stack

from diptych import (
    Client,
    InvalidRequestError,
    Task,
    UnsupportedTaskError,
    VideoFrameResult,
    VideoRefusal,
)

OWN_IDS = 2**30
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return drifting(5, 12)


def result(session: Iterator[object]) -> VideoFrameResult:
    """The next event, which is a frame's."""
    event = next(session)
    assert isinstance(event, VideoFrameResult), event
    return event


@pytest.mark.parametrize("model", ["mask-rcnn", "sam-2"])
def test_both_models_follow_the_objects_of_one_clip(client: Client, clip: Clip, model: str) -> None:
    with client.video(model=model, jpeg_quality=None) as session:
        session.send(clip[0][0])
        assert result(session).objects == ()
        for value in (1, 2, 3):
            box = truth(clip, 0, value).box
            assert box is not None
            session.prompt(value, box=box.xyxy)
            result(session)
        held = 0
        for event in session.track(picture for picture, _ in clip[1:]):
            assert isinstance(event, VideoFrameResult)
            for one in event.objects:
                shown = truth(clip, event.frame_index, one.object_id)
                held += one.segment.mask is not None and one.segment.mask.iou(shown) > 0.5
                assert (one.segment.label != "") is (model == "mask-rcnn")
        print(f"{model}: {held} of 33 frames of objects")
        assert held >= 30


def test_a_correction_answers_held_frames_again(client: Client, clip: Clip) -> None:
    with client.video(model="mask-rcnn", jpeg_quality=None) as session:
        for picture, _ in clip[:4]:
            session.send(picture)
            result(session)
        where = truth(clip, 1, 2).box
        assert where is not None
        assert session.prompt(8, box=where.xyxy, frame_index=1) == 1
        answers = [result(session) for _ in range(3)]
        assert [(one.frame_index, one.revision) for one in answers] == [(1, 1), (2, 1), (3, 1)]
        for answer in answers:
            (one,) = answer.objects
            assert one.segment.mask is not None
            assert one.segment.mask.iou(truth(clip, answer.frame_index, 2)) > 0.5
            assert one.presence == one.segment.score > 0.5
        session.remove(8)
        session.send(clip[4][0])
        assert result(session).objects == ()


def test_everything_is_followed_until_it_is_removed(client: Client, clip: Clip) -> None:
    with client.video(model="mask-rcnn", track_all=True, jpeg_quality=None) as session:
        session.send(clip[0][0])
        ids = [one.object_id for one in result(session).objects]
        assert ids == [OWN_IDS, OWN_IDS + 1, OWN_IDS + 2]
        session.remove(OWN_IDS + 1)
        for picture, _ in clip[1:4]:
            session.send(picture)
            assert [one.object_id for one in result(session).objects] == [OWN_IDS, OWN_IDS + 2]


def test_refusals_are_told_in_band_and_the_session_goes_on(client: Client, clip: Clip) -> None:
    with client.video(model="mask-rcnn", jpeg_quality=None) as session:
        session.send(clip[0][0])
        result(session)
        session.prompt(1, mask=truth(clip, 0, 1))
        session.prompt(2, points=[(1, 255)])
        session.prompt(OWN_IDS, points=[(1, 255)])
        session.remove(5)
        events = [next(session) for _ in range(4)]
        refusals = [event for event in events if isinstance(event, VideoRefusal)]
        assert [refusal.error.reason for refusal in refusals] == [
            "PROMPT_UNSUPPORTED",
            "PROMPT_INVALID",
            "PROMPT_INVALID",
            "OBJECT_UNKNOWN",
        ]
        assert isinstance(refusals[0].error, UnsupportedTaskError)
        assert isinstance(refusals[1].error, InvalidRequestError)
        assert "no detected object covers" in str(refusals[1].error)
        session.send(clip[1][0])
        assert result(session).objects == ()


def test_a_picture_is_still_no_video(client: Client, clip: Clip) -> None:
    with pytest.raises(UnsupportedTaskError, match="video-segmentation"):
        client.segment(clip[0][0], model="mask-rcnn", task=Task.VIDEO_SEGMENTATION)


def test_a_session_goes_on_where_an_engine_was_lost(
    client: Client, stack: Stack, clip: Clip
) -> None:
    """The object's own prompt is older than the held frames, so it is asked for by its box."""
    box = truth(clip, 0, 2).box
    assert box is not None
    with client.video(model="mask-rcnn", jpeg_quality=None) as session:
        session.send(clip[0][0])
        session.prompt(2, box=box.xyxy)
        for _ in range(2):
            result(session)
        for picture, _ in clip[1:11]:
            session.send(picture)
            last = result(session)
        front = stack.processes["mask-rcnn"].pid
        (engine,) = children(front)
        os.kill(engine, signal.SIGKILL)
        another_child(front, engine)
        session.send(clip[11][0])
        found = result(session)
        assert (found.frame_index, found.revision, session.resume_count) == (11, 0, 1)
        (one,) = found.objects
        assert one.object_id == last.objects[0].object_id == 2
        assert one.segment.mask is not None
        assert one.segment.mask.iou(truth(clip, 11, 2)) > 0.5
