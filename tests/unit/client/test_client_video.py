"""Video sessions of both clients against a fake service: the same tests for both."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diptych import (
    AsyncClient,
    Box,
    ChannelOptions,
    DeadlineExceededError,
    InvalidRequestError,
    MaskEncoding,
    MessageTooLargeError,
    ModelNotFoundError,
    OutputOptions,
    OverloadedError,
    Prompt,
    SessionLostError,
    UnavailableError,
    VideoFrame,
    VideoFrameResult,
    VideoRefusal,
)
from diptych._transport import calls
from diptych.testing import FakeSegmentService

SIZE = (40, 60)
PIXELS = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
BOX = (10, 5, 30, 25)
WAIT_S = 30


@pytest.fixture
def video(opener: Any, service: FakeSegmentService) -> Callable[..., Any]:
    made = opener(service.address)
    return lambda **options: made(**{"model": "one", **options})


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def until(happened: Callable[[], bool]) -> None:
    """Wait for something that has to happen; the test's own time limit says when it has not."""
    while not happened():
        time.sleep(0.01)


def frames_of(events: Any) -> list[tuple[int, int]]:
    return [(event.frame_index, event.revision) for event in events]


def sent_frames(service: FakeSegmentService) -> list[bytes]:
    return [r.frame.encoded for r in service.video_requests if r.WhichOneof("event") == "frame"]


def test_results_are_typed(video: Any) -> None:
    with video() as session:
        assert session.send(PIXELS) == 0
        assert session.prompt(7, box=BOX) == 0
        first, second = next(session), next(session)
    assert isinstance(first, VideoFrameResult)
    assert (first.frame_index, first.revision, first.objects) == (0, 0, ())
    assert (second.frame_index, second.revision, second.image_size) == (0, 1, SIZE)
    (found,) = second.objects
    assert found.object_id == 7
    assert found.segment.box == Box(*BOX)
    assert found.segment.mask is not None
    assert found.segment.mask.area == 400
    assert found.presence == pytest.approx(0.9)
    assert second.timings.total_s == pytest.approx(0.005)
    assert second.raw is not None


def test_limits_are_told(video: Any, service: FakeSegmentService) -> None:
    with video() as session:
        limits = session.limits
    assert (limits.max_objects, limits.held_frames, limits.max_frames_in_flight) == (8, 4, 3)
    assert limits.max_sessions == 8
    assert limits.idle_timeout_s == 60
    assert session.going_away_s is None


def test_start_says_what_is_wanted(video: Any, service: FakeSegmentService) -> None:
    output = OutputOptions(mask_encoding=MaskEncoding.PNG)
    with video(model="two", output=output, track_all=True) as session:
        session.send(PIXELS)
        result = next(session)
    start = service.video_requests[0].start
    assert (start.model_id, start.track_all) == ("two", True)
    assert [found.object_id for found in result.objects] == [2**30]
    assert result.raw.segments[0].segment.mask.WhichOneof("encoding") == "png"


def test_pixels_travel_as_jpeg_and_files_as_they_are(
    video: Any, service: FakeSegmentService, small_png: bytes, tmp_path: Any
) -> None:
    path = tmp_path / "frame.png"
    path.write_bytes(small_png)
    smooth = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, :, None] * 4, (40, 60, 3))
    image = Image.fromarray(np.ascontiguousarray(smooth))
    clear = image.convert("RGBA")
    with video() as session:
        seen = list(session.track([smooth, image, small_png, path, str(path), clear]))
    assert frames_of(seen) == [(index, 0) for index in range(6)]
    sent = sent_frames(service)
    kinds = [Image.open(io.BytesIO(data)).format for data in sent]
    assert kinds == ["JPEG", "JPEG", "PNG", "PNG", "PNG", "PNG"]
    assert sent[2:5] == [small_png] * 3
    decoded = np.asarray(Image.open(io.BytesIO(sent[0]))).astype(int)
    assert np.abs(decoded - smooth).max() <= 6


def test_frames_can_be_sent_exactly(video: Any, service: FakeSegmentService) -> None:
    with video(jpeg_quality=None) as session:
        session.send(PIXELS)
        next(session)
    (sent,) = sent_frames(service)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(sent))), PIXELS)


def test_corrections_answer_later_frames_again(video: Any) -> None:
    with video() as session:
        for index in (10, 20, 30):
            assert session.send(PIXELS, index) == index
        assert frames_of(next(session) for _ in range(3)) == [(10, 0), (20, 0), (30, 0)]
        session.prompt(1, points=[(5, 5), (9, 9, False)], frame_index=20)
        assert frames_of(next(session) for _ in range(2)) == [(20, 1), (30, 1)]
        assert session.send(PIXELS) == 31
        assert frames_of(session.finish()) == [(31, 0)]


def test_prompting_inside_the_iteration(video: Any) -> None:
    seen = []
    with video() as session:
        for event in session.track([PIXELS] * 10):
            seen.append((event.frame_index, len(event.objects)))
            if event.frame_index == 4 and event.revision == 0:
                session.prompt(1, box=BOX, frame_index=4)
    assert sorted({index for index, _ in seen}) == list(range(10))
    assert seen[:5] == [(index, 0) for index in range(5)]
    assert seen[-1] == (9, 1)


def test_objects_are_removed_and_added(video: Any, service: FakeSegmentService) -> None:
    with video() as session:
        session.send(PIXELS)
        session.prompt(1, box=BOX)
        session.prompt(2, mask=np.pad(np.ones((4, 4), bool), ((0, 36), (0, 56))))
        session.remove(1)
        session.send(PIXELS)
        last = list(session.finish())[-1]
    assert [(o.object_id, o.segment.box) for o in last.objects] == [(2, Box(0, 0, 4, 4))]


def test_refusals_are_values_and_the_session_goes_on(video: Any) -> None:
    with video() as session:
        session.send(PIXELS)
        session.remove(9)
        session.prompt(3, box=BOX, frame_index=77)
        session.prompt(4)
        session.send(b"no picture")
        session.send(PIXELS)
        events = list(session.finish())
    refusals = [event for event in events if isinstance(event, VideoRefusal)]
    assert [(r.error.reason, r.frame_index, r.object_id) for r in refusals] == [
        ("OBJECT_UNKNOWN", None, 9),
        ("FRAME_NOT_HELD", 77, 3),
        ("PROMPT_INVALID", 0, 4),
        ("IMAGE_UNREADABLE", 1, None),
    ]
    assert all(isinstance(refusal.error, InvalidRequestError) for refusal in refusals)
    assert frames_of(e for e in events if isinstance(e, VideoFrameResult)) == [(0, 0), (2, 0)]


def test_refusals_can_be_raised(video: Any) -> None:
    with video(raise_refusals=True) as session:
        session.send(b"no picture")
        with pytest.raises(InvalidRequestError, match="expected JPEG"):
            next(session)
        session.send(PIXELS)
        assert next(session).frame_index == 1


def test_sending_waits_for_results_to_be_taken(video: Any, pool: ThreadPoolExecutor) -> None:
    sent: list[int] = []

    def send_all() -> None:
        for _ in range(6):
            sent.append(session.send(PIXELS))

    with video() as session:
        sending = pool.submit(send_all)
        until(lambda: len(sent) == 3)
        time.sleep(0.2)
        assert (len(sent), sending.done()) == (3, False)
        assert next(session).frame_index == 0
        until(lambda: len(sent) == 4)
        assert session.prompt(1, box=BOX) == 3  # prompts are not held back
        time.sleep(0.2)
        assert len(sent) == 4
        while not sending.done() or len(sent) < 6:
            next(session)
        sending.result()


def test_a_sender_that_waits_learns_of_the_end(
    video: Any, service: FakeSegmentService, pool: ThreadPoolExecutor
) -> None:
    with video() as session:
        service.delay_s = 0.5
        service.fail("SESSION_EXPIRED", "idle")
        for _ in range(3):
            session.send(PIXELS)
        sending: Future[int] = pool.submit(session.send, PIXELS)
        with pytest.raises(SessionLostError, match="idle") as caught:
            sending.result(WAIT_S)
    assert caught.value.checkpoint is not None
    assert [index for index, _ in caught.value.checkpoint.frames] == [0, 1, 2]


def test_track_takes_one_thread(video: Any, service: FakeSegmentService) -> None:
    taken = []

    def frames() -> Iterator[Any]:
        for index in range(20):
            taken.append(index)
            yield PIXELS

    with video() as session:
        for event in session.track(frames()):
            assert event.frame_index >= len(taken) - 4
        assert len(taken) == 20
        with pytest.raises(RuntimeError, match="finished"):
            session.send(PIXELS)


def test_finish_ends_the_iteration(video: Any, service: FakeSegmentService) -> None:
    with video() as session:
        assert list(session.finish()) == []
        assert list(session) == []
        with pytest.raises(RuntimeError, match="finished"):
            session.remove(1)
    until(lambda: service.video_session_count == 0)


def test_leaving_the_block_ends_the_session(video: Any, service: FakeSegmentService) -> None:
    with video() as session:
        session.send(PIXELS)
        assert service.video_session_count == 1
    until(lambda: service.video_session_count == 0)
    with pytest.raises(RuntimeError, match="closed"):
        session.send(PIXELS)


def test_a_lost_session_goes_on(video: Any, service: FakeSegmentService) -> None:
    with video(track_all=True, auto_resume=False) as session:
        for _ in range(6):
            session.send(PIXELS)
            next(session)
        session.prompt(1, box=BOX, frame_index=4)
        assert frames_of(next(session) for _ in range(2)) == [(4, 1), (5, 1)]
        service.fail("SESSION_LOST", "gone", times=1)
        session.prompt(2, points=[(30, 20)])
        with pytest.raises(SessionLostError, match="gone") as caught:
            next(session)
        with pytest.raises(SessionLostError, match="gone"):
            session.send(PIXELS)
    held = caught.value.checkpoint
    assert held is not None
    assert [index for index, _ in held.frames] == [2, 3, 4, 5]
    assert [(p.object_id, p.frame_index) for p in held.prompts] == [(1, 4), (2, 5)]
    before = len(service.video_requests)
    with video(resume=caught.value) as session:
        assert session.send(PIXELS) == 6
        events = list(session.finish())
    assert service.video_requests[before].start.track_all
    firsts = [index for index, revision in frames_of(events) if revision == 0]
    assert firsts == [2, 3, 4, 5, 6]
    assert [found.object_id for found in events[-1].objects] == [1, 2, 2**30]
    assert events[-1].objects[0].segment.box == Box(*BOX)


def test_objects_prompted_long_ago_go_on_from_where_they_were_seen(
    video: Any, service: FakeSegmentService
) -> None:
    with video(auto_resume=False) as session:
        session.send(PIXELS)
        session.prompt(1, box=BOX)
        session.prompt(2, box=(0, 0, 8, 8))
        assert [next(session).frame_index for _ in range(3)] == [0, 0, 0]
        session.remove(2)
        for _ in range(9):
            session.send(PIXELS)
            next(session)
        service.fail("SESSION_LOST", times=1)
        session.send(PIXELS)
        with pytest.raises(SessionLostError) as caught:
            next(session)
    (prompt,) = caught.value.checkpoint.prompts
    assert (prompt.object_id, prompt.frame_index) == (1, 6)
    assert prompt.prompt == Prompt(box=Box(*BOX))  # the fake model names classes
    with video(resume=caught.value) as session:
        last = list(session.finish())[-1]
    assert last.frame_index == 10
    assert [(o.object_id, o.segment.box) for o in last.objects] == [(1, Box(*BOX))]


def test_objects_without_a_mask_are_named_as_lost(video: Any, service: FakeSegmentService) -> None:
    with video(auto_resume=False, output=OutputOptions(mask_encoding=MaskEncoding.NONE)) as session:
        session.send(PIXELS)
        session.prompt(5, box=BOX)
        assert [next(session).frame_index for _ in range(2)] == [0, 0]
        for _ in range(5):
            session.send(PIXELS)
            next(session)
        service.fail("SESSION_LOST", times=1)
        session.remove(1)
        with pytest.raises(SessionLostError) as caught:
            next(session)
    assert caught.value.checkpoint.lost_objects == (5,)
    assert caught.value.checkpoint.prompts == ()


def test_a_loss_while_resuming_can_be_resumed(video: Any, service: FakeSegmentService) -> None:
    with video(auto_resume=False) as session:
        for _ in range(3):
            session.send(PIXELS)
            next(session)
        session.prompt(1, box=BOX)
        next(session)
        service.fail("SESSION_LOST", times=1)
        session.send(PIXELS)
        with pytest.raises(SessionLostError) as first:
            next(session)
    service.fail("SESSION_LOST")
    with pytest.raises(SessionLostError), video(resume=first.value):
        pass
    service.recover()
    with video(resume=first.value) as session:
        last = list(session.finish())[-1]
    assert (last.frame_index, len(last.objects)) == (3, 1)


def test_a_server_that_goes_away_loses_the_session(opener: Any) -> None:
    with FakeSegmentService() as service, opener(service.address)(auto_resume=False) as session:
        session.send(PIXELS)
        next(session)
        service.stop()
        with pytest.raises(SessionLostError) as caught:
            next(session)
    assert [index for index, _ in caught.value.checkpoint.frames] == [0]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_RETRY_WAITS_S", (0.01, 0.01, 0.01, 0.01))


def test_a_session_that_a_stopping_server_refuses_is_opened_again(
    video: Any, service: FakeSegmentService, quick: None
) -> None:
    service.fail("DRAINING", times=4)
    with video() as session:
        session.send(PIXELS)
        session.prompt(1, box=BOX)
        events = list(session.finish())
    assert frames_of(events) == [(0, 0), (0, 1)]
    assert [m.WhichOneof("event") for m in service.video_requests[-3:]] == [
        "start",
        "frame",
        "prompt",
    ]


def test_a_session_is_not_opened_again_for_ever(
    video: Any, service: FakeSegmentService, quick: None
) -> None:
    service.fail("DRAINING")
    with pytest.raises(UnavailableError) as caught, video():
        pass
    assert caught.value.reason == "DRAINING"
    assert len(service.video_requests) == 5


def test_sessions_that_cannot_be_opened(video: Any, opener: Any, service: Any) -> None:
    with pytest.raises(ModelNotFoundError), video(model="three"):
        pass
    service.fail("SESSION_LIMIT", retry_after_s=1.0)
    with pytest.raises(OverloadedError) as caught, video():
        pass
    assert caught.value.retry_after_s == 1.0
    service.fail("SESSION_LOST")
    with pytest.raises(SessionLostError) as lost, video():
        pass
    assert lost.value.checkpoint is None
    with pytest.raises(ValueError, match="resume"):
        video(resume=lost.value)
    with pytest.raises(UnavailableError), opener("127.0.0.1:1")():
        pass


def test_opening_has_the_clients_timeout_and_the_session_has_none(
    opener: Any, service: FakeSegmentService
) -> None:
    video = opener(service.address, timeout=0.5)
    with video(model="one") as session:
        time.sleep(0.8)
        session.send(PIXELS)
        assert next(session).frame_index == 0
    with video(model="one", timeout=0.5) as session, pytest.raises(DeadlineExceededError):
        next(session)
    service.delay_s = 5.0
    with pytest.raises(DeadlineExceededError, match=r"0\.5 s"), video(model="one"):
        pass


def test_a_frame_that_is_too_large_is_not_sent(opener: Any, service: FakeSegmentService) -> None:
    video = opener(service.address, options=ChannelOptions(max_request_bytes=20_000))
    with video(model="one") as session:
        with pytest.raises(MessageTooLargeError):
            session.send(bytes(30_000))
        assert session.send(PIXELS) == 0
        assert next(session).frame_index == 0


def test_arguments_are_checked(video: Any) -> None:
    with pytest.raises(ValueError, match="jpeg_quality"):
        video(jpeg_quality=0)
    with pytest.raises(ValueError, match="timeout"):
        video(timeout=-1)
    unopened = video()
    with pytest.raises(RuntimeError, match="not open"):
        unopened.send(PIXELS)
    with pytest.raises(RuntimeError, match="not open"):
        next(unopened)
    with video() as session:
        with pytest.raises(ValueError, match="send a frame first"):
            session.prompt(1, box=BOX)
        with pytest.raises(ValueError, match="expected an array"):
            session.send(PIXELS[0, 0])
        session.send(PIXELS, 5)
        with pytest.raises(ValueError, match="more than 5"):
            session.send(PIXELS, 5)
        with pytest.raises(ValueError, match="box"):
            session.prompt(1, box=(1, 2))
        assert frames_of(session.finish()) == [(5, 0)]


async def test_a_read_that_is_given_up_does_not_end_the_session(
    service: FakeSegmentService,
) -> None:
    async with AsyncClient(service.address) as client, client.video(model="one") as session:
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(session), 0.05)
        await session.send(PIXELS)
        assert (await anext(session)).frame_index == 0


async def test_closing_wakes_a_reader(service: FakeSegmentService) -> None:
    async with AsyncClient(service.address) as client:
        async with client.video(model="one") as session:
            reading = asyncio.ensure_future(anext(session))
            await asyncio.sleep(0.05)
        with pytest.raises(Exception, match="closed"):
            await reading


def test_a_clip_that_is_played_backwards_keeps_its_indexes(
    video: Any, service: FakeSegmentService
) -> None:
    clip = [VideoFrame(index, 0.0, PIXELS) for index in range(3, 10)]
    seen = []
    with video(auto_resume=False) as session:
        for event in session.track(reversed(clip)):
            seen.append((event.frame_index, event.revision, len(event.objects)))
            if event.frame_index == 8 and not event.revision:
                assert session.prompt(1, box=BOX, frame_index=8) == 8
    assert [index for index, revision, _ in seen if not revision] == [9, 8, 7, 6, 5, 4, 3]
    assert (8, 1, 1) in seen
    assert seen[-1] == (3, 0, 1)
    with video(auto_resume=False) as session:
        session.send(PIXELS, 0)
        session.send(PIXELS, 4)
        with pytest.raises(ValueError, match="more than 4, got 2"):
            session.send(PIXELS, 2)
        with pytest.raises(ValueError, match="0 or more"), video() as other:
            other.send(PIXELS, -1)


def test_a_session_that_runs_backwards_can_be_resumed(
    video: Any, service: FakeSegmentService
) -> None:
    with video(auto_resume=False) as session:
        for index in (20, 15, 14, 9, 8, 7):
            session.send(PIXELS, index)
            next(session)
        session.prompt(1, box=BOX, frame_index=9)
        assert [next(session).frame_index for _ in range(3)] == [9, 8, 7]
        session.prompt(2, box=BOX, frame_index=20)
        assert next(session).frame_index == 20  # refused: not held any more
        service.fail("SESSION_LOST", times=1)
        assert session.send(PIXELS) == 6
        with pytest.raises(SessionLostError) as caught:
            next(session)
    checkpoint = caught.value.checkpoint
    assert [index for index, _ in checkpoint.frames] == [14, 9, 8, 7, 6]
    assert [(p.object_id, p.frame_index) for p in checkpoint.prompts] == [(1, 9)]
    with video(resume=caught.value) as session:
        assert session.send(PIXELS) == 5
        last = list(session.finish())[-1]
    assert (last.frame_index, len(last.objects)) == (5, 1)
