"""Which device a model computes on, how exactly, and what its card says of that."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import TypedDict

import torch

from diptych_runtime.engine import Tier, choose_tier
from diptych_runtime.settings import SettingsError

from .settings import TorchSettings

_DTYPES = {Tier.EXACT: torch.float32, Tier.FAST: torch.bfloat16}


class ComputeFields(TypedDict):
    """The fields of ``LoadedModel`` that follow from device and tier."""

    device: str
    dtype: str
    tier: str
    software: str
    peak_device_bytes: Callable[[], int]
    free_device_bytes: Callable[[], int]


@dataclass(frozen=True)
class Compute:
    """Where a model computes, and how exactly."""

    device: torch.device
    tier: Tier

    @classmethod
    def from_settings(cls, settings: TorchSettings) -> Compute:
        """Choose device and tier, and set up torch in this process for them.

        Raises:
            SettingsError: a GPU was asked for by name and there is none.
        """
        device = choose_device(settings.device)
        prepare(device, settings.threads)
        return cls(device, choose_tier(settings.tier, capability(device)))

    @property
    def dtype(self) -> torch.dtype:
        """The numeric type of a model's heavy parts."""
        return _DTYPES[self.tier]

    def card_fields(self, *libraries: str) -> ComputeFields:
        """Return what ``LoadedModel`` says of device and software.

        Args:
            libraries: Distributions that compute beside torch, such as ``torchvision``.
        """
        return ComputeFields(
            device=describe(self.device),
            dtype=str(self.dtype).removeprefix("torch."),
            tier=self.tier,
            software=", ".join(f"{name} {_version(name)}" for name in ("torch", *libraries)),
            peak_device_bytes=peak_bytes_reader(self.device),
            free_device_bytes=free_bytes_reader(self.device),
        )


def choose_device(wanted: str) -> torch.device:
    """Return the device that ``DIPTYCH_DEVICE`` means; ``auto`` is ``cuda:0`` if there is one.

    Which GPU ``cuda:0`` is, the environment of the process decides.

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


def prepare(device: torch.device, threads: int | None) -> None:
    """Set what is global in torch; an engine owns its process."""
    if threads is not None:
        torch.set_num_threads(threads)
    if device.type == "cuda":
        # Convolutions round to TF32 by default, which is not the exact tier.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def describe(device: torch.device) -> str:
    """Return a name such as ``cpu`` or ``cuda:0 NVIDIA H200``."""
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return str(device)


def capability(device: torch.device) -> tuple[int, int] | None:
    """Return that of a CUDA device; ``None`` for the CPU."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else None


def peak_bytes_reader(device: torch.device) -> Callable[[], int]:
    """Return what reads the most memory of a GPU that this process has taken; 0 for the CPU."""
    return partial(torch.cuda.max_memory_reserved, device) if device.type == "cuda" else int


def free_bytes_reader(device: torch.device) -> Callable[[], int]:
    """Return what reads the memory of a GPU that no process has taken; 0 for the CPU."""
    return (lambda: torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else int


def _version(library: str) -> str:
    # That of the module, where it has one, also names the build, such as 0.29.1+cu130.
    version = getattr(sys.modules.get(library), "__version__", None)
    return str(version or metadata.version(library))
