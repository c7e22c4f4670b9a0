"""The network without state: pixels to features, features and prompts to mask logits.

``SAM2ImagePredictor`` keeps the picture on itself, so two requests that share one mix their
answers up. Here everything that belongs to a picture travels in ``PictureFeatures``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from diptych_runtime.engine import Pixels

from .transforms import normalised_square

LOGIT_LIMIT = 32.0
"""Low-res logits are clipped to plus and minus this before they leave or return."""


@dataclass(frozen=True)
class PictureFeatures:
    """What the image encoder made of one picture, on the network's device."""

    embedding: Tensor
    """``(1, channels, side / 16, side / 16)``"""
    high_res: tuple[Tensor, ...]
    """``(1, channels / 8, side / 4, side / 4)`` and ``(1, channels / 4, side / 8, side / 8)``"""
    size: tuple[int, int]
    """Height and width of the picture in pixels."""

    @property
    def nbytes(self) -> int:
        """Memory that these features keep alive, in bytes."""
        tensors = (self.embedding, *self.high_res)
        return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


@dataclass(frozen=True)
class PromptBatch:
    """Prompts of equal shape, one row each; at least one of ``coordinates`` and ``logits``."""

    coordinates: Tensor | None
    """``(n, points, 2)`` x and y in pixels of the network's square input."""
    labels: Tensor | None
    """``(n, points)`` int32: 0 background, 1 foreground, 2 and 3 corners of a box."""
    logits: Tensor | None
    """``(n, 1, side / 4, side / 4)`` logits of an earlier guess."""

    def __len__(self) -> int:
        rows = self.logits if self.coordinates is None else self.coordinates
        assert rows is not None
        return len(rows)


@dataclass(frozen=True)
class Predictions:
    """The decoder's answer to a batch: one mask for each prompt, or three."""

    logits: Tensor
    """``(n, masks, side / 4, side / 4)`` float32, not clipped."""
    quality: Tensor
    """``(n, masks)`` float32, the predicted IoU."""


class Network:
    """SAM 2 for still pictures on one device, in float32."""

    def __init__(self, model: SAM2Base, device: torch.device) -> None:
        self.device = device
        self.image_size: int = model.image_size
        side = model.image_size // 4
        self.logits_size: tuple[int, int] = (side, side)
        self.parameter_count = sum(p.numel() for p in model.parameters())
        self._model = model.to(device).eval()
        with torch.inference_mode():
            self._position = self._model.sam_prompt_encoder.get_dense_pe()

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> PictureFeatures:
        """Run the image encoder on one picture of any size."""
        model = self._model
        square = normalised_square(pixels, self.image_size).to(self.device)
        levels = model.forward_image(square)["backbone_fpn"]
        *high_res, embedding = levels[-model.num_feature_levels :]
        if model.directly_add_no_mem_embed:
            # A still picture is a video without a past.
            embedding = embedding + model.no_mem_embed.view(1, -1, 1, 1)
        height, width = pixels.shape[:2]
        return PictureFeatures(embedding, tuple(high_res), (height, width))

    @torch.inference_mode()
    def decode(
        self, features: PictureFeatures, prompts: PromptBatch, *, multimask: bool
    ) -> Predictions:
        """Predict one mask for each prompt, or three if ``multimask``."""
        model = self._model
        points = None
        if prompts.coordinates is not None:
            points = (prompts.coordinates, prompts.labels)
        sparse, dense = model.sam_prompt_encoder(points=points, boxes=None, masks=prompts.logits)
        logits, quality, _, _ = model.sam_mask_decoder(
            image_embeddings=features.embedding,
            image_pe=self._position,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            repeat_image=True,
            high_res_features=list(features.high_res) or None,
        )
        return Predictions(logits.float(), quality.float())
