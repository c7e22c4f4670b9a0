"""A loaded torchvision network, rewritten to answer the same in less time.

Every module that is replaced keeps its face, so the rest of the engine and torchvision's own code
work with a network whether or not it was rewritten.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d

from diptych_runtime.engine import Tier

from .backbone import LeanBackbone
from .roi_pool import RoiPool

_POOLS = ("box_roi_pool", "mask_roi_pool", "keypoint_roi_pool")
_HEADS = {  # the part in bfloat16, and the part from which on numbers are float32 again
    "box_head": "box_head",
    "mask_head": "mask_predictor",
    "keypoint_head": "keypoint_predictor",
}


def rewrite(network: Any, tier: Tier) -> None:
    """Rewrite a network in place, on its device.

    In both tiers batch norms become part of their convolutions, channels lie side by side in
    memory, and the backbone and the RoI pools are ours. In the fast tier convolutions and the
    hidden linear layers are computed in bfloat16; what is made of their results is not: objectness,
    boxes, suppression, classes and mask probabilities.
    """
    fold_batch_norms(network)
    if isinstance(network.backbone, BackboneWithFPN):
        network.backbone = LeanBackbone(network.backbone)
    network.to(memory_format=torch.channels_last)
    for name in _POOLS:
        stock = getattr(network.roi_heads, name)
        if stock is not None:
            setattr(network.roi_heads, name, RoiPool(stock))
    if isinstance(network.roi_heads.box_head, TwoMLPHead):
        network.roi_heads.box_head = _BoxHead(
            network.roi_heads.box_head, network.backbone.out_channels
        )
    if tier is Tier.FAST:
        _use_bfloat16(network)


def fold_batch_norms(module: nn.Module) -> None:
    """Multiply every batch norm into the convolution that is registered right before it.

    In all networks that ``build`` makes that is the one whose output it gets.
    """
    for (_, conv), (name, norm) in pairwise(list(module.named_children())):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d):
            _fold(conv, norm)
            setattr(module, name, nn.Identity())
    for child in module.children():
        fold_batch_norms(child)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d | FrozenBatchNorm2d) -> None:
    mean, variance, weight, bias = (
        getattr(norm, name).double() for name in ("running_mean", "running_var", "weight", "bias")
    )
    scale = weight / (variance + norm.eps).sqrt()
    shift = bias - mean * scale
    if conv.bias is not None:
        shift += conv.bias.double() * scale
    filters = conv.weight.double() * scale[:, None, None, None]
    conv.weight = nn.Parameter(filters.to(conv.weight.dtype), requires_grad=False)
    conv.bias = nn.Parameter(shift.to(conv.weight.dtype), requires_grad=False)


def _use_bfloat16(network: Any) -> None:
    network.backbone.bfloat16()
    network.rpn.head = _Widened(network.rpn.head.bfloat16())
    network.rpn.anchor_generator = _Float32Anchors(network.rpn.anchor_generator)
    heads = network.roi_heads
    for first, last in _HEADS.items():
        if getattr(heads, first, None) is not None:
            getattr(heads, first).bfloat16()
            setattr(heads, last, _Widened(getattr(heads, last).bfloat16()))


class _BoxHead(nn.Module):
    """A ``TwoMLPHead`` that reads pooled regions as they lie in memory, channels last."""

    def __init__(self, stock: TwoMLPHead, channels: int) -> None:
        super().__init__()
        self.fc6, self.fc7 = stock.fc6, stock.fc7
        by_cell = stock.fc6.weight.unflatten(1, (channels, -1)).transpose(1, 2).flatten(1)
        self.fc6.weight = nn.Parameter(by_cell.contiguous(), requires_grad=False)

    def forward(self, regions: Tensor) -> Tensor:
        """Turn ``(N, C, rows, columns)`` into ``(N, features)``."""
        hidden = self.fc6(regions.permute(0, 2, 3, 1).flatten(1)).relu_()
        features: Tensor = self.fc7(hidden).relu_()
        return features


class _Widened(nn.Module):
    """A module in bfloat16 whose answer, a tensor or lists of them, is float32."""

    def __init__(self, narrow: nn.Module) -> None:
        super().__init__()
        self.narrow = narrow

    def forward(self, given: Any) -> Any:
        return _widened(self.narrow(given))


def _widened(answer: Any) -> Any:
    if isinstance(answer, Tensor):
        return answer.float()
    return type(answer)(_widened(part) for part in answer)


class _Float32Anchors(nn.Module):
    """Anchors of an ``AnchorGenerator``, which by itself makes them as narrow as the features."""

    def __init__(self, stock: AnchorGenerator) -> None:
        super().__init__()
        self.stock = stock

    def forward(self, images: ImageList, levels: list[Tensor]) -> list[Tensor]:
        shapes = [level.new_empty((), dtype=torch.float32).expand(level.shape) for level in levels]
        anchors: list[Tensor] = self.stock(images, shapes)
        return anchors
