"""Settings that every torch engine has, read from the environment when it is created."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from diptych_runtime.engine import TierChoice


class TorchSettings(BaseSettings):
    """``DIPTYCH_*`` variables of every torch engine; a model adds its own in a subclass."""

    model_config = SettingsConfigDict(
        env_prefix="DIPTYCH_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    device: Literal["auto", "cpu", "cuda:0"] = "auto"
    """``auto`` is the GPU if there is one, else the CPU."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of the CPU that one operation may use; unset leaves it to torch."""
    tier: TierChoice = "auto"
    """How exact to compute; see ``diptych_runtime.engine.tier``."""
