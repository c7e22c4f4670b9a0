"""Whose step the model runs next."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from diptych.segment import v1 as pb
from diptych_runtime.engine import Answer, DeviceLostError, Reason, ServiceError, Steps
from diptych_runtime.ipc.lanes import Lane
from diptych_runtime.worker.scheduler import Scheduler
from diptych_runtime.worker.work import CancelledWorkError, Work

Action = Callable[[], object] | None


class Script:
    """Stands for a context: each work runs its own list of steps, which are noted."""

    def __init__(self) -> None:
        self.steps: dict[str, list[Action]] = {}
        self.noted: list[str] = []
        self.results: dict[str, Answer | Exception] = {}
        self.pulses = 0
        self.finished: Callable[[], object] = lambda: None
        self.scheduler = Scheduler(on_done=self.done, on_step=self.pulse)

    def work(self, name: str, steps: list[Action], deadline: float = 1e12) -> Work:
        self.steps[name] = steps
        return Work(0, name, "", 0.0, deadline, pb.SegmentRequest())

    def answer(self, work: Work) -> Steps[Answer]:
        name = work.request_id
        for action in self.steps[name]:
            self.noted.append(name)
            if action:
                action()
            yield
        return Answer(())

    def done(self, work: Work, result: Answer | Exception) -> None:
        self.results[work.request_id] = result
        self.finished()

    def pulse(self) -> None:
        self.pulses += 1

    def run(self) -> list[str]:
        """Run until a step says that the device is lost."""
        context: Any = self
        with pytest.raises(DeviceLostError):
            self.scheduler.run(context)
        return self.noted


def stop() -> None:
    raise DeviceLostError


def refuse() -> None:
    raise ServiceError(Reason.DEVICE_MEMORY, "no")


@pytest.fixture
def script() -> Script:
    return Script()


def test_held_pictures_go_between_steps_and_starves_nobody(script: Script) -> None:
    script.scheduler.add(Lane.BULK, script.work("bulk", [None, None, None, stop]))
    for name in ("a", "b"):
        script.scheduler.add(Lane.HELD, script.work(name, [None, None]))
    assert script.run() == ["a", "a", "bulk", "b", "b", "bulk", "bulk", "bulk"]
    assert set(script.results) == {"a", "b"}


def test_a_held_picture_overtakes_what_runs(script: Script) -> None:
    def interrupt() -> None:
        script.scheduler.add(Lane.HELD, script.work("prompt", [None]))

    script.scheduler.add(Lane.BULK, script.work("bulk", [None, interrupt, None, stop]))
    assert script.run() == ["bulk", "bulk", "prompt", "bulk", "bulk"]


def test_a_prompt_on_a_new_picture_waits_for_a_step_and_not_for_a_request(script: Script) -> None:
    def interrupt() -> None:
        script.scheduler.add(Lane.NEW, script.work("new", [None, None]))

    script.scheduler.add(Lane.BULK, script.work("bulk", [None, interrupt, None, None, None, stop]))
    assert script.run() == ["bulk", "bulk", "new", "new", "bulk", "bulk", "bulk", "bulk"]
    assert script.results["new"] == Answer(())


def test_the_next_request_starts_when_the_one_before_is_done(script: Script) -> None:
    def add_next() -> None:
        script.scheduler.add(Lane.BULK, script.work("second", [None, stop]))

    script.scheduler.add(Lane.BULK, script.work("first", [add_next, None]))
    assert script.run() == ["first", "first", "second", "second"]
    assert script.results["first"] == Answer(())


def test_a_failed_request_fails_alone(script: Script) -> None:
    script.scheduler.add(Lane.HELD, script.work("refused", [None, refuse, None]))
    script.scheduler.add(Lane.BULK, script.work("last", [stop]))
    assert script.run() == ["refused", "refused", "last"]
    assert isinstance(script.results["refused"], ServiceError)


def test_cancelled_work_does_not_start(script: Script) -> None:
    cancelled = script.work("cancelled", [None])
    cancelled.cancelled.set()
    script.scheduler.add(Lane.HELD, cancelled)
    script.scheduler.add(Lane.BULK, script.work("last", [stop]))
    assert script.run() == ["last"]
    assert isinstance(script.results["cancelled"], CancelledWorkError)


def test_running_work_stops_after_the_step_in_which_it_is_cancelled(script: Script) -> None:
    work = script.work("cancelled", [None])
    script.steps["cancelled"] = [None, work.cancelled.set, None, None]
    script.scheduler.add(Lane.HELD, work)
    script.scheduler.add(Lane.BULK, script.work("last", [stop]))
    assert script.run() == ["cancelled", "cancelled", "last"]


def test_late_work_does_not_start(script: Script) -> None:
    late = script.work("late", [None], deadline=time.monotonic())
    script.scheduler.add(Lane.HELD, late)
    script.scheduler.add(Lane.BULK, script.work("last", [stop]))
    assert script.run() == ["last"]
    result = script.results["late"]
    assert isinstance(result, ServiceError)
    assert result.reason is Reason.DEADLINE


def test_work_that_would_be_late_does_not_start(script: Script) -> None:
    hopeless = script.work("hopeless", [None], deadline=time.monotonic() + 1e6)
    hopeless.estimate_s = 1e7
    script.scheduler.add(Lane.BULK, hopeless)
    script.scheduler.add(Lane.NEW, script.work("last", [stop]))
    script.scheduler.add(Lane.HELD, script.work("first", [None]))
    assert script.run() == ["first", "last"]
    script.steps["last"] = [stop]
    script.scheduler.add(Lane.NEW, script.work("end", [stop]))
    script.run()
    result = script.results["hopeless"]
    assert isinstance(result, ServiceError)
    assert result.reason is Reason.DEADLINE


def test_work_that_has_begun_may_use_all_of_its_time(script: Script) -> None:
    work = script.work("begun", [None, None], deadline=time.monotonic() + 1e6)
    work.estimate_s = 1e5
    script.scheduler.add(Lane.BULK, work)

    def late() -> None:
        work.deadline = time.monotonic() + 1e4  # less than it was expected to take

    script.steps["begun"] = [late, stop]
    assert script.run() == ["begun", "begun"]


def test_only_a_model_that_has_nothing_to_do_is_offered_work(script: Script) -> None:
    seen = []

    def look() -> None:
        seen.append((script.scheduler.offer(Lane.NEW, work), script.scheduler.has_waiting))

    work = script.work("refused", [None])
    assert script.scheduler.offer(Lane.BULK, script.work("first", [look]))
    assert not script.scheduler.offer(Lane.BULK, work)  # one waits already
    script.finished = lambda: script.scheduler.add(Lane.BULK, script.work("last", [look, stop]))
    assert script.run() == ["first", "last", "last"]
    assert seen == [(False, False)] * 2
    assert set(script.results) == {"first"}


def test_a_session_whose_round_it_is_leaves_the_model_something_to_do(script: Script) -> None:
    offered = []

    class Session:
        def step(self) -> bool:
            offered.append(script.scheduler.offer(Lane.NEW, script.work("refused", [None])))
            script.scheduler.add(Lane.BULK, script.work("last", [stop]))
            return False

    script.scheduler.add_session(Session())
    assert script.scheduler.has_waiting
    assert script.run() == ["last"]
    assert offered == [False]


def test_every_step_is_a_sign_of_life(script: Script) -> None:
    script.scheduler.add(Lane.BULK, script.work("bulk", [None, None, None]))
    script.scheduler.add(Lane.HELD, script.work("prompt", [None]))

    def add_last() -> None:
        script.scheduler.add(Lane.BULK, script.work("last", [stop]))

    script.steps["bulk"][1] = add_last
    script.run()
    assert script.pulses == 3 + 1 + 1 + 1  # steps, and the end of each


def test_nothing_is_kept_of_finished_work(script: Script) -> None:
    work, prompt = script.work("bulk", [None, None]), script.work("prompt", [refuse])
    kept = [weakref.ref(work), weakref.ref(prompt)]
    script.scheduler.add(Lane.BULK, work)
    script.scheduler.add(Lane.HELD, prompt)
    del work, prompt
    finished = threading.Event()
    script.finished = lambda: len(script.results) == 2 and finished.set()
    context: Any = script
    threading.Thread(target=script.scheduler.run, args=(context,), daemon=True).start()
    assert finished.wait(20)
    script.results.clear()
    for _ in range(2000):  # the thread has to come round to waiting for the next request
        if not any(ref() for ref in kept):
            break
        time.sleep(0.005)
    assert not any(ref() for ref in kept)
