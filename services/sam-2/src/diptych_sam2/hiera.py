"""The trunk of the image encoder, over the weights of the package's own.

All but attention and pooling looks at each place of a picture alone, and most attention stays within
a window. So places lie window by window from the first block on, ``(n, w, w, c)`` for ``n`` windows
of ``w * w`` places, and are put in another order only where windows do not follow from those before.
In between, a few windows at a time go through many blocks, and stay in a core's cache.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sam2.modeling.backbones.hieradet import Hiera, MultiScaleBlock
from torch import Tensor, nn

from .products import attention, linear_add, linear_gelu

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
    count, side = _root(rows.shape[0]), rows.shape[1]
    whole = rows.view(count, count, side, side, -1).transpose(1, 2)
    whole = whole.reshape(count * side, count * side, -1)
    parts = whole.unflatten(1, (-1, window)).unflatten(0, (-1, window)).transpose(1, 2)
    return parts.flatten(0, 1)


def channels_first(rows: Tensor) -> Tensor:
    """``(1, c, height, width)`` of a square in windows ``(n, w, w, c)``."""
    count, side = _root(rows.shape[0]), rows.shape[1]
    parts = rows.view(count, count, side, side, -1).permute(4, 0, 2, 1, 3)
    return parts.reshape(1, -1, count * side, count * side)


def _root(square: int) -> int:
    return round(square**0.5)


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
        parts = [self._through(part) for part in rows.split(count)]
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
            padding = _Padding(side, wanted, stride)
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


class _Padding:
    """Windows that do not fill a square, from the square as one window, and back. A place beyond it
    is zero before the projection, so it is the bias after it, which takes no product."""

    def __init__(self, side: int, window: int, stride: int) -> None:
        self._keys = _padded_places(side, window)
        queries = _padded_places(side // stride, window // stride)
        self._queries = queries if stride > 1 else self._keys
        inside = (queries < (side // stride) ** 2).nonzero()[:, 0]
        self._back = inside[queries[inside].argsort()]
        self.windows = (-(-side // window)) ** 2

    def keys(self, rows: Tensor, beyond: Tensor) -> Tensor:
        """``(n, w * w, c)`` of ``(1, side, side, c)``."""
        return self._taken(rows, beyond, self._keys)

    def queries(self, rows: Tensor, beyond: Tensor) -> Tensor:
        """Likewise, after pooling."""
        return self._taken(rows, beyond, self._queries)

    def back(self, rows: Tensor) -> Tensor:
        """``(places, c)`` of what queries have seen, ``(n, w * w, c)``."""
        return rows.flatten(0, 1).index_select(0, self._back.to(rows.device))

    def _taken(self, rows: Tensor, beyond: Tensor, places: Tensor) -> Tensor:
        known = torch.cat([rows.reshape(-1, rows.shape[-1]), beyond[None]])
        taken = known.index_select(0, places.to(rows.device))
        return taken.view(self.windows, -1, rows.shape[-1])


def _padded_places(side: int, window: int) -> Tensor:
    """Which place of a square each place of its windows is; ``side * side`` for those beyond."""
    beyond = -side % window
    places = torch.arange(side * side).view(side, side)
    padded = F.pad(places, (0, beyond, 0, beyond), value=side * side)
    return in_windows(padded[None, :, :, None], window).flatten()


class _Block:
    """One block of Hiera; ``padding`` for one whose windows do not fill the square."""

    def __init__(self, block: MultiScaleBlock, padding: _Padding | None) -> None:
        if not isinstance(block.mlp.act, nn.GELU):
            raise ValueError(f"expected blocks with GELU, got {type(block.mlp.act).__name__}")
        self._block = block
        self._padding = padding
        self._stride = block.q_stride[0] if block.q_stride else 1
        self._first, self._second = block.mlp.layers

    def __call__(self, rows: Tensor) -> Tensor:
        """``(n, w, w, c)``, of half the side after pooling."""
        block = self._block
        normed = block.norm1(rows)
        shortcut = rows
        if block.dim != block.dim_out:
            shortcut = _pooled(block.proj(normed), self._stride)
        seen = self._looked_around(normed).view_as(shortcut)
        rows = linear_add(seen, block.attn.proj, shortcut)
        return linear_add(linear_gelu(block.norm2(rows), self._first), self._second, rows)

    def _looked_around(self, rows: Tensor) -> Tensor:
        """What each place sees within its window, or over all, in the order of places."""
        attn, padding = self._block.attn, self._padding
        made: Tensor = attn.qkv(rows)
        pooled = None
        if self._stride > 1:
            pooled = _pooled(made[..., : made.shape[-1] // 3], self._stride)
        if padding is not None:
            made = padding.keys(made, attn.qkv.bias)
            if pooled is not None:
                pooled = padding.queries(pooled, attn.qkv.bias[: pooled.shape[-1]])
        windows = (padding.windows if padding else len(rows)) if self._block.window_size else 1
        made = made.reshape(windows, -1, 3, attn.num_heads, made.shape[-1] // 3 // attn.num_heads)
        queries, keys, values = made.permute(2, 0, 3, 1, 4)
        if pooled is not None:
            queries = pooled.reshape(windows, -1, *made.shape[3:]).transpose(1, 2)
        seen = attention(queries, keys, values).transpose(1, 2).flatten(2)
        return seen if padding is None else padding.back(seen)


def _pooled(rows: Tensor, stride: int) -> Tensor:
    """The largest of each ``stride * stride`` places."""
    if stride == 1:
        return rows
    parts = itertools.product(range(stride), repeat=2)
    return functools.reduce(
        torch.maximum, (rows[:, top::stride, left::stride] for top, left in parts)
    )
