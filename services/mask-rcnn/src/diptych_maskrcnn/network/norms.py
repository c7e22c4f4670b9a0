"""How the batch norms of a backbone avoid a division by zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from diptych_runtime.engine import Fact
from diptych_runtime.weights import WeightsError

from .backbone_reader import BackboneKind, State
from .told import Given, as_toml

EPS_KEY = "batch_norm_eps"

_PUBLISHED_EPS = 0.0
_DEFAULT_EPS = 1e-5
_FIRST_KEY = "backbone.body.conv1.weight"
_FIRST = (
    (1.3335e-02, 1.4664e-02, -1.5351e-02, -4.0896e-02, -4.3034e-02, -7.0755e-02),
    (4.1205e-03, 5.8477e-03, 1.4948e-02, 2.2060e-03, -2.0912e-02, -3.8517e-02),
    (2.2331e-02, 2.3595e-02, 1.6120e-02, 1.0281e-01, 6.2641e-02, 5.1977e-02),
)
"""The beginning of the first layer of torchvision's first ResNet-50 for ImageNet, the fourth column
left out, as documentation of several public projects prints it. The published detectors of version
1 started from it, and kept this layer."""
_ALIKE = 0.9
_PUBLISHED_MODELS = ("maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn")


def norm_eps(kind: BackboneKind, state: State, given: Given) -> Fact | None:
    """Say the eps of a backbone's batch norms; ``None`` for what torchvision makes trainable ones
    with."""
    if given.told.batch_norm_eps is not None:
        return given.fact(EPS_KEY, given.told.batch_norm_eps)
    return _frozen_eps(kind, state, given) if kind.frozen else None


def _frozen_eps(kind: BackboneKind, state: State, given: Given) -> Fact:
    """Say the eps of frozen batch norms that were trained so, as far as it can be known.

    torchvision sets 0 in networks that start from its first detectors, and nowhere else; the file
    of a network holds no trace of it.
    """
    args = given.args
    if kind.name != "resnet50" or not _may_be_published(state):
        return Fact(EPS_KEY, as_toml(_DEFAULT_EPS), "known")
    if "weights" in args or "weights_backbone" in args or "pretrained" in args:
        eps = _PUBLISHED_EPS if _starts_published(args) else _DEFAULT_EPS
        return Fact(EPS_KEY, as_toml(eps), "known")
    return given.fact(EPS_KEY, _PUBLISHED_EPS)


def set_eps(backbone: nn.Module, eps: float) -> None:
    """Set it in every batch norm of a backbone."""
    for module in backbone.modules():
        if isinstance(module, FrozenBatchNorm2d | nn.BatchNorm2d):
            module.eps = eps


def check_norms(network: nn.Module) -> None:
    """Refuse batch norms that divide by nothing, or by the root of a negative number.

    Raises:
        WeightsError: names the first one.
    """
    for name, module in network.named_modules():
        if isinstance(module, FrozenBatchNorm2d | nn.BatchNorm2d):
            variance = module.running_var
            assert isinstance(variance, Tensor)
            least = float(variance.min()) + module.eps
            if least <= 0:
                raise WeightsError(
                    f"{name}.running_var has {float(variance.min())!r}, which with {EPS_KEY} = "
                    f"{module.eps!r} makes every answer no number"
                )


def _may_be_published(state: State) -> bool:
    """Whether a network may have begun as one of the first detectors."""
    variances = (value for key, value in state.items() if key.endswith(".running_var"))
    if any(bool((variance <= 0).any()) for variance in variances):
        return False  # with eps 0 it would never have been trained
    first = state[_FIRST_KEY].float()
    if first.shape[1:] != (3, 7, 7):
        return False
    mine = first[0, 0, :3, (0, 1, 2, 4, 5, 6)].flatten()
    return float(torch.cosine_similarity(mine, torch.tensor(_FIRST).flatten(), dim=0)) > _ALIKE


def _starts_published(args: Mapping[str, Any]) -> bool:
    if args.get("model") not in _PUBLISHED_MODELS:
        return False
    weights = str(args.get("weights") or "").rpartition(".")[2]
    return weights in ("COCO_V1", "DEFAULT") or args.get("pretrained") is True
