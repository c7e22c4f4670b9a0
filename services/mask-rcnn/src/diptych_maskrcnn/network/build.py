"""Networks for weights: which architecture a state dict belongs to, and how to build it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torchvision.models.detection import KeypointRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from diptych_runtime.engine import Fact
from diptych_runtime.weights import WeightsError
from diptych_torch.weights import begins_with, load_into

from . import demo_model
from .anchors import anchors_of
from .backbone_reader import BackboneKind, State, read_backbone
from .heads import (
    ANCHORS_KEY,
    CLASSES_KEY,
    KEYPOINTS_KEY,
    MASK_KEY,
    box_pool_side,
    keypoint_heads,
    mask_heads,
    shared_heads,
)
from .norms import check_norms, norm_eps, set_eps
from .pyramid import levels_of
from .told import PASSED, Given

_SQUARE = 256  # pixels, a multiple of every stride
_DEMO_KEY = "backbone.body.stem.0.weight"
_MASK_POOL = 14
_POOLED = ["0", "1", "2", "3"]
_SAMPLES = 2
_OF_ANSWERS = {"keypoint_names", "keypoint_edges"}


@dataclass(frozen=True)
class Built:
    """A network in eval mode, on the CPU in float32, and what is known of it."""

    module: Any
    facts: tuple[Fact, ...] = ()


def label_count(state: State) -> int:
    """Count the labels that the box head tells apart, the background included.

    Raises:
        WeightsError: there is no box head.
    """
    if CLASSES_KEY not in state or ANCHORS_KEY not in state:
        missing = CLASSES_KEY if CLASSES_KEY not in state else ANCHORS_KEY
        raise WeightsError(
            f"these are no weights of a torchvision R-CNN: {missing} is missing, "
            f"they begin with {begins_with(state)}"
        )
    return state[CLASSES_KEY].shape[0]


def build_mask(state: State, given: Given | None = None) -> Built:
    """Build the Mask R-CNN that ``state`` belongs to.

    Knows the demo network and what torchvision's own functions build, with any number of classes;
    sizes of heads are read off the weights.

    Args:
        state: The weights.
        given: What else is known of the network.

    Raises:
        WeightsError: ``state`` fits none of them, or what is told does not fit it.
    """
    label_count(state)
    if MASK_KEY not in state:
        raise WeightsError("these weights have no mask head; Mask R-CNN weights are needed")
    if _DEMO_KEY in state:
        return _demo(demo_model.build_mask, state, given)

    def make(backbone: Any, **arguments: Any) -> nn.Module:
        made: nn.Module = MaskRCNN(
            backbone,
            mask_roi_pool=_pool(_MASK_POOL),
            **mask_heads(state, backbone.out_channels),
            **arguments,
        )
        return made

    return _built(make, state, given or Given())


def build_keypoint(state: State, given: Given | None = None) -> Built:
    """Build the Keypoint R-CNN that ``state`` belongs to, as ``build_mask`` does for masks, with
    any number of points.

    Raises:
        WeightsError: ``state`` fits none, or what is told does not fit it.
    """
    label_count(state)
    if KEYPOINTS_KEY not in state:
        raise WeightsError("these weights have no keypoint head; Keypoint R-CNN weights are needed")
    if _DEMO_KEY in state:
        return _demo(demo_model.build_keypoint, state, given)

    def make(backbone: Any, **arguments: Any) -> nn.Module:
        made: nn.Module = KeypointRCNN(
            backbone,
            keypoint_roi_pool=_pool(_MASK_POOL),
            **keypoint_heads(state, backbone.out_channels),
            **arguments,
        )
        return made

    return _built(make, state, given or Given())


def _demo(build: Callable[[], nn.Module], state: State, given: Given | None) -> Built:
    told = given.told.given if given else {}
    if given and (own := sorted(set(told) - _OF_ANSWERS)):
        raise WeightsError(f"{given.file}: the demo network has its own {', '.join(own)}")
    return Built(_loaded(build(), state), (Fact("network", "the demo network", "known"),))


def _built(make: Callable[..., nn.Module], state: State, given: Given) -> Built:
    kind = read_backbone(state)
    eps = norm_eps(kind, state, given)
    backbone: Any = kind.build(FrozenBatchNorm2d if kind.frozen else nn.BatchNorm2d)
    if eps is not None:
        set_eps(backbone, float(eps.value))
    anchors = anchors_of(kind.levels, state[ANCHORS_KEY].shape[0], given)
    told = given.told.given
    module: Any = make(
        backbone,
        rpn_anchor_generator=AnchorGenerator(anchors.sizes, anchors.ratios),
        box_roi_pool=_pool(box_pool_side(state, backbone.out_channels)),
        **shared_heads(state, backbone.out_channels),
        **{name: told[name] for name in PASSED if name in told},
    )
    transform = module.transform
    sizes = {"min_size": transform.min_size[-1], "max_size": transform.max_size}
    colours = {"image_mean": transform.image_mean, "image_std": transform.image_std}
    facts = (
        Fact("network", _description(kind, backbone), "known"),
        *(given.fact(name, value) for name, value in {**sizes, **colours}.items()),
        *anchors.facts,
        *((eps,) if eps else ()),
    )
    shown = {fact.name for fact in facts}
    others = (given.fact(name, told[name]) for name in PASSED if name in told and name not in shown)
    return Built(_loaded(module, state), (*facts, *others))


def _pool(side: int) -> MultiScaleRoIAlign:
    return MultiScaleRoIAlign(_POOLED, side, _SAMPLES)


def _description(kind: BackboneKind, backbone: Any) -> str:
    norms = "frozen" if kind.frozen else "trainable"
    levels = f"{kind.levels} levels" if kind.levels > 1 else "one level"
    return f"{kind.name}, {norms} batch norms, {levels} of {backbone.out_channels} channels"


def _loaded(network: Any, state: State) -> Any:
    load_into(network, state, "the network")
    check_norms(network)
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
    levels = levels_of(network.backbone(torch.zeros(1, 3, _SQUARE, _SQUARE)))
    if not all(bool(torch.isfinite(level).all()) for level in levels.values()):
        raise WeightsError("the backbone makes no numbers of a black picture")
    box = torch.tensor([[0.0, 0.0, _SQUARE, _SQUARE]])
    for name in ("box_roi_pool", "mask_roi_pool", "keypoint_roi_pool"):
        pool = getattr(network.roi_heads, name)
        if pool is not None:
            pool(levels, [box], [(_SQUARE, _SQUARE)])
