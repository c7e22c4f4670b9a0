"""Tells a device that is out of memory, or broken, from other failures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from diptych_runtime.engine import DeviceLostError
from diptych_runtime.errors import Reason, ServiceError

_CPU_ALLOCATOR = "can't allocate memory"


@contextmanager
def device_guard() -> Iterator[None]:
    """Name the failures that are the device's.

    Raises:
        ServiceError: ``DEVICE_MEMORY``, on any device.
        DeviceLostError: an error after which CUDA answers nothing any more in this process.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if _is_out_of_memory(error):
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            raise ServiceError(
                Reason.DEVICE_MEMORY,
                "the device has no memory left for this request; send a smaller picture or fewer "
                "prompts, or try again later",
                retry_after_s=1.0,
            ) from error
        if isinstance(error, torch.AcceleratorError):
            raise DeviceLostError(str(error).partition("\n")[0]) from error
        raise


def _is_out_of_memory(error: Exception) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or _CPU_ALLOCATOR in str(error)
