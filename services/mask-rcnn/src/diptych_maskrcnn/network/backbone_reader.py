"""Which of torchvision's backbones a state dict belongs to, read off names and shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet, resnet
from torchvision.models.detection.backbone_utils import BackboneWithFPN, mobilenet_backbone

from diptych_runtime.weights import WeightsError

State = Mapping[str, Tensor]

_BACKBONE = "backbone."
_BODY = f"{_BACKBONE}body."
_FPN = f"{_BACKBONE}fpn."
_COUNTER = "num_batches_tracked"  # only trainable batch norms have it
_RESNETS = (
    *("resnet50", "resnet18", "resnet34", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *("wide_resnet50_2", "wide_resnet101_2"),
)
_MOBILENETS = ("mobilenet_v3_large", "mobilenet_v3_small", "mobilenet_v2")


@dataclass(frozen=True)
class BackboneKind:
    """A backbone of torchvision, and how it is used."""

    name: str
    """That of torchvision's function."""
    frozen: bool
    """Its batch norms are ``FrozenBatchNorm2d``."""
    levels: int
    """Feature maps that it gives."""
    build: Callable[[Callable[..., nn.Module]], nn.Module]
    """Makes it with a class of batch norms."""


def read_backbone(state: State) -> BackboneKind:
    """Find the backbone of a state dict.

    Knows ResNet, ResNeXt, wide ResNet and MobileNet under a feature pyramid, and MobileNet alone.

    Raises:
        WeightsError: it is another one.
    """
    frozen = not any(key.startswith(_BACKBONE) and key.endswith(_COUNTER) for key in state)
    if part_of(state, _FPN):
        body = part_of(state, _BODY)
        if name := _matching(body, _RESNETS, _resnet):
            return _with_pyramid(state, name, frozen, _resnet_stages)
        if name := _matching(body, _MOBILENETS, _mobilenet):
            return _with_pyramid(state, name, frozen, _mobilenet_stages)
    elif name := _matching(part_of(state, f"{_BACKBONE}0."), _MOBILENETS, _mobilenet):
        if f"{_BACKBONE}1.weight" in state:  # of a convolution; a block has no weight of its own
            build = partial(mobilenet_backbone, backbone_name=name, weights=None, fpn=False)
            return BackboneKind(name, frozen, 1, lambda norm: build(norm_layer=norm))
    elif name := _matching(part_of(state, _BACKBONE), _MOBILENETS, _mobilenet):
        return BackboneKind(name, frozen, 1, lambda norm: _features(name, norm, frozen=frozen))
    raise WeightsError(
        "the backbone of these weights is none of torchvision's that are known here: "
        f"{', '.join((*_RESNETS, *_MOBILENETS))}, with the feature pyramid of torchvision"
    )


def _with_pyramid(
    state: State, name: str, frozen: bool, stages: Callable[[nn.Module], Sequence[tuple[str, int]]]
) -> BackboneKind:
    pyramid = part_of(state, _FPN)
    inputs = [w.shape[1] for _, w in numbered(pyramid, r"inner_blocks\.(\d+)\.(?:0\.)?weight")]
    outputs = [w.shape[0] for _, w in numbered(pyramid, r"layer_blocks\.(\d+)\.(?:0\.)?weight")]
    if not inputs or not outputs:
        raise WeightsError("the feature pyramid of these weights is not torchvision's")
    pyramid_norm = nn.BatchNorm2d if "inner_blocks.0.1.weight" in pyramid else None

    def build(norm: Callable[..., nn.Module]) -> nn.Module:
        body = _resnet(name, norm) if name in _RESNETS else _mobilenet(name, norm)
        chosen = _stages_of(inputs, stages(body))
        returned = {stage: str(level) for level, stage in enumerate(chosen)}
        made: nn.Module = BackboneWithFPN(
            body, returned, inputs, outputs[0], norm_layer=pyramid_norm
        )
        return made

    return BackboneKind(name, frozen, len(inputs) + 1, build)


def _stages_of(inputs: list[int], stages: Sequence[tuple[str, int]]) -> list[str]:
    """Names of the stages whose channels the pyramid takes; the deepest ones that fit."""
    fitting = [
        [name for name, _ in some]
        for some in combinations(stages, len(inputs))
        if [channels for _, channels in some] == inputs
    ]
    if not fitting:
        raise WeightsError(f"no stages of the backbone have the pyramid's {inputs} channels")
    return fitting[-1]


def _resnet(name: str, norm: Callable[..., nn.Module] | None = None) -> nn.Module:
    made: nn.Module = getattr(resnet, name)(weights=None, norm_layer=norm)
    return made


def _mobilenet(name: str, norm: Callable[..., nn.Module] | None = None) -> nn.Module:
    made: nn.Module = getattr(mobilenet, name)(weights=None, norm_layer=norm).features
    return made


def _features(name: str, norm: Callable[..., nn.Module], *, frozen: bool) -> nn.Module:
    """The features of a classifier alone; trainable norms are as that classifier has them."""
    made: Any = _mobilenet(name, norm if frozen else None)
    made.out_channels = made[-1].out_channels
    module: nn.Module = made
    return module


def _resnet_stages(body: Any) -> list[tuple[str, int]]:
    return [(f"layer{n}", body.inplanes // 2 ** (4 - n)) for n in (1, 2, 3, 4)]


def _mobilenet_stages(body: Any) -> list[tuple[str, int]]:
    last = len(body) - 1
    return [
        (str(i), block.out_channels)
        for i, block in enumerate(body)
        if i in (0, last) or getattr(block, "_is_cn", False)
    ]


def _matching(part: State, names: Sequence[str], build: Callable[[str], nn.Module]) -> str | None:
    """The first network of which ``part`` is the beginning: as far as it goes, and nothing else."""
    shapes = _shapes(part)
    if not shapes:
        return None
    modules = {key.partition(".")[0] for key in shapes}
    for name in names:
        whole = _shapes_of(build, name)
        if shapes == {k: shape for k, shape in whole.items() if k.partition(".")[0] in modules}:
            return name
    return None


@cache
def _shapes_of(build: Callable[[str], nn.Module], name: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return _shapes(build(name).state_dict())


def _shapes(part: State) -> dict[str, tuple[int, ...]]:
    return {k: tuple(v.shape) for k, v in part.items() if not k.endswith(_COUNTER)}


def part_of(state: State, prefix: str) -> dict[str, Tensor]:
    """Take the tensors below a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def numbered(part: State, pattern: str) -> list[tuple[int, Tensor]]:
    """List the tensors whose names are a pattern around a number, by that number."""
    found = ((re.fullmatch(pattern, key), value) for key, value in part.items())
    return sorted((int(match[1]), value) for match, value in found if match)
