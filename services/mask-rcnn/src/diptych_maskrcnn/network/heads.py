"""Heads of torchvision's R-CNNs for a state dict: how many layers, how wide."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import (
    FastRCNNConvFCHead,
    FastRCNNPredictor,
    TwoMLPHead,
)
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead

from diptych_runtime.weights import WeightsError

from .backbone_reader import State, numbered, part_of

CLASSES_KEY = "roi_heads.box_predictor.cls_score.weight"
"""The name of a tensor that every network here has."""
ANCHORS_KEY = "rpn.head.cls_logits.weight"
MASK_KEY = "roi_heads.mask_predictor.mask_fcn_logits.weight"
KEYPOINTS_KEY = "roi_heads.keypoint_predictor.kps_score_lowres.weight"

_MASK_HIDDEN_KEY = "roi_heads.mask_predictor.conv5_mask.weight"
_HIDDEN = "fc6.weight"
_RPN = "rpn.head."
_BOX_HEAD = "roi_heads.box_head."
_MASK_HEAD = "roi_heads.mask_head."
_KEYPOINT_HEAD = "roi_heads.keypoint_head."


def shared_heads(state: State, channels: int) -> dict[str, Any]:
    """Make the arguments of both kinds of network, for levels of so many channels.

    Raises:
        WeightsError: the box head is none of torchvision's, or of a pyramid of other channels.
    """
    depth = len(numbered(part_of(state, _RPN), r"conv\.(\d+)\.0\.weight")) or 1
    labels, width = state[CLASSES_KEY].shape
    return {
        "rpn_head": RPNHead(channels, state[ANCHORS_KEY].shape[0], depth),
        "box_head": _box_head(state, channels),
        "box_predictor": FastRCNNPredictor(width, labels),
    }


def mask_heads(state: State, channels: int) -> dict[str, Any]:
    """Make the arguments that a Mask R-CNN has beside the shared ones.

    Raises:
        WeightsError: there is no such head.
    """
    part = part_of(state, _MASK_HEAD)
    # Version 1 of torchvision calls its layers otherwise, and reads both.
    layers = numbered(part, r"(?:mask_fcn)?(\d+)\.(?:0\.)?weight")
    if not layers or _MASK_HIDDEN_KEY not in state:
        raise WeightsError(f"the mask head of these weights is not torchvision's: {_found(part)}")
    hidden, labels = state[MASK_KEY].shape[1], state[MASK_KEY].shape[0]
    norm = nn.BatchNorm2d if "0.1.weight" in part else None
    widths = [weight.shape[0] for _, weight in layers]
    return {
        "mask_head": MaskRCNNHeads(channels, widths, 1, norm_layer=norm),
        "mask_predictor": MaskRCNNPredictor(widths[-1], hidden, labels),
    }


def keypoint_heads(state: State, channels: int) -> dict[str, Any]:
    """Make the arguments that a Keypoint R-CNN has beside the shared ones.

    Raises:
        WeightsError: there is no such head.
    """
    part = part_of(state, _KEYPOINT_HEAD)
    layers = numbered(part, r"(\d+)\.weight")
    if not layers:
        raise WeightsError(
            f"the keypoint head of these weights is not torchvision's: {_found(part)}"
        )
    widths = [weight.shape[0] for _, weight in layers]
    return {
        "keypoint_head": KeypointRCNNHeads(channels, widths),
        "keypoint_predictor": KeypointRCNNPredictor(widths[-1], point_count(state)),
    }


def box_pool_side(state: State, channels: int) -> int:
    """Return the cells along a side of what the box head pools.

    Raises:
        WeightsError: no square of cells fits, or the head is none of torchvision's.
    """
    part = part_of(state, _BOX_HEAD)
    convolutions, layers = _box_layers(part)
    if not layers:
        raise WeightsError(f"the box head of these weights is not torchvision's: {_found(part)}")
    return _cells(layers[0].shape[1], convolutions[-1] if convolutions else channels)


def point_count(state: State) -> int:
    """Count the points of a keypoint network."""
    return state[KEYPOINTS_KEY].shape[1]  # of a transposed convolution: inputs, outputs


def _box_head(state: State, channels: int) -> nn.Module:
    part, side = part_of(state, _BOX_HEAD), box_pool_side(state, channels)
    convolutions, layers = _box_layers(part)
    widths = [weight.shape[0] for weight in layers]
    if _HIDDEN in part:
        made: nn.Module = TwoMLPHead(channels * side * side, widths[0])
        return made
    norm = nn.BatchNorm2d if "0.1.weight" in part else None
    made = FastRCNNConvFCHead((channels, side, side), convolutions, widths, norm_layer=norm)
    return made


def _box_layers(part: State) -> tuple[list[int], list[Tensor]]:
    """Channels of the convolutions, and the weights of the linear layers."""
    if _HIDDEN in part:
        return [], [part[_HIDDEN]]
    convolutions = [weight.shape[0] for _, weight in numbered(part, r"(\d+)\.0\.weight")]
    return convolutions, [weight for _, weight in numbered(part, r"(\d+)\.weight")]


def _cells(inputs: int, channels: int) -> int:
    side = math.isqrt(inputs // channels)
    if side * side * channels != inputs:
        raise WeightsError(
            f"the box head of these weights takes {inputs} numbers, which are no square of "
            f"{channels} channels"
        )
    return side


def _found(part: State) -> str:
    return f"it has {', '.join(list(part)[:3])}" if part else "there is none"
