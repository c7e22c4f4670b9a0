"""What the environment says about this engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from diptych_runtime.engine import LoadError

DEMO = "demo"
"""Name of the weights that come with the package."""


class SettingsError(LoadError):
    """A setting that cannot be used; the message names the variable and what it may be."""


@dataclass(frozen=True)
class Settings:
    """Which weights to load and where to run them."""

    weights: str = DEMO
    """``demo``, a published name such as ``sam2.1-hiera-tiny``, or a path to a ``.safetensors`` or
    ``.pt`` file."""
    config: str = ""
    """For a file: a configuration of the sam2 package, such as
    ``configs/sam2.1/sam2.1_hiera_t.yaml``, or a path to a YAML file of that form."""
    device: str = "auto"
    """``cpu``, ``cuda:0``, or ``auto``: the first CUDA device if there is one, else the CPU."""
    threads: int | None = None
    """Threads for one operation on the CPU; ``None`` leaves it to torch."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read ``DIPTYCH_SAM_2_WEIGHTS``, ``DIPTYCH_SAM_2_CONFIG``, ``DIPTYCH_DEVICE`` and
        ``DIPTYCH_THREADS``; empty values count as unset.

        Raises:
            SettingsError: the number of threads is not a positive integer.
        """
        environment = os.environ if environment is None else environment
        return cls(
            weights=environment.get("DIPTYCH_SAM_2_WEIGHTS") or DEMO,
            config=environment.get("DIPTYCH_SAM_2_CONFIG", ""),
            device=environment.get("DIPTYCH_DEVICE") or "auto",
            threads=_threads(environment.get("DIPTYCH_THREADS", "")),
        )


def _threads(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise SettingsError(f"DIPTYCH_THREADS: expected a positive integer, got {text!r}")
    return int(text)
