"""Networks for weights: which architecture a state dict belongs to, and how to build it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import KeypointRCNN, MaskRCNN, maskrcnn_resnet50_fpn_v2
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from diptych_runtime.weights import WeightsError
from diptych_torch.weights import load_into

from . import demo_model

State = Mapping[str, Tensor]

_SQUARE = 256  # pixels, a multiple of every stride
_DEMO_KEY = "backbone.body.stem.0.weight"
_RESNET_KEY = "backbone.body.layer4.2.conv3.weight"
_SECOND_RPN_CONV = "rpn.head.conv.1.0.weight"  # only version 2 has it
_BATCH_COUNTER = "backbone.body.bn1.num_batches_tracked"  # only trainable batch norms have it
CLASSES_KEY = "roi_heads.box_predictor.cls_score.weight"
"""The name of a tensor that every network here has."""
_MASK_KEY = "roi_heads.mask_predictor.mask_fcn_logits.weight"
_KEYPOINTS_KEY = "roi_heads.keypoint_predictor.kps_score_lowres.weight"


def label_count(state: State) -> int:
    """Count the labels that the box head tells apart, the background included.

    Raises:
        WeightsError: there is no box head.
    """
    if CLASSES_KEY not in state:
        raise WeightsError(f"these are no weights of a torchvision R-CNN: {CLASSES_KEY} is missing")
    return state[CLASSES_KEY].shape[0]


def build_mask(state: State) -> MaskRCNN:
    """Build the Mask R-CNN that ``state`` belongs to, in eval mode, on the CPU in float32.

    Knows the demo network and torchvision's ResNet-50 FPN in version 1 and 2, with any number of
    classes.

    Raises:
        WeightsError: ``state`` fits none of them.
    """
    labels = label_count(state)
    if _MASK_KEY not in state:
        raise WeightsError("these weights have no mask head; Mask R-CNN weights are needed")
    if _DEMO_KEY in state:
        network: Any = demo_model.build_mask()
    elif _SECOND_RPN_CONV in state:
        network = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=labels)
    else:
        network = MaskRCNN(_resnet50_fpn(state), num_classes=labels)
    return _loaded(network, state)


def build_keypoint(state: State) -> KeypointRCNN:
    """Build the Keypoint R-CNN that ``state`` belongs to, as ``build_mask`` does for masks.

    Raises:
        WeightsError: ``state`` fits none, or is not of people with 17 points.
    """
    labels = label_count(state)
    if _KEYPOINTS_KEY not in state:
        raise WeightsError("these weights have no keypoint head; Keypoint R-CNN weights are needed")
    points = state[_KEYPOINTS_KEY].shape[1]  # of a transposed convolution: inputs, outputs
    if (labels, points) != (2, 17):
        raise WeightsError(
            "keypoint weights: expected people with the 17 COCO points, "
            f"found {labels - 1} classes with {points} points"
        )
    if _DEMO_KEY in state:
        return _loaded(demo_model.build_keypoint(), state)
    return _loaded(KeypointRCNN(_resnet50_fpn(state), num_classes=2, num_keypoints=17), state)


def _resnet50_fpn(state: State) -> nn.Module:
    if _RESNET_KEY not in state:
        raise WeightsError("the backbone of these weights is not torchvision's ResNet-50 FPN")
    if _BATCH_COUNTER in state:
        trainable: nn.Module = resnet_fpn_backbone(
            backbone_name="resnet50", weights=None, norm_layer=nn.BatchNorm2d
        )
        return trainable
    frozen: nn.Module = resnet_fpn_backbone(backbone_name="resnet50", weights=None)
    for module in frozen.modules():
        if isinstance(module, FrozenBatchNorm2d):
            # The published weights were trained with 0, torchvision sets it when it loads them;
            # with the default of 1e-5 every score changes.
            module.eps = 0.0
    return frozen


def _loaded(network: Any, state: State) -> Any:
    load_into(network, state, "the network")
    network.eval().requires_grad_(False)
    _settle_strides(network)
    return network


@torch.inference_mode()
def _settle_strides(network: Any) -> None:
    """Show the RoI pools a square image before all others.

    A pool guesses the strides of the pyramid from its first image and keeps them for good. From
    a narrow one, much of which is padding, it guesses wrong: a first image of 16 x 320 pixels
    would spoil every later answer of the process.
    """
    levels = network.backbone(torch.zeros(1, 3, _SQUARE, _SQUARE))
    box = torch.tensor([[0.0, 0.0, _SQUARE, _SQUARE]])
    for name in ("box_roi_pool", "mask_roi_pool", "keypoint_roi_pool"):
        pool = getattr(network.roi_heads, name)
        if pool is not None:
            pool(levels, [box], [(_SQUARE, _SQUARE)])
