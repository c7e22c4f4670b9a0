"""The trunk of the image encoder, over the weights of the package's own.

All but attention and pooling looks at each place of a picture alone, and most attention stays
within a window. So places lie window by window from the first block on, ``(n, w, w, c)`` for ``n``
windows of ``w * w`` places, and are put in another order only where windows do not follow from
those before. In between, a few windows at a time go through many blocks, and stay in the cache.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from sam2.modeling.backbones.hieradet import Hiera, MultiScaleBlock
from torch import Tensor, nn

from .products import Product, attention

_PLACES = 4096
"""Places that go through blocks at once on a CPU: more leave the cache, fewer are poor products."""


class Trunk:
    """Pixels to the maps of the stages, the finest first; its weights are not copied.

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
        """From ``(1, 3, height, width)``: each map ``(n, w, w, c)`` as ``in_windows`` gives it."""
        rows: Tensor = self._embed(square.to(self._dtype))
        maps: list[Tensor] = []
        for number, run in enumerate(self._runs):
            rows = in_windows(rows, run.window)
            if not number:
                rows = rows + self._position
            rows, *ends = run(rows)
            maps += ends
        return maps


def in_windows(rows: Tensor, window: int) -> Tensor:
    """Windows ``(n, w, w, c)``, in rows from the upper left, of a square in windows of any side."""
    if rows.shape[1] == window:
        return rows
    count, side = math.isqrt(len(rows)), rows.shape[1]
    whole = rows.view(count, count, side, side, -1).transpose(1, 2)
    whole = whole.reshape(count * side, count * side, -1)
    parts = count * side // window
    cut = whole.view(parts, window, parts, window, whole.shape[-1]).transpose(1, 2)
    return cut.reshape(parts * parts, window, window, -1)


def channels_first(rows: Tensor) -> Tensor:
    """``(1, c, height, width)`` of a square in windows ``(n, w, w, c)``."""
    count, side = math.isqrt(len(rows)), rows.shape[1]
    parts = rows.view(count, count, side, side, -1).permute(4, 0, 2, 1, 3)
    return parts.reshape(1, -1, count * side, count * side)


@dataclass
class _Run:
    """Blocks that follow each other without places changing their order."""

    window: int
    blocks: list[_Block]
    ends: list[bool]
    """Whether a stage ends with a block."""
    local: bool
    """Whether no window looks at another."""

    def __call__(self, rows: Tensor) -> list[Tensor]:
        """The last map, and the maps of the stages that end here."""
        count = len(rows)
        if self.local and rows.device.type == "cpu":
            count = max(_PLACES // self.window**2, 1)
        parts = [self._through(part) for part in torch.split(rows, count)]
        if len(parts) == 1:
            return parts[0]
        return [torch.cat(made) for made in zip(*parts, strict=True)]

    def _through(self, rows: Tensor) -> list[Tensor]:
        maps = []
        for block, end in zip(self.blocks, self.ends, strict=True):
            rows = block(rows)
            if end:
                maps.append(rows)
        return [rows, *maps]


def _runs(trunk: Hiera, side: int) -> Iterator[_Run]:
    run: _Run | None = None
    window = 0
    for index, block in enumerate(trunk.blocks):
        wanted, padding = block.window_size, None
        stride = block.q_stride[0] if block.q_stride else 1
        if wanted % stride:
            raise ValueError(f"expected windows that pooling by {stride} keeps, got {wanted}")
        if wanted and side % wanted:
            padding = _Padding(wanted, stride)
            wanted = side
        # Attention over all places does not ask for their order.
        wanted = wanted or window or side
        local = bool(block.window_size) and padding is None
        if run is None or wanted != window or run.local != local:
            if run is not None:
                yield run
            run = _Run(wanted, [], [], local)
        run.blocks.append(_Block(block, padding))
        run.ends.append(index in trunk.stage_ends)
        side, window = side // stride, wanted // stride
    if run is not None:
        yield run


@dataclass(frozen=True)
class _Padding:
    """Windows that do not fill a square, from the square as one window, and back. A place beyond it
    is zero before the projection, so it is the bias after it, which takes no product."""

    window: int
    stride: int

    def cut(self, rows: Tensor, beyond: Tensor) -> Tensor:
        """``(n, w, w, c)`` of ``(1, side, side, c)``; ``beyond`` is what lies there."""
        side = rows.shape[1]
        padded = side + -side % self.window
        whole = rows.new_empty(1, padded, padded, rows.shape[-1])
        whole[:, :side, :side] = rows
        whole[:, :side, side:] = beyond
        whole[:, side:] = beyond
        return in_windows(whole, self.window)

    def pooled(self) -> _Padding:
        """The same windows after pooling."""
        return _Padding(self.window // self.stride, 1)

    def back(self, rows: Tensor, side: int) -> Tensor:
        """``(1, side, side, c)`` of ``(n, w, w, c)``."""
        whole = in_windows(rows, side + -side % self.window)
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

    def __call__(self, rows: Tensor) -> Tensor:
        """``(n, w, w, c)``; the sides are divided where a block pools."""
        normed = self._norms[0](rows)
        if self._shortcut is not None:
            rows = _pooled(self._shortcut(normed), self._stride)
        rows = self._proj.plus(self._looked_around(normed).reshape(rows.shape), rows)
        return self._second.plus(self._first.gelu(self._norms[1](rows)), rows)

    def _looked_around(self, rows: Tensor) -> Tensor:
        """What each place sees within its window, or over all, in the order of places."""
        made, padding = self._qkv(rows), self._padding
        width = made.shape[-1] // 3
        pooled = _pooled(made[..., :width], self._stride) if self._stride > 1 else None
        if padding is not None:
            assert self._qkv.bias is not None
            made = padding.cut(made, self._qkv.bias)
            if pooled is not None:
                pooled = padding.pooled().cut(pooled, self._qkv.bias[:width])
        side = (made if pooled is None else pooled).shape[1]
        count = len(made) if self._windowed else 1
        split = made.view(count, -1, 3, self._heads, width // self._heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        if pooled is not None:
            queries = pooled.view(count, -1, *split.shape[3:]).transpose(1, 2)
        seen = attention(queries, keys, values).transpose(1, 2)
        if padding is None:
            return seen
        after = padding if pooled is None else padding.pooled()
        return after.back(seen.reshape(count, side, side, width), rows.shape[1] // self._stride)


def _pooled(rows: Tensor, stride: int) -> Tensor:
    """The largest of each ``stride * stride`` places."""
    if stride == 1:
        return rows
    parts = itertools.product(range(stride), repeat=2)
    return functools.reduce(
        torch.maximum, (rows[:, top::stride, left::stride] for top, left in parts)
    )
