"""Boxes, classes and mask probabilities from a feature pyramid, by torchvision's own heads."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import resize_boxes

from diptych_torch.faults import guarded_step

from .pyramid import Detections, Pyramid

HEAD_BATCH = 16
"""Boxes that the mask or keypoint head takes in one step."""


@guarded_step
def detect(network: Any, pyramid: Pyramid) -> Detections:
    """Find objects, once: what is found is kept in the pyramid for the next request.

    The network's own score floor and count apply: both cuts keep the best, so a request's higher
    floor is applied afterwards with the same result, whichever request was first.
    """
    if pyramid.detections is None:
        heads = network.roi_heads
        proposals, _ = network.rpn(_as_image_list(pyramid), pyramid.levels)
        logits, regression = _box_head(heads, pyramid, proposals)
        boxes, scores, labels = heads.postprocess_detections(
            logits, regression, proposals, [pyramid.resized]
        )
        pyramid.detections = Detections(
            boxes=boxes[0],
            boxes_px=resize_boxes(boxes[0], pyramid.resized, pyramid.size).cpu().numpy(),
            labels=labels[0].cpu().numpy(),
            scores=scores[0].cpu().numpy(),
        )
    return pyramid.detections


@guarded_step
def classify(
    network: Any, pyramid: Pyramid, boxes: Tensor, allowed: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Choose the best of the allowed labels for each box, and leave the box as it is.

    Args:
        network: Mask R-CNN.
        pyramid: Of the image.
        boxes: ``(N, 4)`` in pixels of the rescaled image.
        allowed: Labels to choose among, at least one; never the background.

    Returns:
        Labels ``(N,)`` int64 and their scores ``(N,)`` float32 in [0, 1].
    """
    logits, _ = _box_head(network.roi_heads, pyramid, [boxes])
    choice = torch.as_tensor(allowed, device=logits.device)
    scores, best = logits.softmax(-1)[:, choice].max(-1)
    return choice[best].cpu().numpy(), scores.cpu().numpy()


@guarded_step
def mask_probabilities(
    network: Any, pyramid: Pyramid, boxes: Tensor, labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Run the mask head on boxes.

    Args:
        network: Mask R-CNN.
        pyramid: Of the image.
        boxes: ``(N, 4)`` in pixels of the rescaled image.
        labels: ``(N,)``, the label whose mask is wanted for each box.

    Returns:
        ``(N, M, M)`` float32 in [0, 1].
    """
    heads = network.roi_heads
    crops = heads.mask_roi_pool(pyramid.levels, [boxes], [pyramid.resized])
    logits = heads.mask_predictor(heads.mask_head(crops))
    rows = torch.arange(len(labels), device=logits.device)
    chosen = logits[rows, torch.as_tensor(labels, device=logits.device)].sigmoid()
    probabilities: NDArray[np.float32] = chosen.cpu().numpy()
    return probabilities


def fill_masks(
    network: Any, pyramid: Pyramid, wanted: Iterable[int]
) -> Generator[None, None, None]:
    """Put the probability maps of these detections into ``pyramid.masks``, a batch a step."""
    found = detect(network, pyramid)
    missing = [index for index in wanted if index not in pyramid.masks]
    for batch in batches(missing):
        boxes = rows(found.boxes, batch)
        maps = mask_probabilities(network, pyramid, boxes, found.labels[batch])
        # Copies, or a map that is kept would keep its whole batch alive.
        pyramid.masks.update((index, maps[i].copy()) for i, index in enumerate(batch))
        yield


def batches(items: Sequence[int]) -> list[list[int]]:
    """Cut into lists of at most ``HEAD_BATCH``."""
    return [list(items[i : i + HEAD_BATCH]) for i in range(0, len(items), HEAD_BATCH)]


@guarded_step
def rows(tensor: Tensor, indices: Sequence[int]) -> Tensor:
    """Take rows ``(len(indices), ...)`` of a tensor, on its device."""
    return tensor[torch.as_tensor(indices, dtype=torch.int64, device=tensor.device)]


def _box_head(heads: Any, pyramid: Pyramid, boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
    crops = heads.box_roi_pool(pyramid.levels, boxes, [pyramid.resized])
    logits, regression = heads.box_predictor(heads.box_head(crops))
    return logits, regression


def _as_image_list(pyramid: Pyramid) -> ImageList:
    """Make what the region proposals read of the image: its sizes, not its pixels."""
    anything = next(iter(pyramid.levels.values()))
    shape_only = anything.new_empty(()).expand(1, 3, *pyramid.padded)
    return ImageList(shape_only, [pyramid.resized])
