"""The image encoder, over the weights of the package's own and in their numeric type.

Computes what ``forward_image`` of sam2 computes for one picture. What depends on no picture is
computed once, convolutions that follow each other are one, and nothing is made that only video
positions or discarded levels would need.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from sam2.modeling.backbones.hieradet import Hiera, MultiScaleBlock
from sam2.modeling.backbones.image_encoder import FpnNeck
from sam2.modeling.backbones.utils import window_partition, window_unpartition
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from .products import attention, linear_gelu


class Encoder:
    """Pixels to feature maps; ``model`` keeps its weights, which are not copied.

    Raises:
        ValueError: an encoder with other activations than SAM 2's.
    """

    def __init__(self, model: SAM2Base) -> None:
        trunk, neck = model.image_encoder.trunk, model.image_encoder.neck
        self._trunk: Hiera = trunk
        self._blocks = [_Block(block) for block in trunk.blocks]
        self._dtype = trunk.pos_embed.dtype
        side = model.image_size // 4
        with torch.inference_mode():
            self._position = trunk._get_pos_embed((side, side)).contiguous()
            self._levels = _Levels(model, neck)

    def __call__(self, square: Tensor) -> list[Tensor]:
        """Feature maps of ``(1, 3, side, side)``, the finest first: those that the mask decoder
        takes, in float32 or bfloat16."""
        rows: Tensor = self._trunk.patch_embed(square.to(self._dtype)) + self._position
        stages = []
        for index, block in enumerate(self._blocks):
            rows = block(rows)
            if index in self._trunk.stage_ends:
                stages.append(rows)
        return self._levels(stages)


class _Block:
    """One block of Hiera on ``(1, height, width, channels)``."""

    def __init__(self, block: MultiScaleBlock) -> None:
        if not isinstance(block.mlp.act, nn.GELU):
            raise ValueError(f"expected blocks with GELU, got {type(block.mlp.act).__name__}")
        self._block = block
        self._first, self._second = block.mlp.layers

    def __call__(self, rows: Tensor) -> Tensor:
        block = self._block
        normed = block.norm1(rows)
        shortcut = rows
        if block.dim != block.dim_out:
            shortcut = _pooled(block.proj(normed), block.pool)
        rows = self._looked_around(normed, (shortcut.shape[1], shortcut.shape[2])).add_(shortcut)
        made = linear_gelu(block.norm2(rows), self._first.weight, self._first.bias)
        return rows.add_(self._second(made))

    def _looked_around(self, rows: Tensor, size: tuple[int, int]) -> Tensor:
        """Attention within windows, or over all; the result is of ``size``."""
        window = self._block.window_size
        if not window:
            return self._attended(rows)
        rows, padded = window_partition(rows, window)
        rows = self._attended(rows)
        if self._block.q_stride:
            stride = self._block.q_stride[0]
            window = window // stride
            padded = tuple(-(-side // window) * window for side in size)
        return window_unpartition(rows, window, padded, size)  # type: ignore[no-any-return]

    def _attended(self, rows: Tensor) -> Tensor:
        attn = self._block.attn
        n, height, width, _ = rows.shape
        made = attn.qkv(rows).view(n, height * width, 3, attn.num_heads, -1)
        queries, keys, values = made.unbind(2)
        if self._block.q_stride:
            pooled = _pooled(queries.reshape(n, height, width, -1), attn.q_pool)
            height, width = pooled.shape[1:3]
            queries = pooled.reshape(n, height * width, attn.num_heads, -1)
        seen = attention(queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2))
        return attn.proj(seen.transpose(1, 2).reshape(n, height, width, -1))  # type: ignore[no-any-return]


class _Levels:
    """The feature pyramid with the decoder's convolutions, as products on rows."""

    def __init__(self, model: SAM2Base, neck: FpnNeck) -> None:
        self._neck = neck
        last = len(neck.convs) - 1
        # The neck counts its convolutions from the coarsest level.
        convs = [neck.convs[last - level].conv for level in range(last + 1)]
        self._weights = [_product(conv) for conv in convs]
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
                self._weights[level] = _joined(self._weights[level], _product(conv))

    def __call__(self, stages: list[Tensor]) -> list[Tensor]:
        made: dict[int, Tensor] = {}
        coarser: Tensor | None = None
        for level in reversed(range(len(stages))):
            rows = F.linear(stages[level], *self._weights[level]).permute(0, 3, 1, 2)
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


def _pooled(rows: Tensor, pool: nn.Module | None) -> Tensor:
    if pool is None:
        return rows
    return pool(rows.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


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
