"""The network without state: pixels to features, features and prompts to mask logits.

``SAM2ImagePredictor`` keeps the picture on itself, so two requests that share one mix their
answers up. Here everything that belongs to a picture travels in ``PictureFeatures``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diptych_runtime.engine import Pixels

from .parts import Parts
from .quick.decoder import THREE, Attended, DecoderInput
from .transforms import normalised_square

LOGIT_LIMIT = 32.0
"""Low-res logits are clipped to plus and minus this before they leave or return."""


@dataclass(frozen=True)
class PictureFeatures:
    """What the image encoder made of one picture, on the network's device."""

    picture: DecoderInput
    size: tuple[int, int]
    """Height and width of the picture in pixels."""

    @property
    def nbytes(self) -> int:
        """Memory that these features keep alive, in bytes."""
        return self.picture.nbytes


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
    """``(n, masks, side / 4, side / 4)`` float32, not clipped; without ``n`` for rows of masks."""
    quality: Tensor
    """``(n, masks)`` float32, the predicted IoU; likewise."""


class Network:
    """SAM 2 for still pictures on one device."""

    def __init__(self, parts: Parts) -> None:
        self.device = parts.device
        self.image_size: int = parts.model.image_size
        side = self.image_size // 4
        self.logits_size: tuple[int, int] = (side, side)
        self._parts = parts

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> PictureFeatures:
        """Run the image encoder on one picture of any size."""
        model = self._parts.model
        square = normalised_square(pixels, self.image_size).to(self.device)
        *high_res, embedding = self._parts.encoder(square)
        if model.directly_add_no_mem_embed:
            # A still picture is a video without a past.
            embedding = embedding + model.no_mem_embed.view(1, -1, 1, 1)
        height, width = pixels.shape[:2]
        return PictureFeatures(self._parts.decoder.prepared(embedding, high_res), (height, width))

    @torch.inference_mode()
    def decode(
        self,
        features: PictureFeatures | Sequence[PictureFeatures],
        prompts: PromptBatch,
        *,
        multimask: bool,
    ) -> Predictions:
        """Predict one mask for each prompt, or three if ``multimask``. All prompts are for one
        picture, or ``features`` has the picture of each."""
        picture, attended = self._attended(_of_prompts(features), prompts)
        return Predictions(*self._parts.decoder.answer(picture, attended, multimask=multimask))

    @torch.inference_mode()
    def decode_good(
        self, features: PictureFeatures, prompts: PromptBatch, good: Callable[[Tensor], Tensor]
    ) -> Predictions:
        """Three masks for each prompt without a mask, but only those that are ``good``, which is
        asked with qualities ``(n, 3)``. One row for each mask; prompts without any cost no mask."""
        decoder = self._parts.decoder
        picture, attended = self._attended(features.picture, prompts)
        quality = decoder.quality(attended)[:, THREE]
        keep = good(quality)
        chosen = keep.any(dim=1)
        if not chosen.all():
            attended, quality, keep = attended.rows(chosen), quality[chosen], keep[chosen]
        logits = decoder.masks(picture, attended, THREE)
        return Predictions(logits[keep], quality[keep])

    def _attended(
        self, picture: DecoderInput, prompts: PromptBatch
    ) -> tuple[DecoderInput, Attended]:
        points = None
        if prompts.coordinates is not None:
            points = (prompts.coordinates, prompts.labels)
        decoder = self._parts.decoder
        sparse, dense = self._parts.model.sam_prompt_encoder(
            points=points, boxes=None, masks=prompts.logits
        )
        if prompts.logits is not None:
            picture = decoder.with_masks(picture, dense)
        return picture, decoder.attend(picture, sparse)


def _of_prompts(features: PictureFeatures | Sequence[PictureFeatures]) -> DecoderInput:
    """One row if all prompts are for one picture, else a row for each."""
    if isinstance(features, PictureFeatures):
        return features.picture
    pictures = [one.picture for one in features]
    if all(picture is pictures[0] for picture in pictures):
        return pictures[0]
    return DecoderInput.stacked(pictures)
