"""Settings of this engine, read from the environment when it is created."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from diptych_runtime.engine import TierChoice


class EngineSettings(BaseSettings):
    """``DIPTYCH_*`` variables that only this engine reads."""

    model_config = SettingsConfigDict(
        env_prefix="DIPTYCH_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    mask_rcnn_weights: str = "demo"
    """``demo``, ``coco-v1``, ``coco-v2`` or the path of a ``.safetensors`` or ``.pth`` file."""
    keypoint_weights: str | None = None
    """``demo``, ``coco``, ``off`` or a path; unset follows the weights of Mask R-CNN."""
    device: Literal["auto", "cpu", "cuda:0"] = "auto"
    """``auto`` is the first CUDA device if there is one, else the CPU."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of the CPU that one operation may use; unset leaves it to torch."""
    tier: TierChoice = "auto"
    """How exact to compute; see ``diptych_runtime.engine.tier``."""

    @property
    def keypoint_choice(self) -> str:
        """``keypoint_weights`` with its default: a fine-tuned detector comes without keypoints."""
        if self.keypoint_weights is not None:
            return self.keypoint_weights
        return {"demo": "demo", "coco-v1": "coco", "coco-v2": "coco"}.get(
            self.mask_rcnn_weights, "off"
        )
