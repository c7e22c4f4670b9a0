"""The feature pyramid of an image, and what was already found on it.

This is what the runtime holds between requests: a second request for the same image needs no
backbone, and reads detections and masks that an earlier one computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych_runtime.engine import Features, Pixels
from diptych_torch.faults import guarded_step


@dataclass(frozen=True)
class Detections:
    """What the box head found above the network's own score floor, best first.

    ``boxes`` is ``(N, 4)`` on the device, in pixels of the rescaled image. ``boxes_px`` is the
    same as float32 in pixels of the image as sent; ``labels`` ``(N,)`` int64, ``scores`` ``(N,)``
    float32.
    """

    boxes: Tensor
    boxes_px: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Memory that they keep, on any device, in bytes."""
        arrays = (self.boxes, self.boxes_px, self.labels, self.scores)
        return sum(array.nbytes for array in arrays)


@dataclass
class Pyramid:
    """Feature maps of one image and, once they were needed, its detections and their masks.

    Only what is complete is stored, so a request that is stopped between two steps leaves nothing
    half done for the next one.
    """

    levels: dict[str, Tensor]
    size: tuple[int, int]
    """Height and width of the image as sent."""
    resized: tuple[int, int]
    """Height and width as the network sees it."""
    padded: tuple[int, int]
    """The same, rounded up to what the strides divide."""
    detections: Detections | None = None
    masks: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    """Probability map of a detection, by its index; ``(M, M)``, range [0, 1]."""


@guarded_step
def embed(network: Any, pixels: Pixels) -> Features:
    """Run the backbone on an image ``(height, width, 3)``.

    Room for all detections and masks is counted from the start, because they are added later,
    when the runtime has already weighed the features.
    """
    height, width = pixels.shape[:2]
    weight = next(network.backbone.parameters())
    batch, resized = _batch(network.transform, pixels, weight)
    levels = levels_of(network.backbone(batch))
    pyramid = Pyramid(
        levels=levels,
        size=(height, width),
        resized=resized,
        padded=(batch.shape[-2], batch.shape[-1]),
    )
    nbytes = sum(level.untyped_storage().nbytes() for level in levels.values())
    return Features(pyramid, nbytes + _later_bytes(network.roi_heads))


def levels_of(features: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the feature maps of a backbone; one without a pyramid has a single one."""
    return {"0": features} if isinstance(features, Tensor) else dict(features)


def _batch(transform: Any, pixels: Pixels, like: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Make the backbone's input ``(1, 3, H, W)`` with device and type of ``like``; also return
    height and width of the rescaled image."""
    image = _normalised(transform, pixels, like.device)
    batch = transform.batch_images([image], transform.size_divisible)
    narrow = batch.to(like.dtype, memory_format=torch.channels_last)
    return narrow, (image.shape[-2], image.shape[-1])


def _normalised(transform: Any, pixels: Pixels, device: torch.device) -> Tensor:
    """Make ``(3, h, w)`` bit by bit as ``GeneralizedRCNNTransform`` does, but in place: an image
    of 50 megapixels takes 0.6 GB on the way, not 1.8."""
    writable = pixels if pixels.flags.writeable else pixels.copy()  # torch warns of read-only ones
    image = torch.from_numpy(writable).to(device).permute(2, 0, 1).float().div_(255)
    mean, std = (
        torch.tensor(values, device=device)[:, None, None]
        for values in (transform.image_mean, transform.image_std)
    )
    resized, _ = transform.resize(image.sub_(mean).div_(std))
    assert isinstance(resized, Tensor)
    return resized


def _later_bytes(heads: Any) -> int:
    per_detection = 2 * 4 * 4 + 8 + 4  # two boxes, a label and a score
    if heads.has_mask():
        side = 2 * heads.mask_roi_pool.output_size[0]  # the predictor doubles it
        per_detection += side * side * 4
    return int(heads.detections_per_img) * per_detection
