"""Two products that torch offers in several ways, taken in the one that is quickest here.

Both give what the plain call gives, but for rounding.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ROWS = 256
"""Queries whose scores exist at once: with thousands of keys, that many stay in a core's cache."""


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
    seen = given.new_empty(n * heads, rows, given.shape[-1])
    for one in range(n * heads):
        for start in range(0, rows, _ROWS):
            part = scaled[one, start : start + _ROWS]
            weights = torch.mm(part, places[one]).softmax(-1)
            torch.mm(weights, given[one], out=seen[one, start : start + _ROWS])
    return seen.view(n, heads, rows, -1)


def linear_gelu(rows: Tensor, layer: nn.Linear) -> Tensor:
    """A linear layer and the exact GELU of it, in one pass over the result where that exists."""
    if not _has_fused_products(rows):
        return F.gelu(layer(rows))
    made = torch.ops.mkldnn._linear_pointwise(
        rows.flatten(0, -2), layer.weight, layer.bias, "gelu", [], "none"
    )
    return made.view(*rows.shape[:-1], -1)  # type: ignore[no-any-return]


def linear_add(rows: Tensor, layer: nn.Linear, other: Tensor) -> Tensor:
    """A linear layer plus ``other``, likewise."""
    if not _has_fused_products(rows):
        made: Tensor = layer(rows)
        return made.add_(other)
    made = torch.ops.mkldnn._linear_pointwise.binary(
        rows.flatten(0, -2), other.reshape(-1, other.shape[-1]), layer.weight, layer.bias, "add"
    )
    return made.view(other.shape)


def _has_fused_products(rows: Tensor) -> bool:
    return rows.device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def _products_are_quicker(queries: Tensor, values: Tensor) -> bool:
    if queries.device.type != "cpu":
        return False
    if queries.shape[-1] != values.shape[-1]:
        return True
    return queries.dtype is torch.bfloat16 and not _has_amx()


@functools.cache
def _has_amx() -> bool:
    return bool(torch.cpu._is_amx_tile_supported())
