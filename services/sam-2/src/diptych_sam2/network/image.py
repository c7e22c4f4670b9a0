"""The network without state: pixels to features, features and prompts to mask logits.

``SAM2ImagePredictor`` keeps the image on itself, so two requests that share one mix their answers
up. Here everything that belongs to an image travels in ``ImageFeatures``.

Images are squashed to a square without letterbox, so x and y scale differently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diptych import Mask
from diptych_runtime.engine import Pixels

from .interface import MULTIMASK, DecoderInput
from .parts import Parts

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of red, green and blue in [0, 1], as the weights expect them."""
_MASK_LOGIT = 10.0


@dataclass(frozen=True)
class ImageFeatures:
    """What the image encoder made of one image, on the network's device."""

    decoder_input: DecoderInput
    size: tuple[int, int]
    """Height and width of the image in pixels."""

    @property
    def nbytes(self) -> int:
        """Memory that these features keep alive, in bytes."""
        return self.decoder_input.nbytes


@dataclass(frozen=True)
class PromptBatch:
    """Prompts of equal shape, one row each; at least one of ``coordinates`` and ``logits``."""

    coordinates: Tensor | None
    """``(n, points, 2)`` x and y in pixels of the network's square input."""
    labels: Tensor | None
    """``(n, points)`` int32: 0 background, 1 foreground, 2 and 3 corners of a box."""
    logits: Tensor | None
    """``(n, 1, side / 4, side / 4)`` logits of an earlier guess."""


@dataclass(frozen=True)
class Predictions:
    """The decoder's answer to a batch: one mask for each prompt, or three."""

    logits: Tensor
    """``(n, masks, side / 4, side / 4)`` float32, not clipped; without ``n`` for rows of masks."""
    quality: Tensor
    """``(n, masks)`` float32, the predicted IoU; likewise."""


class Network:
    """SAM 2 for still images on one device."""

    def __init__(self, parts: Parts) -> None:
        self.device = parts.device
        self.image_size: int = parts.model.image_size
        side = self.image_size // 4
        self.logits_size: tuple[int, int] = (side, side)
        self._parts = parts

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> ImageFeatures:
        """Run the image encoder on one image, ``(height, width, 3)`` uint8 RGB of any size."""
        model = self._parts.model
        square = normalised_square(pixels, self.image_size).to(self.device)
        *high_res, embedding = self._parts.encoder(square)
        if model.directly_add_no_mem_embed:
            # A still image is a video without a past.
            embedding = embedding + model.no_mem_embed.view(1, -1, 1, 1)
        height, width = pixels.shape[:2]
        return ImageFeatures(self._parts.decoder.prepare(embedding, high_res), (height, width))

    def restored(self, tensors: Sequence[Tensor], size: tuple[int, int]) -> ImageFeatures:
        """Make the features of an image of ``size`` (height, width) again from the tensors of
        their ``decoder_input``."""
        here = [tensor.to(self.device) for tensor in tensors]
        return ImageFeatures(self._parts.decoder.restored(here), size)

    @torch.inference_mode()
    def decode(
        self,
        features: ImageFeatures | Sequence[ImageFeatures],
        prompts: PromptBatch,
        *,
        multimask: bool,
    ) -> Predictions:
        """Predict one mask for each prompt, or three if ``multimask``. All prompts are for one
        image, or ``features`` has the image of each."""
        image, attended = self._attend(self._decoder_input(features), prompts)
        return Predictions(*self._parts.decoder.predict(image, attended, multimask=multimask))

    @torch.inference_mode()
    def decode_good(
        self, features: ImageFeatures, prompts: PromptBatch, good: Callable[[Tensor], Tensor]
    ) -> Predictions:
        """Predict three masks for each prompt without a mask, but return only good ones.

        Args:
            features: Of the image that all prompts are for.
            prompts: ``n`` prompts.
            good: Takes qualities ``(n, 3)`` and returns as many bools; a prompt without a good mask
                costs no mask.

        Returns:
            One row for each mask, ordered by prompt.
        """
        decoder = self._parts.decoder
        image, attended = self._attend(features.decoder_input, prompts)
        quality = decoder.quality(attended)[:, MULTIMASK]
        keep = good(quality)
        chosen = keep.any(dim=1)
        if not chosen.all():
            attended, quality, keep = attended.rows(chosen), quality[chosen], keep[chosen]
        logits = decoder.masks(image, attended, MULTIMASK)
        return Predictions(logits[keep], quality[keep])

    def _attend(self, image: DecoderInput, prompts: PromptBatch) -> tuple[Any, Any]:
        """The decoder's input with the prompts' masks, and what it knows of the prompts."""
        points = None
        if prompts.coordinates is not None:
            points = (prompts.coordinates, prompts.labels)
        decoder = self._parts.decoder
        sparse, dense = self._parts.model.sam_prompt_encoder(
            points=points, boxes=None, masks=prompts.logits
        )
        if prompts.logits is not None:
            image = decoder.with_masks(image, dense)
        return image, decoder.attend(image, sparse)

    def _decoder_input(self, features: ImageFeatures | Sequence[ImageFeatures]) -> DecoderInput:
        """One row if all prompts are for one image, else a row for each."""
        if isinstance(features, ImageFeatures):
            return features.decoder_input
        inputs = [one.decoder_input for one in features]
        if all(one is inputs[0] for one in inputs):
            return inputs[0]
        return self._parts.decoder.stack(inputs)  # type: ignore[no-any-return]


def normalised_square(pixels: Pixels, side: int) -> Tensor:
    """Prepare an image as ``SAM2Transforms`` does, bit for bit: divided by 255, resized bilinearly
    with antialiasing, then normalised.

    Args:
        pixels: ``(height, width, 3)`` uint8 RGB.
        side: Height and width of the square.

    Returns:
        ``(1, 3, side, side)`` float32 on the CPU.
    """
    planes = [_resized(pixels[:, :, channel], side) for channel in range(3)]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return torch.stack(planes).sub_(mean).div_(std)[None]


def _resized(plane: np.ndarray[tuple[int, int], np.dtype[np.uint8]], side: int) -> Tensor:
    # One channel at a time: an image of 50 MP as float32 is 600 MB, a third of it 200 MB.
    levels = torch.from_numpy(np.array(plane, order="C")).float().div_(255)
    if levels.shape == (side, side):
        return levels
    return F.interpolate(
        levels[None, None], (side, side), mode="bilinear", align_corners=False, antialias=True
    )[0, 0]


def to_square(points: Tensor, size: tuple[int, int], side: int) -> Tensor:
    """Scale ``(..., 2)`` x and y in pixels of an image of ``size`` (height, width) to pixels of the
    network's square."""
    height, width = size
    return points / points.new_tensor([width, height]) * side


def squared_mask(mask: Mask, side: int) -> Tensor:
    """Resize a full mask as SAM 2 does for a video, bilinearly with antialiasing, and cut it at one
    half: ``(1, 1, side, side)`` float32, 0 or 1, on the CPU."""
    plane = torch.from_numpy(mask.to_array())[None, None].float()
    if plane.shape[-2:] == (side, side):
        return plane
    resized = F.interpolate(
        plane, (side, side), mode="bilinear", align_corners=False, antialias=True
    )
    return (resized >= 0.5).float()


def mask_logits(mask: Mask, side: int) -> Tensor:
    """Turn a full mask into logits as SAM 2 does for a video: squared, turned into plus and minus
    10, reduced fourfold bilinearly with antialiasing. ``(side / 4, side / 4)`` float32 on the
    CPU."""
    logits = squared_mask(mask, side) * (2 * _MASK_LOGIT) - _MASK_LOGIT
    low = (side // 4, side // 4)
    return F.interpolate(logits, low, mode="bilinear", align_corners=False, antialias=True)[0, 0]
