"""The device: which one, how exact, and what to do when its memory is full."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from diptych_runtime.engine import DeviceLostError, Reason, ServiceError
from diptych_runtime.settings import SettingsError

P = ParamSpec("P")
T = TypeVar("T")

_CPU_ALLOCATOR = "DefaultCPUAllocator"  # torch raises a plain RuntimeError on the CPU


def choose_device(wanted: str) -> torch.device:
    """``cuda:0`` if there is one, else the CPU; which GPU that is, the environment decides.

    Raises:
        SettingsError: a GPU was asked for by name and there is none.
    """
    if wanted == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if wanted != "cpu" and not torch.cuda.is_available():
        raise SettingsError(
            f"DIPTYCH_DEVICE={wanted!r}: this process sees no CUDA device; use auto or cpu"
        )
    return torch.device(wanted)


def describe(device: torch.device) -> str:
    """Such as ``cpu`` or ``cuda:0 NVIDIA H200``."""
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return str(device)


def peak_bytes(device: torch.device) -> int:
    """The most memory of a GPU that this process has taken; 0 for the processor."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else 0


def capability(device: torch.device) -> tuple[int, int] | None:
    """That of a CUDA device; ``None`` for the CPU."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else None


def prepare(device: torch.device, threads: int | None) -> None:
    """Set what is global in torch; the engine owns its process."""
    if threads is not None:
        torch.set_num_threads(threads)
    if device.type == "cuda":
        # Convolutions round to TF32 by default, which is not the exact tier.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def step(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate one step of work: no gradients, and the errors of the device get their names.

    A full memory becomes ``DEVICE_MEMORY``; a fault of the accelerator, after which no kernel of
    this process works again, becomes ``DeviceLostError``.

    Inference mode belongs to the step, not to the generator around it: it would leak into whatever
    runs between two steps.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            try:
                with torch.inference_mode():
                    return function(*args, **kwargs)
            except (torch.OutOfMemoryError, MemoryError):
                pass
            except RuntimeError as error:
                if _CPU_ALLOCATOR not in str(error):
                    raise
            # Outside of the inner block: until it ends, the traceback keeps every tensor alive.
            # Here a device says what went wrong in kernels that nobody has waited for.
            torch.cuda.empty_cache()
        except torch.AcceleratorError as error:
            raise DeviceLostError(str(error).splitlines()[0]) from error
        raise ServiceError(
            Reason.DEVICE_MEMORY,
            "the device has not enough free memory for this request; send a smaller picture, ask "
            "for fewer segments or try again later",
            retry_after_s=1.0,
        )

    return run
