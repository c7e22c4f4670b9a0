"""What a live session refuses, and that nothing of it stays behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sam2_video_helpers import (
    BOX,
    OPTIONS,
    POINT,
    SIZE,
    feed,
    noise,
    small_network,
    state_of,
)

from diptych import Box, LowResLogits, Mask, Point, Prompt
from diptych_runtime.engine import LoadError, Reason, ServiceError
from diptych_sam2.network import video as video_network
from diptych_sam2.network.memory import FrameMemory
from diptych_sam2.network.video import VideoNetwork
from diptych_sam2.video.session import Sam2VideoSession


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    return small_network()


@pytest.fixture
def session(network: VideoNetwork) -> Sam2VideoSession:
    return Sam2VideoSession(network, OPTIONS)


@pytest.mark.parametrize(
    ("object_id", "frame", "prompt", "reason"),
    [
        (9, 0, BOX, Reason.FRAME_NOT_HELD),
        (9, 6, BOX, Reason.FRAME_NOT_HELD),
        (9, 5, Prompt(), Reason.PROMPT_INVALID),
        (9, 5, Prompt(points=(Point(5, 5, positive=False),)), Reason.PROMPT_INVALID),
        (9, 5, Prompt(points=(Point(float("nan"), 5),)), Reason.PROMPT_INVALID),
        (9, 5, Prompt(points=(Point(129, 5),)), Reason.PROMPT_INVALID),
        (9, 5, Prompt(box=Box(30, 30, 20, 40)), Reason.PROMPT_INVALID),
        (9, 5, Prompt(box=Box(0, 0, 20, 97)), Reason.PROMPT_INVALID),
        (
            9,
            5,
            Prompt(mask=LowResLogits.from_numpy(np.zeros((16, 16), np.float32))),
            Reason.PROMPT_INVALID,
        ),
        (9, 5, Prompt(mask=Mask.from_array(np.ones((9, 9), bool))), Reason.PROMPT_INVALID),
        (3, 4, Prompt(points=(Point(5, 5, positive=False),)), Reason.PROMPT_INVALID),
        (2, 5, BOX, Reason.OBJECT_UNKNOWN),
    ],
)
def test_a_refused_prompt_leaves_no_trace(
    session: Any,
    finish: Any,
    object_id: int,
    frame: int,
    prompt: Prompt,
    reason: Reason,
) -> None:
    for index in range(6):
        feed(session, index)
        if index == 0:
            finish(session.prompt(1, 0, BOX))
            finish(session.prompt(2, 0, POINT))
    session.remove(2)
    finish(session.prompt(3, 5, POINT))
    before = state_of(session)
    with pytest.raises(ServiceError) as caught:
        finish(session.prompt(object_id, frame, prompt))
    assert caught.value.reason is reason
    assert state_of(session) == before
    assert [one.object_id for one in feed(session, 6).objects] == [1, 3]


def test_a_prompt_before_any_frame_is_refused(session: Any, finish: Any) -> None:
    with pytest.raises(ServiceError, match=r"expected a held frame \(none\), got 0") as caught:
        finish(session.prompt(1, 0, BOX))
    assert caught.value.reason is Reason.FRAME_NOT_HELD


def test_frames_grow_and_keep_their_size(session: Any, finish: Any) -> None:
    feed(session, 4)
    finish(session.prompt(1, 4, BOX))
    before = state_of(session)
    for index, size, reason in (
        (4, SIZE, Reason.SESSION_ORDER),
        (3, SIZE, Reason.SESSION_ORDER),
        (5, SIZE[::-1], Reason.IMAGE_SHAPE),
    ):
        with pytest.raises(ServiceError) as caught:
            finish(session.add_frame(index, noise(0, size)))
        assert caught.value.reason is reason
        assert state_of(session) == before
    assert len(feed(session, 5).objects) == 1


def test_no_more_objects_than_allowed_and_none_twice(session: Any, finish: Any) -> None:
    feed(session, 0)
    for object_id in range(3):
        finish(session.prompt(object_id, 0, BOX))
    with pytest.raises(ServiceError) as caught:
        finish(session.prompt(3, 0, BOX))
    assert caught.value.reason is Reason.OBJECT_LIMIT
    session.remove(0)
    with pytest.raises(ServiceError, match=r"expected a tracked object \(1, 2\), got 0") as caught:
        session.remove(0)
    assert caught.value.reason is Reason.OBJECT_UNKNOWN
    with pytest.raises(ServiceError, match="object 0 was removed") as caught:
        finish(session.prompt(0, 0, BOX))
    assert caught.value.reason is Reason.OBJECT_UNKNOWN
    (answer,), _ = finish(session.prompt(3, 0, BOX))
    assert [one.object_id for one in answer.objects] == [1, 2, 3]


def test_steps_that_are_closed_half_way_leave_no_trace(session: Any, finish: Any) -> None:
    for index in range(3):
        feed(session, index)
        if index == 0:
            finish(session.prompt(1, 0, BOX))
    before = state_of(session)
    for steps in (session.add_frame(3, noise(3)), session.prompt(1, 1, POINT)):
        next(steps)
        with pytest.raises(RuntimeError, match="one message at a time"):
            session.remove(1)
        steps.close()
        assert state_of(session) == before
    assert len(feed(session, 3).objects) == 1


def test_a_failure_half_way_leaves_no_trace(
    session: Any, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(session, 0)
    finish(session.prompt(1, 0, BOX))
    finish(session.prompt(2, 0, POINT))
    before = state_of(session)
    calls: list[int] = []
    track = VideoNetwork.track

    def failing(*arguments: Any) -> FrameMemory:
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("no memory left")
        return track(*arguments)

    monkeypatch.setattr(VideoNetwork, "track", failing)
    monkeypatch.setattr(video_network, "_BATCH_OBJECTS", 1)
    with pytest.raises(ServiceError) as caught:
        feed(session, 1)
    assert caught.value.reason is Reason.DEVICE_MEMORY
    assert state_of(session) == before
    assert len(feed(session, 1).objects) == 2


def test_options_that_cannot_be_used_are_refused(network: VideoNetwork) -> None:
    with pytest.raises(ServiceError) as caught:
        Sam2VideoSession(network, replace(OPTIONS, track_all=True))
    assert caught.value.reason is Reason.TASK_UNSUPPORTED
    with pytest.raises(ValueError, match="held_frames: expected at least 1, got 0"):
        Sam2VideoSession(network, replace(OPTIONS, held_frames=0))
    with pytest.raises(ValueError, match="max_conditioning_frames: expected at least 2, got 1"):
        Sam2VideoSession(network, OPTIONS, max_conditioning_frames=1)


def test_another_version_of_sam2_is_refused(
    network: VideoNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.2.0")
    with pytest.raises(LoadError, match=r"needs sam2 1\.1\.0.*got 1\.2\.0"):
        VideoNetwork(network._parts)
