"""Settings of this engine, read from the environment when it is created."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from diptych_torch.settings import TorchSettings

NetworkChoice: TypeAlias = Literal["quick", "stock"]


class EngineSettings(TorchSettings):
    """``DIPTYCH_*`` variables that only this engine reads, beside those of every torch engine."""

    sam_2_weights: str = "demo"
    """``demo``, a published name such as ``sam2.1-hiera-tiny``, or the path of a ``.safetensors``,
    ``.pth``, ``.pt`` or ``.ckpt`` file."""
    sam_2_config: str | None = None
    """For a file: a configuration of the sam2 package, such as ``sam2.1_hiera_t``, or a path to a
    YAML file of that form; unset, that of the published network of the same shapes."""
    sam_2_conditioning_frames: int = Field(default=8, ge=2)
    """Prompted frames that an object in a video is remembered by."""
    sam_2_network: NetworkChoice = "quick"
    """``quick``: parts rewritten for speed. ``stock``: the sam2 package's own modules, for parity,
    bisection, and devices on which the rewrites lose."""
