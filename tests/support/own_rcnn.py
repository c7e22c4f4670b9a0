"""R-CNNs as people make them with torchvision: built, trained for one step, and saved."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rcnn_cases import as_image, scene
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet18
from torchvision.models.detection import KeypointRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import (
    _resnet_fpn_extractor,
    mobilenet_backbone,
    resnet_fpn_backbone,
)
from torchvision.models.detection.faster_rcnn import (
    FastRCNNConvFCHead,
    FastRCNNPredictor,
    TwoMLPHead,
)
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FrozenBatchNorm2d

from diptych_runtime.engine import Pixels

CLASSES = ("cat", "dog")
LABELS = len(CLASSES) + 1
SIZES = {"min_size": 96, "max_size": 160}
FEW = {
    "rpn_pre_nms_top_n_test": 100,
    "rpn_post_nms_top_n_test": 40,
    "box_detections_per_img": 12,
    "box_score_thresh": 0.001,
}
"""Less work, and answers though next to nothing was learned."""
IN_TRAINING = {
    "rpn_pre_nms_top_n_train": 100,
    "rpn_post_nms_top_n_train": 40,
    "box_batch_size_per_image": 16,
}
TOLD = "\n".join(f"{key} = {value}" for key, value in (SIZES | FEW).items()) + "\n"
HALF = [0.5, 0.5, 0.5]
FIFTEEN = ((32, 64, 128, 256, 512),)
RATIOS = ((0.5, 1.0, 2.0),)
POINTS = ("nose", "hand", "foot")


@dataclass(frozen=True)
class Origin:
    """How a checkpoint comes to be, and what its owner says of it."""

    build: Callable[[], Any]
    save: Callable[[Any, Any], object]
    told: str = TOLD


def small(build: Callable[..., Any], backbone: Any, **arguments: Any) -> Any:
    """A network whose box head is narrow, so that it is quickly built and saved."""
    heads = {
        "box_head": TwoMLPHead(backbone.out_channels * 49, 64),
        "box_predictor": FastRCNNPredictor(64, LABELS),
    }
    return build(backbone, **SIZES | FEW | IN_TRAINING | heads | arguments)


def resnet(name: str, **arguments: Any) -> Any:
    """A ResNet with a pyramid; frozen norms have statistics, or activations would explode."""
    backbone = resnet_fpn_backbone(backbone_name=name, weights=None, **arguments)
    for norm in backbone.modules():
        if isinstance(norm, FrozenBatchNorm2d):
            norm.running_var.uniform_(0.5, 2)
            norm.weight.fill_(0.3)
    return backbone


def masks(backbone: Any, hidden: int = 256, **arguments: Any) -> Any:
    """A Mask R-CNN over a backbone, its head for masks narrow."""
    heads = {
        "mask_head": MaskRCNNHeads(backbone.out_channels, (64, 64), 1),
        "mask_predictor": MaskRCNNPredictor(64, hidden, LABELS),
    }
    return small(MaskRCNN, backbone, **heads | arguments)


def tutorial() -> Any:
    """As the tutorial on fine-tuning: predictors of one's own on a network for 91 classes."""
    module = MaskRCNN(resnet("resnet18"), 91, **SIZES | FEW | IN_TRAINING)
    module.roi_heads.box_predictor = FastRCNNPredictor(1024, LABELS)
    module.roi_heads.mask_predictor = MaskRCNNPredictor(256, 64, LABELS)
    return module


def own_anchors() -> Any:
    sizes = ((8,), (16,), (32,), (64,), (96,))
    ratios = ((0.25, 0.5, 1.0, 2.0, 4.0),) * 5
    anchors = AnchorGenerator(sizes, ratios)
    return masks(resnet("resnet34"), rpn_anchor_generator=anchors, image_mean=HALF, image_std=HALF)


def second_version() -> Any:
    """As ``maskrcnn_resnet50_fpn_v2``: trainable norms everywhere, deeper heads; narrower here."""
    body = resnet18(weights=None, norm_layer=nn.BatchNorm2d)
    backbone = _resnet_fpn_extractor(body, 5, norm_layer=nn.BatchNorm2d)
    norm = {"norm_layer": nn.BatchNorm2d}
    return masks(
        backbone,
        rpn_head=RPNHead(256, 3, conv_depth=2),
        box_head=FastRCNNConvFCHead((256, 7, 7), [64, 64], [64], **norm),
        mask_head=MaskRCNNHeads(256, [64, 64], 1, **norm),
    )


def features_alone() -> Any:
    """As torchvision's documentation of Mask R-CNN builds one of its own."""
    backbone: Any = mobilenet_v2(weights=None).features
    backbone.out_channels = 1280
    return masks(backbone, rpn_anchor_generator=AnchorGenerator(FIFTEEN, RATIOS))


def mobile(name: str, *, fpn: bool, levels: int, **more: Any) -> Any:
    backbone = mobilenet_backbone(
        backbone_name=name, weights=None, fpn=fpn, trainable_layers=3, **more
    )
    anchors = AnchorGenerator(FIFTEEN * levels, RATIOS * levels)
    return masks(backbone, rpn_anchor_generator=anchors)


def dead_channel() -> Any:
    """A ResNet-50 with a channel that never fires, as pretrained backbones have some."""
    module = masks(resnet("resnet50"))
    module.backbone.body.bn1.running_var[3] = 0
    module.backbone.body.bn1.weight[3] = 1e-8
    return module


def from_published() -> Any:
    """Started from the published network of version 1, whose norms divide by bare variances."""
    module = masks(resnet("resnet18"))
    for norm in module.modules():
        if isinstance(norm, FrozenBatchNorm2d):
            norm.running_var.uniform_(0.0005, 0.02)
            norm.weight.fill_(0.02)
            norm.eps = 0.0
    return module


def points() -> Any:
    return small(KeypointRCNN, resnet("resnet18"), num_keypoints=len(POINTS))


def reference(module: Any, optimizer: Any) -> object:
    """What torchvision's reference script saves."""
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [16, 22])
    return {
        "model": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": schedule.state_dict(),
        "args": argparse.Namespace(model="maskrcnn_resnet50_fpn", weights=None, output_dir="."),
        "epoch": 0,
    }


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in state.items()}


def plain(module: Any, _: Any) -> object:
    return module.state_dict()


def averaged(module: Any, _: Any) -> object:
    average = torch.optim.swa_utils.AveragedModel(module)
    return {"model_ema": average.state_dict(), "epoch": 0}


ORIGINS = {
    "tutorial": Origin(tutorial, plain),
    "reference script": Origin(
        lambda: masks(resnet("resnet18", norm_layer=nn.BatchNorm2d), hidden=48), reference
    ),
    "version 2": Origin(
        second_version, lambda module, _: {"model_state_dict": module.state_dict(), "loss": 0.5}
    ),
    "own anchors": Origin(
        own_anchors,
        lambda module, _: nn.DataParallel(module).state_dict(),
        TOLD + "image_mean = [0.5, 0.5, 0.5]\nimage_std = [0.5, 0.5, 0.5]\n"
        "anchor_sizes = [8, 16, 32, 64, 96]\naspect_ratios = [0.25, 0.5, 1, 2, 4]\n",
    ),
    "Lightning": Origin(
        lambda: mobile("mobilenet_v3_large", fpn=True, levels=3),
        lambda module, _: {"state_dict": prefixed("model.", module.state_dict()), "epoch": 0},
    ),
    "compiled": Origin(features_alone, lambda m, _: prefixed("_orig_mod.", m.state_dict())),
    "average": Origin(
        lambda: mobile("mobilenet_v3_small", fpn=False, levels=1, norm_layer=nn.BatchNorm2d),
        averaged,
    ),
    "whole model": Origin(
        lambda: masks(
            resnet("resnet18", returned_layers=[2, 3, 4]),
            rpn_anchor_generator=AnchorGenerator(((16,), (32,), (64,), (128,)), RATIOS * 4),
        ),
        lambda module, _: module,
        TOLD + "anchor_sizes = [16, 32, 64, 128]\n",
    ),
    "dead channel": Origin(dead_channel, plain),
    "from published weights": Origin(from_published, plain, TOLD + "batch_norm_eps = 0.0\n"),
}


def cut(number: int) -> Pixels:
    """A part of a drawn scene, 128 pixels wide and 112 high."""
    return np.ascontiguousarray(scene(number)[70:182, 60:188])


def train(module: Any, *, keypoints: int = 0) -> Any:
    """Train for one step on one drawn scene, by torchvision's own losses; returns the optimizer."""
    target = {
        "boxes": torch.tensor([[10.0, 15.0, 60.0, 70.0], [50.0, 45.0, 110.0, 105.0]]),
        "labels": torch.tensor([1, LABELS - 1]),
        "masks": torch.zeros(2, 112, 128, dtype=torch.uint8),
    }
    target["masks"][0, 15:70, 10:60] = 1
    target["masks"][1, 45:105, 50:110] = 1
    if keypoints:
        places = torch.tensor([[20.0, 30.0, 1.0], [60.0, 70.0, 1.0]] * keypoints)
        target["keypoints"] = places[: 2 * keypoints].view(2, keypoints, 3)
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=1e-3)
    losses = module.train()([as_image(cut(0))], [target])
    sum(losses.values()).backward()
    optimizer.step()
    module.eval()
    return optimizer


def spread(module: Any) -> None:
    """Set scores apart, which after one step would be nearly equal: their order would depend on
    rounding."""
    with torch.no_grad():
        module.rpn.head.cls_logits.weight.mul_(30)
        module.roi_heads.box_predictor.cls_score.weight.mul_(5)


def make(origin: Origin, path: Path, *, keypoints: int = 0) -> Any:
    """Build, train and save; returns the network as it was saved, in eval mode."""
    torch.manual_seed(7)
    module = origin.build()
    spread(module)
    optimizer = train(module, keypoints=keypoints)
    torch.save(origin.save(module, optimizer), path)
    path.with_suffix(".model.toml").write_text(origin.told)
    path.with_suffix(".classes.txt").write_text("\n".join(CLASSES))
    return module
