"""Settings of this engine, read from the environment when it is created."""

from __future__ import annotations

from diptych_torch.settings import TorchSettings


class EngineSettings(TorchSettings):
    """``DIPTYCH_*`` variables that only this engine reads, beside those of every torch engine."""

    mask_rcnn_weights: str = "demo"
    """``demo``, ``coco-v1``, ``coco-v2`` or the path of a ``.safetensors``, ``.pth``,
    ``.pt`` or ``.ckpt`` file."""
    keypoint_weights: str | None = None
    """``demo``, ``coco``, ``off`` or a path; unset follows the weights of Mask R-CNN."""

    @property
    def keypoint_choice(self) -> str:
        """``keypoint_weights`` with its default: a fine-tuned detector comes without keypoints."""
        if self.keypoint_weights is not None:
            return self.keypoint_weights
        return {"demo": "demo", "coco-v1": "coco", "coco-v2": "coco"}.get(
            self.mask_rcnn_weights, "off"
        )
