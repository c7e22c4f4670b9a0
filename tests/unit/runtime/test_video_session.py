"""One session inside the engine process, its three threads played by the test."""

from __future__ import annotations

import gc
import os
import weakref

import pytest
from fake_engine import GATED, RAISE
from fake_video import FakeSession, FakeVideoEngine
from serving_helpers import picture, png

from diptych import OutputOptions
from diptych.segment import v1 as pb
from diptych_runtime.engine import VideoOptions
from diptych_runtime.worker.images import decode
from diptych_runtime.worker.live_session import Event, FrameReply, LiveSession, Result

LIMITS = {"max_pixels": 10**6, "min_side": 16, "max_aspect_ratio": 20}


class Engine(FakeVideoEngine):
    """Lets the test see the engine's side of the session."""

    sessions: list[weakref.ref[FakeSession]]

    def open_session(self, options: VideoOptions) -> FakeSession:
        session = super().open_session(options)
        self.sessions.append(weakref.ref(session))
        return session


class Stage:
    """A session whose answers are noted by kind."""

    def __init__(self, *, track_all: bool = False) -> None:
        self.engine = Engine()
        self.engine.sessions = []
        self.results: list[str] = []
        self.wanted = 0
        self.ended: list[str] = []
        self.session = LiveSession(
            1,
            "request",
            VideoOptions(OutputOptions(), track_all, max_objects=2, held_frames=2),
            engine=self.engine,
            decode=lambda encoded, check, note: decode(encoded, **LIMITS, note=note),
            on_answered=self.answered,
            on_waiting=self.count,
            on_ended=lambda session, error: self.ended.append(type(error).__name__),
        )

    def answered(self, session: LiveSession, event: Event, result: Result) -> None:
        frames = [] if isinstance(result, Exception) else result
        indices = [r.answer.frame_index for r in frames if isinstance(r, FrameReply)]
        self.results.append(f"{type(result).__name__} {indices}")

    def count(self, session: LiveSession) -> None:
        self.wanted += 1

    def put(self, **event: object) -> None:
        self.session.put(Event(0.0, pb.SegmentVideoRequest(**event)))  # type: ignore[arg-type]

    def frame(self, index: int, corner: tuple[int, int, int] = (0, 0, 0)) -> None:
        encoded = png(picture(corner))
        self.put(frame=pb.VideoFrame(frame_index=index, encoded=encoded))

    def work(self) -> None:
        """Prepare what is wanted and work until there is no more."""
        while self.wanted:
            self.wanted -= 1
            self.session.prepare()
            while self.session.step():
                pass


def test_one_message_is_prepared_while_one_is_worked_on() -> None:
    stage = Stage()
    stage.put(start=pb.VideoStart())
    for index in range(3):
        stage.frame(index)
    assert stage.wanted == 1
    stage.session.prepare()
    stage.session.step()
    assert stage.wanted == 2  # the next one, as soon as this one was taken
    stage.wanted = 1
    stage.work()
    assert stage.results == ["list []", "list [0]", "list [1]", "list [2]"]
    assert not stage.session.step()  # called too often it does nothing


def test_a_drop_closes_between_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("FAKE_GATE", os.fspath(tmp_path_factory.mktemp("gate") / "never"))
    stage = Stage()
    stage.put(start=pb.VideoStart())
    stage.work()
    stage.frame(0, GATED)
    stage.frame(1)
    stage.session.prepare()
    assert stage.session.step()
    stage.session.dropped.set()
    assert not stage.session.step()
    stage.session.prepare()  # of the frame that was wanted when it was dropped
    assert not stage.session.step()
    assert stage.ended == ["NoneType"]
    assert stage.results == ["list []"]
    assert stage.session.nbytes == 0
    assert stage.engine.sessions[0]() is None


def test_a_session_that_cannot_be_opened_ends() -> None:
    stage = Stage(track_all=True)
    stage.put(start=pb.VideoStart(track_all=True))
    stage.work()
    assert stage.ended == ["ServiceError"]
    assert not stage.results


def test_failures_keep_no_memory() -> None:
    gc.disable()
    try:
        stage = Stage()
        stage.put(start=pb.VideoStart())
        stage.frame(0)
        stage.frame(1, RAISE)
        stage.put(frame=pb.VideoFrame(frame_index=2, encoded=b"broken"))
        stage.session.put(Event(0.0, pb.SegmentVideoRequest(), closes=True))
        stage.work()
        assert stage.results == ["list []", "list [0]", "RuntimeError []", "ServiceError []"]
        assert stage.ended == ["NoneType"]
        kept = weakref.ref(stage.session)
        del stage.session
        assert kept() is None
        assert stage.engine.sessions[0]() is None
    finally:
        gc.enable()
