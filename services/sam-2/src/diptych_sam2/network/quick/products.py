"""Products that torch offers in several ways, taken in the one that is quickest here.

Both give what the plain call gives, but for rounding.
"""

from __future__ import annotations

import functools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ROWS = 256
"""Queries whose scores exist at once: with thousands of keys, that many stay in a core's cache."""


_PACKED_FOR = 4096
"""Rows that weights are packed for; others are multiplied as quickly."""


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Scaled dot-product attention of ``(n, heads, rows, width)``; values may be of another width.

    Torch's own kernel for a CPU multiplies bfloat16 no faster than float32 unless there is AMX, and
    wants values as wide as keys.
    """
    if not _products_are_quicker(queries, values):
        return F.scaled_dot_product_attention(
            queries, keys, values, scale=queries.shape[-1] ** -0.5
        )
    n, heads, rows, width = queries.shape
    asked = queries.reshape(n * heads, rows, width)
    places = keys.reshape(n * heads, -1, width).transpose(1, 2)
    given = values.reshape(n * heads, -1, values.shape[-1])
    if rows <= _ROWS:
        nothing = asked.new_empty(1, 1, 1)
        scores = torch.baddbmm(nothing, asked, places, beta=0, alpha=width**-0.5)
        return torch.bmm(scores.softmax(-1), given).view(n, heads, rows, -1)
    scaled = asked * width**-0.5
    seen = [
        torch.mm(torch.mm(part, places[one]).softmax(-1), given[one])
        for one in range(n * heads)
        for part in torch.split(scaled[one], _ROWS)
    ]
    return torch.cat(seen).view(n, heads, rows, -1)


class Product:
    """A linear layer. Where oneDNN's products are the quickest, it keeps a copy of its weights in
    the order in which they take them, which costs a tenth of a call when done in each; what follows
    is done on the way."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self.bias = weight.detach(), None if bias is None else bias.detach()
        self._packed = weight.device.type == "cpu" and _packs(weight.dtype)
        if self._packed:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight, _PACKED_FOR)

    @classmethod
    def of(cls, layer: nn.Linear) -> Product:
        """The layer, whose weights are read once."""
        return cls(layer.weight, layer.bias)

    def __call__(self, rows: Tensor) -> Tensor:
        """``(..., out)`` of ``(..., in)``."""
        return self._with(rows, "none")

    def gelu(self, rows: Tensor) -> Tensor:
        """And the exact GELU of it."""
        return self._with(rows, "gelu")

    def plus(self, rows: Tensor, other: Tensor) -> Tensor:
        """And ``other``, of the shape of the result."""
        if not self._packed:
            return F.linear(rows, self._weight, self.bias).add_(other)
        made = torch.ops.mkldnn._linear_pointwise.binary(
            rows.flatten(0, -2), other.flatten(0, -2), self._weight, self.bias, "add"
        )
        return made.view(other.shape)  # type: ignore[no-any-return]

    def _with(self, rows: Tensor, last: Literal["none", "gelu"]) -> Tensor:
        if not self._packed:
            made = F.linear(rows, self._weight, self.bias)
            return torch.ops.aten.gelu_(made) if last == "gelu" else made
        flat = torch.ops.mkldnn._linear_pointwise(
            rows.flatten(0, -2), self._weight, self.bias, last, [], "none"
        )
        return flat.view(*rows.shape[:-1], -1)  # type: ignore[no-any-return]


def _products_are_quicker(queries: Tensor, values: Tensor) -> bool:
    if queries.device.type != "cpu":
        return False
    if queries.shape[-1] != values.shape[-1]:
        return True
    return queries.dtype is torch.bfloat16 and not _has_amx()


@functools.cache
def _has_amx() -> bool:
    return bool(torch.cpu._is_amx_tile_supported())


def _packs(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype is torch.bfloat16:
        # Without AVX-512 and the like it has no such products, and refuses.
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(torch.cpu._is_avx512_supported())
