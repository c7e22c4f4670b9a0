"""One thing that a model found."""

from __future__ import annotations

from dataclasses import dataclass

from ..masks.mask import Mask
from .geometry import Box
from .prompts import LowResLogits


@dataclass(frozen=True)
class Keypoint:
    """A named point of a body; ``score`` is a heat-map logit, not a probability."""

    name: str
    x: float
    y: float
    score: float


@dataclass(frozen=True, repr=False)
class Segment:
    """One thing found in an image."""

    score: float
    """How sure the model is. Range [0, 1]. Not comparable between models."""
    box: Box | None = None
    """The box the model predicted, or the smallest around the mask; ``None`` where neither is, as
    for an empty mask of a model that predicts none."""
    mask: Mask | None = None
    """Pixels that belong to it; ``None`` for detection and keypoint tasks."""
    label: str = ""
    """Class name, or empty for class-agnostic models."""
    category_id: int = 0
    """COCO category id, or 0 for class-agnostic models."""
    area: int = 0
    """Pixels in the mask."""
    keypoints: tuple[Keypoint, ...] = ()
    """For the keypoint task, in the order of the card's schema."""
    prompt_index: int | None = None
    """Index into the request's prompts; prompted tasks only."""
    candidate_index: int | None = None
    """Which candidate for that prompt, 0 being the best; prompted tasks only."""
    stability_score: float | None = None
    """Share of pixels that stay when the threshold is shifted; automatic mode only."""
    low_res_logits: LowResLogits | None = None
    """What to send as a prompt's mask to refine this answer; only when asked for."""
    source_iou: float | None = None
    """Overlap with the mask of the detector that prompted it; cascades only."""

    def __repr__(self) -> str:
        told = [repr(self.label)] if self.label else []
        told.append(f"score {self.score:.3f}")
        if self.box is not None:
            told.append(f"box ({', '.join(str(round(edge)) for edge in self.box.xyxy)})")
        if self.mask is not None:
            told.append(f"{self.area} px")
        if self.keypoints:
            told.append(f"{len(self.keypoints)} key points")
        return f"Segment({', '.join(told)})"
