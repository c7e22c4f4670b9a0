"""Failures of the device get their names, and leave no memory behind."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Generator
from typing import Any

import pytest
import torch
from steps import finished

from diptych_runtime.engine import DeviceLostError, LoadError, Reason, ServiceError
from diptych_runtime.settings import SettingsError
from diptych_runtime.weights import WeightsError
from diptych_torch.faults import guarded_step, guarded_steps, load_errors

Work = Callable[[], None]


def as_step(work: Work) -> None:
    guarded_step(work)()


def as_first_step(work: Work) -> None:
    @guarded_steps
    def steps() -> Generator[None, None, None]:
        work()
        yield

    finished(steps())


def as_later_step(work: Work) -> None:
    @guarded_steps
    def steps() -> Generator[None, None, None]:
        yield
        work()

    finished(steps())


def as_inner_step(work: Work) -> None:
    def inner() -> Generator[None, None, None]:
        yield
        work()

    @guarded_steps
    def steps() -> Generator[None, None, None]:
        yield from inner()

    finished(steps())


@pytest.fixture(params=[as_step, as_first_step, as_later_step, as_inner_step])
def guarded(request: pytest.FixtureRequest) -> Callable[[Work], None]:
    """Runs work in each place that a guard covers."""
    run: Callable[[Work], None] = request.param
    return run


def failing(error: BaseException) -> Work:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:130] DefaultCPUAllocator: not enough memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:130] can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_memory_that_is_full(guarded: Callable[[Work], None], failure: Exception) -> None:
    with pytest.raises(ServiceError) as caught:
        guarded(failing(failure))
    assert caught.value.reason is Reason.DEVICE_MEMORY
    assert caught.value.retry_after_s == 1.0
    assert "GiB" not in caught.value.message
    # The traceback of what happened would keep the tensors.
    assert caught.value.__context__ is None


def test_a_device_that_is_lost(guarded: Callable[[Work], None]) -> None:
    failure = torch.AcceleratorError("CUDA error: an illegal memory access\nCompile with")
    with pytest.raises(DeviceLostError, match=r"access$"):
        guarded(failing(failure))


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("shapes do not match"),
        ZeroDivisionError(),
        ServiceError(Reason.PROMPT_INVALID, "prompts[0]"),
        KeyboardInterrupt(),
    ],
)
def test_other_failures_stay_what_they_are(
    guarded: Callable[[Work], None], failure: BaseException
) -> None:
    with pytest.raises(type(failure)) as caught:
        guarded(failing(failure))
    assert caught.value is failure


def test_memory_of_the_cpu_that_is_really_full(guarded: Callable[[Work], None]) -> None:
    def too_large() -> None:
        torch.empty(2**50, dtype=torch.uint8)

    with pytest.raises(ServiceError) as caught:
        guarded(too_large)
    assert caught.value.reason is Reason.DEVICE_MEMORY


def test_what_a_step_held_is_gone_before_the_cache_is_emptied(
    guarded: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    left: list[Any] = []

    def run_out() -> None:
        features = torch.zeros(4)
        held.append(weakref.ref(features))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: left.append(held[0]()))
    gc.disable()  # it has to be gone at once
    try:
        with pytest.raises(ServiceError):
            guarded(run_out)
    finally:
        gc.enable()
    assert left == [None]


def test_what_a_generator_held_is_gone_before_the_cache_is_emptied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    left: list[Any] = []

    @guarded_steps
    def steps() -> Generator[None, None, None]:
        features = torch.zeros(4)
        held.append(weakref.ref(features))
        yield
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: left.append(held[0]()))
    with pytest.raises(ServiceError):
        finished(steps())
    assert left == [None]


def test_a_device_that_fails_while_its_cache_is_emptied_is_lost(
    guarded: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access\nmore")

    monkeypatch.setattr(torch.cuda, "empty_cache", fail)
    with pytest.raises(DeviceLostError, match=r"access$"):
        guarded(failing(torch.OutOfMemoryError("CUDA out of memory")))


def test_a_step_is_in_inference_mode_and_a_generator_is_not() -> None:
    @guarded_step
    def step() -> torch.Tensor:
        return torch.ones(1, requires_grad=True) * 2

    @guarded_steps
    def steps() -> Generator[None, None, bool]:
        inside = torch.is_inference_mode_enabled()
        step()
        yield
        return inside

    assert step().is_inference()
    work = steps()
    next(work)
    assert not torch.is_inference_mode_enabled()
    assert finished(work) is False


def test_guards_pass_on_what_they_guard() -> None:
    @guarded_steps
    def steps(first: int, *, second: int) -> Generator[int, int, int]:
        """Says so."""
        got = yield first
        return got + second

    work = steps(1, second=2)
    assert next(work) == 1
    with pytest.raises(StopIteration) as end:
        work.send(40)
    assert end.value.value == 42
    assert steps.__doc__ == "Says so."
    assert guarded_step(lambda one, *, two: (one, two))(1, two=2) == (1, 2)


def test_steps_that_are_closed_clean_up() -> None:
    closed = []

    @guarded_steps
    def steps() -> Generator[None, None, None]:
        try:
            yield
        finally:
            closed.append(True)

    work = steps()
    next(work)
    work.close()
    assert closed == [True]


@pytest.mark.parametrize("error", [SettingsError("one"), WeightsError("one")])
def test_errors_of_set_up_are_load_errors(error: Exception) -> None:
    with pytest.raises(LoadError, match=r"^one$"):
        load_errors()(failing(error))()


def test_other_errors_of_set_up_stay_what_they_are() -> None:
    with pytest.raises(KeyError):
        load_errors()(failing(KeyError("x")))()
