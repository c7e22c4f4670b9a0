"""Tells a device that is out of memory, or broken, from other failures."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from diptych_runtime.engine import DeviceLostError, Reason, ServiceError

_CPU_ALLOCATOR = "can't allocate memory"


@contextmanager
def device_guard() -> Iterator[None]:
    """Name the failures that are the device's.

    Raises:
        ServiceError: ``DEVICE_MEMORY``, on any device.
        DeviceLostError: an error after which CUDA answers nothing any more in this process.
    """
    try:
        with _memory_named():
            yield
    except torch.AcceleratorError as error:
        raise DeviceLostError(str(error).partition("\n")[0]) from error


@contextmanager
def _memory_named() -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        # The traceback keeps every tensor of the request alive, so the cache would keep its memory.
        traceback.clear_frames(error.__traceback__)
        # Here a device says what went wrong in kernels that nobody has waited for.
        torch.cuda.empty_cache()
        raise ServiceError(
            Reason.DEVICE_MEMORY,
            "the device has no memory left for this request; send a smaller picture or fewer "
            "prompts, or try again later",
            retry_after_s=1.0,
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or _CPU_ALLOCATOR in str(error)
