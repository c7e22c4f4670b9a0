"""The demo networks: torchvision's Mask R-CNN and Keypoint R-CNN over a narrow residual backbone.

Both take images of any size, rescale them to fit 256 pixels, and hold about 1.9 M parameters.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import KeypointRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead

DEMO_CATEGORIES: tuple[str, ...] = (
    "ball",
    "box",
    "triangle",
    "star",
    "ring",
    "ellipse",
    "cross",
    "person",
)
"""Names of the labels: ``DEMO_CATEGORIES[i]`` is label ``i + 1``, label 0 is the background."""

_WIDTHS = (16, 32, 64, 96, 128)  # stem, c2, c3, c4, c5
_FPN_WIDTH = 64
_BOX_HIDDEN = 256
_HEAD_WIDTH = 64
_ROI_CELLS = 7 * 7
_KEYPOINTS = 17
_SIDE = 256  # pixels, both the shorter and the longer side of the rescaled image


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Chain a 3x3 convolution, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """Two 3x3 convolutions around a skip, shape kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(width, width),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, width, H, W)`` to the same shape."""
        return torch.relu(x + self.body(x))


def _backbone() -> nn.Module:
    """Build a pyramid with 64 channels at strides 8, 16 and 32, and a pooled level at 64."""
    stem, c2, c3, c4, c5 = _WIDTHS
    body = nn.Sequential(
        OrderedDict(
            stem=_conv(3, stem, 2),
            c2=_conv(stem, c2, 2),
            c3=nn.Sequential(_conv(c2, c3, 2), _Residual(c3)),
            c4=nn.Sequential(_conv(c3, c4, 2), _Residual(c4)),
            c5=nn.Sequential(_conv(c4, c5, 2), _Residual(c5)),
        )
    )
    levels = {"c3": "0", "c4": "1", "c5": "2"}
    pyramid: nn.Module = BackboneWithFPN(
        body, levels, [c3, c4, c5], _FPN_WIDTH, norm_layer=nn.BatchNorm2d
    )
    return pyramid


def _shared(classes: int) -> dict[str, Any]:
    """Make the arguments that both detectors share; ``classes`` counts the background."""
    shapes = ((0.5, 1.0, 2.0),) * 4
    return {
        "min_size": _SIDE,
        "max_size": _SIDE,
        "rpn_anchor_generator": AnchorGenerator(((32,), (64,), (128,), (200,)), shapes),
        "rpn_head": RPNHead(_FPN_WIDTH, 3),
        "rpn_pre_nms_top_n_train": 400,
        "rpn_pre_nms_top_n_test": 200,
        "rpn_post_nms_top_n_train": 200,
        "rpn_post_nms_top_n_test": 100,
        "rpn_batch_size_per_image": 128,
        "box_head": TwoMLPHead(_FPN_WIDTH * _ROI_CELLS, _BOX_HIDDEN),
        "box_predictor": FastRCNNPredictor(_BOX_HIDDEN, classes),
        "box_batch_size_per_image": 64,
        "box_detections_per_img": 20,
    }


def build_mask() -> MaskRCNN:
    """Build Mask R-CNN for the eight demo categories, in eval mode, with random weights."""
    classes = len(DEMO_CATEGORIES) + 1
    model = MaskRCNN(
        _backbone(),
        mask_head=MaskRCNNHeads(_FPN_WIDTH, (_HEAD_WIDTH, _HEAD_WIDTH), 1),
        mask_predictor=MaskRCNNPredictor(_HEAD_WIDTH, _HEAD_WIDTH, classes),
        **_shared(classes),
    )
    return model.eval()


def build_keypoint() -> KeypointRCNN:
    """Build Keypoint R-CNN for people with the 17 COCO points, in eval mode, with random
    weights."""
    model = KeypointRCNN(
        _backbone(),
        keypoint_head=KeypointRCNNHeads(_FPN_WIDTH, (_HEAD_WIDTH,) * 3),
        keypoint_predictor=KeypointRCNNPredictor(_HEAD_WIDTH, _KEYPOINTS),
        **_shared(classes=2),
    )
    return model.eval()
