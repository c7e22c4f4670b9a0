"""The image encoder, over the weights of the package's own and in their numeric type.

Computes what ``forward_image`` of sam2 computes for one picture. What depends on no picture is
computed once, convolutions that follow each other are one, and nothing is made that only video
positions or discarded levels would need.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from sam2.modeling.backbones.image_encoder import FpnNeck
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from .hiera import Trunk, channels_first
from .products import Product


class Encoder:
    """Pixels to feature maps; ``model`` keeps its weights, which are not copied.

    Raises:
        ValueError: an encoder with other activations than SAM 2's.
    """

    def __init__(self, model: SAM2Base) -> None:
        self._trunk = Trunk(model.image_encoder.trunk, model.image_size // 4)
        with torch.inference_mode():
            self._levels = _Levels(model, model.image_encoder.neck)

    def __call__(self, square: Tensor) -> list[Tensor]:
        """Feature maps of ``(1, 3, side, side)``, the finest first: those that the mask decoder
        takes, in float32 or bfloat16."""
        return self._levels(self._trunk(square))


class _Levels:
    """The feature pyramid with the decoder's convolutions, as products on rows."""

    def __init__(self, model: SAM2Base, neck: FpnNeck) -> None:
        self._neck = neck
        last = len(neck.convs) - 1
        # The neck counts its convolutions from the coarsest level.
        convs = [neck.convs[last - level].conv for level in range(last + 1)]
        weights = [_product(conv) for conv in convs]
        self._wanted = range(last + 1 - model.image_encoder.scalp)[-model.num_feature_levels :]
        self._from_above = [
            level < last and level in neck.fpn_top_down_levels for level in range(last + 1)
        ]
        below = [above for _, above in pairwise([False, *self._from_above])]
        if model.use_high_res_features_in_sam:
            decoder = model.sam_mask_decoder
            for level, conv in enumerate((decoder.conv_s0, decoder.conv_s1)):
                if self._from_above[level] or below[level - 1] * level:
                    raise ValueError(f"expected level {level} of the pyramid to stand alone")
                weights[level] = _joined(weights[level], _product(conv))
        self._products = [Product(*pair) for pair in weights]

    def __call__(self, stages: list[Tensor]) -> list[Tensor]:
        made: dict[int, Tensor] = {}
        coarser: Tensor | None = None
        for level in reversed(range(len(stages))):
            rows = channels_first(self._products[level](stages[level]))
            if self._from_above[level]:
                assert coarser is not None
                rows = rows + self._grown(coarser).to(rows.dtype)
                if self._neck.fuse_type == "avg":
                    rows = rows / 2
            made[level] = coarser = rows
        return [made[level].contiguous() for level in self._wanted]

    def _grown(self, coarser: Tensor) -> Tensor:
        mode = self._neck.fpn_interp_model
        aligned = None if mode == "nearest" else False
        return F.interpolate(coarser.float(), scale_factor=2.0, mode=mode, align_corners=aligned)


def _product(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight ``(out, in)`` and bias of a convolution of 1 x 1."""
    if conv.kernel_size != (1, 1):
        raise ValueError(f"expected a convolution of 1 x 1, got {conv.kernel_size}")
    assert conv.bias is not None
    return conv.weight.detach().flatten(1), conv.bias.detach()


def _joined(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Two products after each other as one, multiplied in float64."""
    dtype = first[0].dtype
    weight = second[0].double()
    bias = weight @ first[1].double() + second[1].double()
    return (weight @ first[0].double()).to(dtype), bias.to(dtype)
