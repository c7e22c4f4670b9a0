"""Gives failures of set-up and of the device the names that the engine protocol has for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch

from diptych_runtime.engine import DeviceLostError, LoadError, Reason, ServiceError
from diptych_runtime.settings import SettingsError
from diptych_runtime.weights import WeightsError

P = ParamSpec("P")
Y = TypeVar("Y")
S = TypeVar("S")
T = TypeVar("T")

_CPU_ALLOCATOR = ("DefaultCPUAllocator", "can't allocate memory")
"""What torch says in a plain ``RuntimeError`` when the memory of the CPU is full."""


@contextmanager
def load_errors() -> Iterator[None]:
    """Turn what is wrong with settings or weights into ``LoadError``; also a decorator.

    Raises:
        LoadError: with the message of a ``SettingsError`` or ``WeightsError``.
    """
    try:
        yield
    except (SettingsError, WeightsError) as error:
        raise LoadError(str(error)) from error


def guarded_step(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate one step of work: inference mode, and faults of the device get their names.

    Raises, when called:
        ServiceError: ``DEVICE_MEMORY`` if the memory of a GPU or of the CPU is full.
        DeviceLostError: the accelerator failed; no kernel of this process works any more.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with torch.inference_mode():
                return function(*args, **kwargs)
        except (MemoryError, RuntimeError) as error:
            fault = _fault_of(error)
            if fault is None:
                raise
        # Outside of the block: until it ends, the traceback keeps every tensor of the step alive.
        raise _with_cache_freed(fault)

    return run


def guarded_steps(
    function: Callable[P, Generator[Y, S, T]],
) -> Callable[P, Generator[Y, S, T]]:
    """Decorate a generator of steps as ``guarded_step`` does a function, without inference mode.

    That mode belongs to a step: from a generator it would leak into whatever runs between two.

    Raises, when iterated:
        ServiceError: ``DEVICE_MEMORY``, as for ``guarded_step``.
        DeviceLostError: as for ``guarded_step``.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Generator[Y, S, T]:
        try:
            return (yield from function(*args, **kwargs))
        except (MemoryError, RuntimeError) as error:
            fault = _fault_of(error)
            if fault is None:
                raise
        raise _with_cache_freed(fault)

    return run


def _fault_of(error: MemoryError | RuntimeError) -> ServiceError | DeviceLostError | None:
    """Return the device's fault under its name; ``None`` for every other error."""
    if isinstance(error, torch.AcceleratorError):
        return _lost(error)
    out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if out_of_memory or any(text in str(error) for text in _CPU_ALLOCATOR):
        return ServiceError(
            Reason.DEVICE_MEMORY,
            "the device has not enough free memory for this request; send a smaller image, ask "
            "for fewer segments or prompts, or try again later",
            retry_after_s=1.0,
        )
    return None


def _with_cache_freed(fault: ServiceError | DeviceLostError) -> ServiceError | DeviceLostError:
    """Give cached memory back, unless the device is lost."""
    if isinstance(fault, ServiceError):
        try:
            # Here a device says what went wrong in kernels that nobody has waited for.
            torch.cuda.empty_cache()
        except torch.AcceleratorError as error:
            return _lost(error)
    return fault


def _lost(error: torch.AcceleratorError) -> DeviceLostError:
    return DeviceLostError(str(error).partition("\n")[0])
