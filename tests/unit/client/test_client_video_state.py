"""What a video session remembers of its stream, without any stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from diptych import Box, LowResLogits, Mask, Point, Prompt, SessionLostError, UnavailableError
from diptych._types.errors import ServerError
from diptych._types.video import VideoOptions
from diptych._video.options import make_prompt
from diptych._video.state import MAX_WAITING, SessionState
from diptych.segment import v1 as pb
from diptych.wire.video import read_video_event

PROMPT = make_prompt([], (1, 2, 3, 4), None)


@pytest.fixture
def state() -> SessionState:
    made = SessionState(VideoOptions(model="one"))
    assert made.start().seq == 1
    limits = pb.VideoStarted(max_objects=2, held_frames=3, max_frames_in_flight=2)
    made.opened(pb.SegmentVideoResponse(in_reply_to_seq=1, started=limits))
    return made


def send(state: SessionState, index: int | None = None) -> int:
    message = state.frame(b"frame", index)
    state.sent(message)
    return message.seq


def prompt(state: SessionState, object_id: int, index: int | None = None) -> int:
    message = state.prompt(object_id, index, PROMPT)
    state.sent(message, PROMPT)
    return message.seq


def answer(state: SessionState, seq: int, index: int = 0, **objects: Any) -> None:
    frame = pb.VideoFrameSegments(frame_index=index, **objects)
    message = pb.SegmentVideoResponse(in_reply_to_seq=seq, frame=frame)
    state.settle(message, read_video_event(message))


def refuse(state: SessionState, seq: int) -> Any:
    message = pb.SegmentVideoResponse(in_reply_to_seq=seq, error=pb.VideoError())
    return state.settle(message, read_video_event(message))


def prompts(state: SessionState) -> list[tuple[int, int]]:
    return [(p.object_id, p.frame_index) for p in state.checkpoint().prompts]


def test_numbers_grow_and_the_window_is_kept(state: SessionState) -> None:
    first, second = send(state), send(state)
    assert (first, second, state.has_room) == (2, 3, False)
    answer(state, second, 1)
    assert state.has_room
    answer(state, second, 1)  # a later answer to the same message frees nothing more
    assert not state.all_answered
    answer(state, first, 0)
    assert state.all_answered


def test_only_the_newest_frames_and_their_prompts_are_held(state: SessionState) -> None:
    for index in range(3):
        answer(state, send(state), index)
        answer(state, prompt(state, index), index)
    assert prompts(state) == [(0, 0), (1, 1), (2, 2)]
    answer(state, send(state), 3)
    held = state.checkpoint()
    assert [index for index, _ in held.frames] == [1, 2, 3]
    assert [(p.object_id, p.frame_index) for p in held.prompts] == [(1, 1), (2, 2)]
    assert held.lost_objects == (0,)


def test_a_refused_prompt_leaves_the_earlier_one(state: SessionState) -> None:
    answer(state, send(state))
    answer(state, prompt(state, 1))
    refusal = refuse(state, prompt(state, 1))
    assert (refusal.object_id, refusal.frame_index) == (1, 0)
    refuse(state, prompt(state, 2))
    assert prompts(state) == [(1, 0)]


def test_a_refused_frame_is_not_held(state: SessionState) -> None:
    answer(state, send(state))
    assert refuse(state, send(state)).frame_index == 1
    assert [index for index, _ in state.checkpoint().frames] == [0]
    assert state.prompt(1, None, PROMPT).prompt.frame_index == 0
    assert state.frame(b"frame", None).frame.frame_index == 2


def test_prompts_that_wait_are_bounded(state: SessionState) -> None:
    send(state)
    for _ in range(MAX_WAITING):
        prompt(state, 1)
    with pytest.raises(RuntimeError, match="read results"):
        prompt(state, 1)
    with pytest.raises(RuntimeError, match="read results"):
        state.removal(1)
    answer(state, 3)
    assert prompt(state, 1)


def test_a_visible_mask_is_kept(state: SessionState) -> None:
    answer(state, send(state))
    answer(state, prompt(state, 1))
    size = pb.ImageSize(height_px=2, width_px=2)
    shown = Mask.from_array(np.array([[True, False], [False, False]]))
    segment = pb.Segment(mask=pb.Mask(coco_rle=shown.to_coco()))
    visible = pb.VideoSegment(object_id=1, segment=segment)
    foreign = pb.VideoSegment(object_id=2**30, segment=segment)
    answer(state, send(state), 1, segments=[visible, foreign], image_size=size)
    for index in (2, 3):
        answer(state, send(state), index, segments=[pb.VideoSegment(object_id=1)], image_size=size)
    (kept,) = state.checkpoint().prompts
    assert (kept.object_id, kept.frame_index, kept.prompt) == (1, 1, Prompt(mask=shown))
    answer(state, send(state), 4)
    assert (state.checkpoint().prompts, state.checkpoint().lost_objects) == ((), (1,))


def mask_at(x: int) -> Mask:
    return Mask.from_crop(np.ones((1, 1), bool), x, 0, (2, 8))


def show(state: SessionState, seq: int, index: int, x: int) -> None:
    segment = pb.Segment(mask=pb.Mask(coco_rle=mask_at(x).to_coco()))
    size = pb.ImageSize(height_px=2, width_px=8)
    found = pb.VideoSegment(object_id=1, segment=segment)
    answer(state, seq, index, segments=[found], image_size=size)


@pytest.fixture
def followed(state: SessionState) -> SessionState:
    """Object 1, prompted on frame 0, was seen on frames 1 to 3, which are held."""
    answer(state, send(state))
    show(state, prompt(state, 1), 0, 0)
    for index in (1, 2, 3):
        show(state, send(state), index, index)
    return state


def asked(state: SessionState) -> list[tuple[int, Prompt]]:
    held = state.checkpoint().prompts
    return sorted(((p.frame_index, p.prompt) for p in held), key=lambda each: each[0])


def test_the_oldest_held_mask_is_what_an_object_goes_on_from(followed: SessionState) -> None:
    assert asked(followed) == [(1, Prompt(mask=mask_at(1)))]


def test_a_correction_does_not_stand_for_what_it_corrects(followed: SessionState) -> None:
    show(followed, prompt(followed, 1, 2), 2, 5)
    assert asked(followed) == [(1, Prompt(mask=mask_at(1))), (2, PROMPT)]
    # As the oldest frame goes, its mask is that of the corrected one.
    show(followed, send(followed), 4, 6)
    assert asked(followed) == [(2, Prompt(mask=mask_at(5)))]


def test_a_correction_that_is_not_answered_is_asked_again(followed: SessionState) -> None:
    prompt(followed, 1, 1)
    assert asked(followed) == [(1, PROMPT), (2, Prompt(mask=mask_at(2)))]


OFF = Prompt(points=(Point(1, 1, positive=False),))


def correct(state: SessionState, object_id: int, index: int) -> int:
    message = state.prompt(object_id, index, OFF)
    state.sent(message, OFF)
    return message.seq


def test_background_clicks_alone_replace_nothing(state: SessionState) -> None:
    """Another session hears of what they correct before it hears of them."""
    answer(state, send(state))
    answer(state, prompt(state, 1))
    for _ in range(40):
        answer(state, correct(state, 1, 0))
    answer(state, send(state), 1)
    answer(state, correct(state, 1, 1), 1)
    assert asked(state) == [(0, PROMPT), *[(0, OFF)] * 33, (1, OFF)]
    replaced = prompt(state, 1, 0)
    for index in (0, 1):
        answer(state, replaced, index)
    assert asked(state) == [(0, PROMPT), (1, OFF)]


def test_background_clicks_on_a_tracked_frame_are_asked_again(followed: SessionState) -> None:
    show(followed, correct(followed, 1, 2), 2, 5)
    assert asked(followed) == [(1, Prompt(mask=mask_at(1))), (2, OFF)]
    show(followed, send(followed), 4, 6)
    assert asked(followed) == [(2, Prompt(mask=mask_at(5)))]


def test_background_clicks_that_are_not_answered_correct_the_mask(followed: SessionState) -> None:
    correct(followed, 1, 1)
    assert asked(followed) == [(1, Prompt(mask=mask_at(1))), (1, OFF)]


def test_background_clicks_before_an_object_is_known_are_not_asked(followed: SessionState) -> None:
    """It was not seen on their frame, or anywhere."""
    answer(followed, 4, 1, segments=[pb.VideoSegment(object_id=1)])
    correct(followed, 1, 1)
    assert asked(followed) == [(2, Prompt(mask=mask_at(2)))]
    for index in (2, 3):
        answer(followed, 2, index, segments=[pb.VideoSegment(object_id=1)])
    assert (asked(followed), followed.checkpoint().lost_objects) == ([], (1,))


def test_where_an_object_is_no_more_it_is_not_asked_for(followed: SessionState) -> None:
    answer(followed, 4, 1, segments=[pb.VideoSegment(object_id=1)])
    assert asked(followed) == [(2, Prompt(mask=mask_at(2)))]
    followed.sent(followed.removal(1))
    assert asked(followed) == []
    assert followed.checkpoint().lost_objects == ()


def test_what_a_detector_found_is_asked_for_by_its_box(state: SessionState) -> None:
    answer(state, send(state))
    answer(state, prompt(state, 1))
    shown = Mask.from_array(np.eye(2, dtype=bool)).to_coco()
    box = pb.BoundingBox(x_min_px=0.5, y_min_px=0, x_max_px=1.5, y_max_px=2)
    segment = pb.Segment(mask=pb.Mask(coco_rle=shown), box=box, label="dog", category_id=18)
    size = pb.ImageSize(height_px=2, width_px=2)
    found = pb.VideoSegment(object_id=1, segment=segment)
    for index in (1, 2, 3):
        answer(state, send(state), index, segments=[found], image_size=size)
    (kept,) = state.checkpoint().prompts
    assert (kept.frame_index, kept.prompt) == (1, Prompt(box=Box(0.5, 0, 1.5, 2)))


def test_the_end_of_a_server_is_the_loss_of_an_open_session(state: SessionState) -> None:
    gone = UnavailableError("gone", reason="ENGINE_LOST", request_id="abc", retry_after_s=1.0)
    lost = state.lost(gone)
    assert isinstance(lost, SessionLostError)
    assert (str(lost), lost.reason, lost.request_id) == ("gone", "ENGINE_LOST", "abc")
    assert (lost.retry_after_s, lost.checkpoint) == (1.0, state.checkpoint())
    assert SessionState(VideoOptions()).lost(gone) is gone
    other = ServerError("failed")
    assert state.lost(other) is other


def test_a_server_that_goes_is_heard(state: SessionState) -> None:
    going = pb.VideoGoingAway(grace=Duration(seconds=2, nanos=500_000_000))
    message = pb.SegmentVideoResponse(going_away=going)
    assert state.settle(message, read_video_event(message)) is None
    assert state.going_away_s == 2.5


def test_broken_answers_are_server_errors() -> None:
    with pytest.raises(ServerError, match="expected started"):
        SessionState(VideoOptions()).opened(pb.SegmentVideoResponse(ack=pb.VideoAck()))
    segment = pb.Segment(mask=pb.Mask(coco_rle=b"nonsense"))
    frame = pb.VideoFrameSegments(segments=[pb.VideoSegment(segment=segment)])
    with pytest.raises(ServerError, match="frame 0 holds a broken mask"):
        read_video_event(pb.SegmentVideoResponse(frame=frame))


def test_logits_are_no_video_prompt() -> None:
    with pytest.raises(TypeError, match="logits"):
        make_prompt([], None, LowResLogits(1, 1, b"\0\0"))  # type: ignore[arg-type]
