"""Whose step is next when video sessions and images share a model. Order is asserted, not time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from diptych.segment import v1 as pb
from diptych_runtime.engine import Answer, DeviceLostError, Steps
from diptych_runtime.ipc.lanes import Lane
from diptych_runtime.worker.scheduler import Scheduler
from diptych_runtime.worker.work import Work


class Model:
    """Notes whose step it runs, and stops after so many."""

    def __init__(self, steps: int) -> None:
        self.noted: list[str] = []
        self._left = steps
        self.scheduler = Scheduler(on_done=lambda work, result: None, on_step=lambda: None)

    def note(self, name: str) -> None:
        if not self._left:
            raise DeviceLostError
        self._left -= 1
        self.noted.append(name)

    def image(self, name: str) -> Work:
        return Work(0, name, "", 0.0, 1e12, pb.SegmentRequest())

    def answer(self, work: Work) -> Steps[Answer]:
        for _ in range({"prompt": 1, "new": 2}.get(work.request_id, 1000)):
            self.note(work.request_id)
            yield
        return Answer(())

    def run(self) -> str:
        context: Any = self
        with pytest.raises(DeviceLostError):
            self.scheduler.run(context)
        return " ".join(self.noted)


class Session:
    """Has so many steps to run."""

    def __init__(self, model: Model, name: str, steps: int = 1000) -> None:
        self._model, self._name, self._steps = model, name, steps
        self.then: Callable[[], None] = lambda: None

    def step(self) -> bool:
        if not self._steps:
            return False
        self._model.note(self._name)
        self._steps -= 1
        self.then()
        return self._steps > 0


def test_sessions_take_a_step_each() -> None:
    model = Model(8)
    for name, steps in (("a", 1000), ("b", 2), ("c", 1000)):
        model.scheduler.add_session(Session(model, name, steps))
    assert model.run() == "a b c a b c a c"


def test_sessions_and_images_alternate() -> None:
    model = Model(9)
    for name in "ab":
        model.scheduler.add_session(Session(model, name))
    model.scheduler.add(Lane.BULK, model.image("image"))
    assert model.run() == "image a image b image a image b image"


def test_sessions_and_both_kinds_of_requests_alternate() -> None:
    model = Model(9)
    for name in "ab":
        model.scheduler.add_session(Session(model, name))
    model.scheduler.add(Lane.BULK, model.image("image"))
    model.scheduler.add(Lane.NEW, model.image("new"))
    assert model.run() == "new new image a image b image a image"


def test_prompts_go_first_and_starve_no_lane() -> None:
    model = Model(8)
    model.scheduler.add_session(Session(model, "a"))
    model.scheduler.add(Lane.BULK, model.image("image"))
    for _ in range(4):
        model.scheduler.add(Lane.HELD, model.image("prompt"))
    assert model.run() == "prompt image prompt a prompt image prompt a"


def test_a_session_that_is_told_during_its_step_comes_back() -> None:
    model = Model(6)
    session = Session(model, "a", 1)

    def more() -> None:
        session._steps += 1
        model.scheduler.add_session(session)

    def once() -> None:
        session.then = lambda: None
        # Its step says that there is nothing left, but something came while it ran.
        other = threading.Thread(target=more)
        other.start()
        other.join()

    session.then = once
    model.scheduler.add_session(session)
    model.scheduler.add_session(Session(model, "b", 1))
    model.scheduler.add_session(session)  # twice in the queue is once
    last = Session(model, "last")
    model.scheduler.add_session(last)
    assert model.run() == "a b last a last last"
