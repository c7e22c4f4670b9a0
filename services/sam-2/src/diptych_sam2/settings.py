"""Settings of this engine, read from the environment when it is created."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from diptych_runtime.engine import TierChoice

DEMO = "demo"
"""Name of the weights that come with the package."""


class EngineSettings(BaseSettings):
    """``DIPTYCH_*`` variables that only this engine reads."""

    model_config = SettingsConfigDict(
        env_prefix="DIPTYCH_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    sam_2_weights: str = DEMO
    """``demo``, a published name such as ``sam2.1-hiera-tiny``, or a path to a ``.safetensors`` or
    ``.pt`` file."""
    sam_2_config: str | None = None
    """For a file: a configuration of the sam2 package, such as
    ``configs/sam2.1/sam2.1_hiera_t.yaml``, or a path to a YAML file of that form."""
    sam_2_conditioning_frames: int = Field(default=8, ge=2)
    """Prompted frames that an object in a video is remembered by."""
    device: Literal["auto", "cpu", "cuda:0"] = "auto"
    """``auto`` is the first CUDA device if there is one, else the CPU."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of the CPU that one operation may use; unset leaves it to torch."""
    tier: TierChoice = "auto"
    """How exact to compute; see ``diptych_runtime.engine.tier``."""
