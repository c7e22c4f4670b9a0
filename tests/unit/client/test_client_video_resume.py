"""Sessions that go on by themselves: each answer once and in order, wherever the call was lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from stream_proxy import StreamProxy
from video_faces import Loop

from diptych import (
    MaskEncoding,
    OutputOptions,
    RequestCancelledError,
    SessionLostError,
    VideoFrameResult,
)
from diptych._video import resume
from diptych.testing import FakeSegmentService

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
BOX, OTHER = (10, 5, 30, 25), (0, 0, 8, 8)
Seen = list[tuple[Any, ...]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "WAITS_S", (0.001,) * 10)


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeSegmentService]:
    with FakeSegmentService(("one",)) as fake:
        yield fake


@pytest.fixture(scope="module")
def proxy(shared: FakeSegmentService) -> Iterator[StreamProxy]:
    loop = Loop()
    made = StreamProxy(int(shared.address.rpartition(":")[2]))
    loop.run(made.__aenter__())
    yield made
    loop.run(made.__aexit__())
    loop.stop()


def told(event: Any) -> tuple[Any, ...]:
    if not isinstance(event, VideoFrameResult):
        return (event.error.reason, event.frame_index, event.object_id)
    # This server has them in the order in which they were prompted.
    objects = sorted(((o.object_id, o.segment.mask) for o in event.objects), key=lambda o: o[0])
    return (event.frame_index, event.revision, objects)


def story(session: Any) -> Seen:
    """Everything that a session can be asked, with much of it unanswered at a time."""
    seen: Seen = []

    def take(count: int) -> None:
        seen.extend(told(next(session)) for _ in range(count))

    session.send(PIXELS)
    session.prompt(1, box=BOX)
    take(2)
    for _ in range(3):
        session.send(PIXELS)
        take(1)
    session.send(PIXELS)
    session.send(PIXELS)
    session.prompt(2, box=OTHER, frame_index=3)  # answered for frames 3, 4 and 5
    session.prompt(3, box=OTHER, frame_index=0)  # not held: refused
    session.send(PIXELS)
    take(7)
    session.prompt(1, points=[(40, 20)], frame_index=5)
    session.send(PIXELS)
    session.remove(2)
    session.send(PIXELS)
    take(4)
    for _ in range(5):
        session.send(PIXELS)
        take(1)
    session.send(PIXELS)
    session.send(PIXELS)
    seen.extend(told(event) for event in session.finish())
    return seen


@pytest.fixture(scope="module")
def undisturbed(shared: FakeSegmentService) -> Seen:
    from diptych import Client

    with Client(shared.address) as client, client.video(model="one") as session:
        seen = story(session)
    assert [(frame, revision) for frame, revision, _ in seen if revision in (1, 2)] == [
        *((0, 1), (3, 1), (4, 1), (5, 1), (5, 2), (6, 1)),
    ]
    assert len(seen) == 23
    return seen


def test_whatever_answer_is_lost_the_caller_sees_each_once(
    opener: Callable[..., Any], proxy: StreamProxy, undisturbed: Seen
) -> None:
    video = opener(f"127.0.0.1:{proxy.port}")
    proxy.begin(0)
    with video(model="one") as session:
        assert story(session) == undisturbed
    answers = proxy.answers
    for number in range(2, answers + 1):
        proxy.begin(number)
        with video(model="one") as session:
            assert story(session) == undisturbed, number
            assert session.resume_count == proxy.resets == 1, number


@pytest.mark.parametrize("code", [0, 1, 2, 7, 8, 11])
def test_whatever_a_proxy_resets_a_stream_with_is_a_loss(
    opener: Callable[..., Any], proxy: StreamProxy, undisturbed: Seen, code: int
) -> None:
    video = opener(f"127.0.0.1:{proxy.port}")
    proxy.begin(12, code=code)
    with video(model="one") as session:
        assert story(session) == undisturbed
    proxy.begin(3, code=code)
    with video(model="one", auto_resume=False) as session:
        session.send(PIXELS)
        session.send(PIXELS)
        with pytest.raises(SessionLostError) as caught:
            next(session), next(session)
    assert [index for index, _ in caught.value.checkpoint.frames] == [0, 1]


def test_a_session_that_is_lost_again_and_again_goes_on(
    opener: Callable[..., Any], proxy: StreamProxy, undisturbed: Seen
) -> None:
    video = opener(f"127.0.0.1:{proxy.port}")
    proxy.begin(4, every=11)
    with video(model="one") as session:
        assert story(session) == undisturbed
        assert session.resume_count == proxy.resets > 3


def test_a_message_that_costs_engines_is_sent_to_two_at_most(
    opener: Callable[..., Any], service: FakeSegmentService
) -> None:
    service.fail("SESSION_LOST", "the engine was lost", frame_index=2)
    with opener(service.address)(model="one") as session:
        for _ in range(3):
            session.send(PIXELS)
        assert [next(session).frame_index for _ in range(2)] == [0, 1]
        with pytest.raises(SessionLostError, match="engine was lost") as caught:
            next(session)
        with pytest.raises(SessionLostError):
            session.send(PIXELS)
    assert [index for index, _ in caught.value.checkpoint.frames] == [0, 1, 2]
    starts = [m for m in service.video_requests if m.WhichOneof("event") == "start"]
    assert len(starts) == 2


def test_a_session_is_not_opened_again_for_ever(
    opener: Callable[..., Any], service: FakeSegmentService, caplog: pytest.LogCaptureFixture
) -> None:
    with opener(service.address)(model="one") as session:
        session.send(PIXELS)
        session.prompt(1, box=BOX)
        next(session), next(session)
        before = len(service.video_requests)
        service.fail("DRAINING")
        session.send(PIXELS)
        with pytest.raises(SessionLostError, match="could not go on") as caught:
            next(session)
    assert len(service.video_requests) == before + 11
    assert [(p.object_id, p.frame_index) for p in caught.value.checkpoint.prompts] == [(1, 0)]
    assert [r.levelno for r in caplog.records if r.name == "diptych.video"] == [logging.WARNING]
    service.recover()
    with opener(service.address)(model="one", resume=caught.value) as session:
        assert list(session.finish())[-1].frame_index == 1


def test_an_object_that_cannot_be_told_ends_the_session(
    opener: Callable[..., Any], service: FakeSegmentService
) -> None:
    output = OutputOptions(mask_encoding=MaskEncoding.NONE)
    with opener(service.address)(model="one", output=output) as session:
        session.send(PIXELS)
        session.prompt(5, box=BOX)
        for _ in range(5):
            session.send(PIXELS)
            next(session)
        next(session), next(session)
        service.fail("SESSION_LOST", times=1)
        session.send(PIXELS)
        with pytest.raises(SessionLostError) as caught:
            next(session)
    assert caught.value.checkpoint.lost_objects == (5,)


def test_an_object_that_the_next_server_refuses_ends_the_session(
    opener: Callable[..., Any], service: FakeSegmentService
) -> None:
    with opener(service.address)(model="one") as session:
        session.send(PIXELS)
        session.prompt(5, box=BOX)
        session.prompt(6, box=BOX)
        next(session), next(session), next(session)
        service.video_started.max_objects = 1
        service.fail("SESSION_LOST", times=1)
        session.send(PIXELS)
        with pytest.raises(SessionLostError, match="object 6 could not be restored") as caught:
            next(session)
    assert caught.value.checkpoint.lost_objects == (6,)
    assert [p.object_id for p in caught.value.checkpoint.prompts] == [5]


def test_a_client_that_was_silent_for_too_long_is_told(
    opener: Callable[..., Any], service: FakeSegmentService
) -> None:
    with opener(service.address)(model="one") as session:
        service.fail("SESSION_EXPIRED", "idle", times=1)
        session.send(PIXELS)
        with pytest.raises(SessionLostError, match="idle"):
            next(session)


def test_a_session_that_has_a_deadline_keeps_it(
    opener: Callable[..., Any], service: FakeSegmentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "WAITS_S", (600.0,))
    with opener(service.address)(model="one", timeout=60) as session:
        service.fail("SESSION_LOST", times=1)
        session.send(PIXELS)
        with pytest.raises(SessionLostError):
            next(session)


def test_leaving_ends_the_wait_for_another_call(
    opener: Callable[..., Any], service: FakeSegmentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "WAITS_S", (30.0,))
    with ThreadPoolExecutor(1) as pool, opener(service.address)(model="one") as session:
        service.fail("SESSION_LOST", times=1)
        session.send(PIXELS)
        reading = pool.submit(lambda: next(session))
        while service.video_session_count:
            time.sleep(0.01)
        session.close()
        with pytest.raises((RequestCancelledError, SessionLostError)):
            reading.result()
