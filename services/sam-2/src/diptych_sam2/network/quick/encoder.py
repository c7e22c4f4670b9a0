"""The image encoder, over the weights of the package's own and in their numeric type.

Computes what ``forward_image`` of sam2 computes for one image. What depends on no image is computed
once, convolutions that follow each other are one, and nothing is made that only video positions or
discarded levels would need.

All but attention and pooling of the trunk looks at each cell of an image alone, and most attention
stays within a window. So cells lie window by window from the first block on, ``(n, w, w, c)`` for
``n`` windows of ``w * w`` cells, and are put in another order only where windows do not follow from
those before. In between, a few windows at a time go through many blocks, and stay in the cache.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sam2.modeling.backbones.hieradet import Hiera, MultiScaleBlock
from sam2.modeling.backbones.image_encoder import FpnNeck
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from .attention import Product, attention

_BLOCK_CELLS = 4096
"""Cells that go through blocks at once on a CPU: more leave the cache, fewer are poor products."""


class QuickEncoder:
    """Implements ``Encoder``; ``model`` keeps its weights, which are not copied.

    Raises:
        ValueError: an encoder with other activations than SAM 2's.
    """

    def __init__(self, model: SAM2Base) -> None:
        self._trunk = Trunk(model.image_encoder.trunk, model.image_size // 4)
        with torch.inference_mode():
            self._pyramid = _Pyramid(model, model.image_encoder.neck)

    def __call__(self, square: Tensor) -> list[Tensor]:
        """Return the feature maps that the mask decoder takes, the finest first: each ``(1, c, h,
        w)`` float32 or bfloat16, of ``(1, 3, side, side)`` float32."""
        return self._pyramid(self._trunk(square))


class _Pyramid:
    """The feature pyramid with the decoder's convolutions, as products on rows."""

    def __init__(self, model: SAM2Base, neck: FpnNeck) -> None:
        self._neck = neck
        last = len(neck.convs) - 1
        # The neck counts its convolutions from the coarsest level.
        convs = [neck.convs[last - level].conv for level in range(last + 1)]
        weights = [_as_product(conv) for conv in convs]
        self._wanted = range(last + 1 - model.image_encoder.scalp)[-model.num_feature_levels :]
        self._from_above = [
            level < last and level in neck.fpn_top_down_levels for level in range(last + 1)
        ]
        below = [above for _, above in itertools.pairwise([False, *self._from_above])]
        if model.use_high_res_features_in_sam:
            decoder = model.sam_mask_decoder
            for level, conv in enumerate((decoder.conv_s0, decoder.conv_s1)):
                if self._from_above[level] or below[level - 1] * level:
                    raise ValueError(f"expected level {level} of the pyramid to stand alone")
                weights[level] = _joined(weights[level], _as_product(conv))
        self._products = [Product(*pair) for pair in weights]

    def __call__(self, stages: list[Tensor]) -> list[Tensor]:
        """Wanted levels, ``(1, c, h, w)`` each, of maps ``(n, w, w, c)``; the finest first."""
        levels: dict[int, Tensor] = {}
        coarser: Tensor | None = None
        for level in reversed(range(len(stages))):
            maps = channels_first(self._products[level](stages[level]))
            if self._from_above[level]:
                assert coarser is not None
                maps = maps + self._upsampled(coarser).to(maps.dtype)
                if self._neck.fuse_type == "avg":
                    maps = maps / 2
            levels[level] = coarser = maps
        return [levels[level].contiguous() for level in self._wanted]

    def _upsampled(self, coarser: Tensor) -> Tensor:
        mode = self._neck.fpn_interp_model
        aligned = None if mode == "nearest" else False
        return F.interpolate(coarser.float(), scale_factor=2.0, mode=mode, align_corners=aligned)


class Trunk:
    """The Hiera trunk: pixels to the maps of the stages; its weights are not copied.

    Args:
        trunk: With its weights on their device.
        side: Height and width of the finest map.

    Raises:
        ValueError: blocks with another activation than SAM 2's, or windows that pooling splits.
    """

    def __init__(self, trunk: Hiera, side: int) -> None:
        self._embed = trunk.patch_embed
        self._dtype = trunk.pos_embed.dtype
        self._runs = list(_runs(trunk, side))
        with torch.inference_mode():
            position = trunk._get_pos_embed((side, side))
            self._position = in_windows(position, self._runs[0].window).contiguous()

    def __call__(self, square: Tensor) -> list[Tensor]:
        """The map of each stage, the finest first, from ``(1, 3, height, width)``: ``(n, w, w, c)``
        as ``in_windows`` gives it."""
        cells: Tensor = self._embed(square.to(self._dtype))
        maps: list[Tensor] = []
        for number, run in enumerate(self._runs):
            cells = in_windows(cells, run.window)
            if not number:
                cells = cells + self._position
            cells, *stages = run(cells)
            maps += stages
        return maps


def in_windows(cells: Tensor, window: int) -> Tensor:
    """Cut a square into other windows.

    Args:
        cells: ``(n, w, w, c)``: windows of a square, in rows from the upper left.
        window: Side of the windows of the result, which divides the square's.

    Returns:
        ``(m, window, window, c)``, in rows from the upper left.
    """
    if cells.shape[1] == window:
        return cells
    count, side = math.isqrt(len(cells)), cells.shape[1]
    whole = cells.view(count, count, side, side, -1).transpose(1, 2)
    whole = whole.reshape(count * side, count * side, -1)
    parts = count * side // window
    cut = whole.view(parts, window, parts, window, whole.shape[-1]).transpose(1, 2)
    return cut.reshape(parts * parts, window, window, -1)


def channels_first(cells: Tensor) -> Tensor:
    """Join a square in windows ``(n, w, w, c)`` to ``(1, c, height, width)``."""
    count, side = math.isqrt(len(cells)), cells.shape[1]
    parts = cells.view(count, count, side, side, -1).permute(4, 0, 2, 1, 3)
    return parts.reshape(1, -1, count * side, count * side)


@dataclass
class _BlockRun:
    """Blocks that follow each other without cells changing their order."""

    window: int
    blocks: list[_Block]
    stage_ends: list[bool]
    """Whether a stage ends with a block."""
    local: bool
    """Whether no window attends to another."""

    def __call__(self, cells: Tensor) -> list[Tensor]:
        """The last map, and the maps of the stages that end here."""
        count = len(cells)
        if self.local and cells.device.type == "cpu":
            count = max(_BLOCK_CELLS // self.window**2, 1)
        parts = [self._run(part) for part in torch.split(cells, count)]
        if len(parts) == 1:
            return parts[0]
        return [torch.cat(maps) for maps in zip(*parts, strict=True)]

    def _run(self, cells: Tensor) -> list[Tensor]:
        maps = []
        for block, end in zip(self.blocks, self.stage_ends, strict=True):
            cells = block(cells)
            if end:
                maps.append(cells)
        return [cells, *maps]


def _runs(trunk: Hiera, side: int) -> Iterator[_BlockRun]:
    run: _BlockRun | None = None
    window = 0
    for index, block in enumerate(trunk.blocks):
        wanted, padding = block.window_size, None
        stride = block.q_stride[0] if block.q_stride else 1
        if wanted % stride:
            raise ValueError(f"expected windows that pooling by {stride} keeps, got {wanted}")
        if wanted and side % wanted:
            padding = _Padding(wanted, stride)
            wanted = side
        # Attention over all cells does not ask for their order.
        wanted = wanted or window or side
        local = bool(block.window_size) and padding is None
        if run is None or wanted != window or run.local != local:
            if run is not None:
                yield run
            run = _BlockRun(wanted, [], [], local)
        run.blocks.append(_Block(block, padding))
        run.stage_ends.append(index in trunk.stage_ends)
        side, window = side // stride, wanted // stride
    if run is not None:
        yield run


@dataclass(frozen=True)
class _Padding:
    """Windows that do not fill a square, from the square as one window, and back. A cell beyond it
    is zero before the projection, so it is the bias after it, which takes no product."""

    window: int
    stride: int

    def cut(self, cells: Tensor, beyond: Tensor) -> Tensor:
        """Cut ``(1, side, side, c)`` into ``(n, w, w, c)``; ``beyond`` is what lies there."""
        side = cells.shape[1]
        padded = side + -side % self.window
        whole = cells.new_empty(1, padded, padded, cells.shape[-1])
        whole[:, :side, :side] = cells
        whole[:, :side, side:] = beyond
        whole[:, side:] = beyond
        return in_windows(whole, self.window)

    def pooled(self) -> _Padding:
        """Return the same windows after pooling."""
        return _Padding(self.window // self.stride, 1)

    def join(self, cells: Tensor, side: int) -> Tensor:
        """Join ``(n, w, w, c)`` to ``(1, side, side, c)``."""
        whole = in_windows(cells, side + -side % self.window)
        return whole[:, :side, :side]


class _Block:
    """One block of Hiera; ``padding`` for one whose windows do not fill the square."""

    def __init__(self, block: MultiScaleBlock, padding: _Padding | None) -> None:
        if not isinstance(block.mlp.act, nn.GELU):
            raise ValueError(f"expected blocks with GELU, got {type(block.mlp.act).__name__}")
        self._norms = (block.norm1, block.norm2)
        self._heads: int = block.attn.num_heads
        self._windowed = bool(block.window_size)
        self._stride = block.q_stride[0] if block.q_stride else 1
        self._padding = padding
        self._qkv, self._proj = Product.of(block.attn.qkv), Product.of(block.attn.proj)
        self._first, self._second = (Product.of(layer) for layer in block.mlp.layers)
        self._shortcut = Product.of(block.proj) if block.dim != block.dim_out else None

    def __call__(self, cells: Tensor) -> Tensor:
        """``(n, w, w, c)``; the sides are divided where a block pools."""
        normed = self._norms[0](cells)
        if self._shortcut is not None:
            cells = _max_pooled(self._shortcut(normed), self._stride)
        cells = self._proj.plus(self._window_attention(normed).reshape(cells.shape), cells)
        return self._second.plus(self._first.gelu(self._norms[1](cells)), cells)

    def _window_attention(self, cells: Tensor) -> Tensor:
        """Attention of each cell within its window, or over all, in the order of cells."""
        qkv, padding = self._qkv(cells), self._padding
        width = qkv.shape[-1] // 3
        pooled = _max_pooled(qkv[..., :width], self._stride) if self._stride > 1 else None
        if padding is not None:
            assert self._qkv.bias is not None
            qkv = padding.cut(qkv, self._qkv.bias)
            if pooled is not None:
                pooled = padding.pooled().cut(pooled, self._qkv.bias[:width])
        side = (qkv if pooled is None else pooled).shape[1]
        count = len(qkv) if self._windowed else 1
        split = qkv.view(count, -1, 3, self._heads, width // self._heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        if pooled is not None:
            queries = pooled.view(count, -1, *split.shape[3:]).transpose(1, 2)
        attended = attention(queries, keys, values).transpose(1, 2)
        if padding is None:
            return attended
        after = padding if pooled is None else padding.pooled()
        return after.join(
            attended.reshape(count, side, side, width), cells.shape[1] // self._stride
        )


def _max_pooled(cells: Tensor, stride: int) -> Tensor:
    """The largest of each ``stride * stride`` cells."""
    if stride == 1:
        return cells
    parts = itertools.product(range(stride), repeat=2)
    return functools.reduce(
        torch.maximum, (cells[:, top::stride, left::stride] for top, left in parts)
    )


def _as_product(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
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
