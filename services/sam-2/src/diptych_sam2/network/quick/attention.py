"""Attention and linear layers, each in the order of products that is fastest on the device.

Results equal those of the plain torch calls, but for rounding.

Shapes: ``n`` prompts or images, ``t`` tokens, ``p`` cells of a feature map, ``c`` channels, ``h``
heads, ``d`` channels of a head.
"""

from __future__ import annotations

import functools
from typing import Literal

import torch
import torch.nn.functional as F
from sam2.modeling.sam.transformer import Attention
from torch import Tensor, nn

_QUERY_BLOCK = 256
"""Queries whose scores exist at once: with thousands of keys, that many stay in a core's cache."""
_PACKED_ROWS = 4096
"""Rows that packed weights are laid out for; other numbers are multiplied as fast."""


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Compute scaled dot-product attention.

    Torch's own kernel for a CPU multiplies bfloat16 no faster than float32 unless there is AMX, and
    wants values as wide as keys.

    Args:
        queries: ``(n, heads, rows, width)`` float32 or bfloat16.
        keys: ``(n, heads, m, width)`` of the same type.
        values: ``(n, heads, m, value width)`` of the same type.

    Returns:
        ``(n, heads, rows, value width)`` in the type of the inputs.
    """
    if not _products_are_faster(queries, values):
        return F.scaled_dot_product_attention(
            queries, keys, values, scale=queries.shape[-1] ** -0.5
        )
    n, heads, rows, width = queries.shape
    flat_queries = queries.reshape(n * heads, rows, width)
    flat_keys = keys.reshape(n * heads, -1, width).transpose(1, 2)
    flat_values = values.reshape(n * heads, -1, values.shape[-1])
    if rows <= _QUERY_BLOCK:
        nothing = flat_queries.new_empty(1, 1, 1)
        scores = torch.baddbmm(nothing, flat_queries, flat_keys, beta=0, alpha=width**-0.5)
        return torch.bmm(scores.softmax(-1), flat_values).view(n, heads, rows, -1)
    scaled = flat_queries * width**-0.5
    blocks = [
        torch.mm(torch.mm(block, flat_keys[head]).softmax(-1), flat_values[head])
        for head in range(n * heads)
        for block in torch.split(scaled[head], _QUERY_BLOCK)
    ]
    return torch.cat(blocks).view(n, heads, rows, -1)


class Product:
    """A linear layer, with what follows it fused in.

    Where oneDNN's products are the fastest, it keeps a copy of the weights in oneDNN's own layout;
    to reorder them in each call would take a tenth of its time.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self.bias = weight.detach(), None if bias is None else bias.detach()
        self._packed = weight.device.type == "cpu" and _packs(weight.dtype)
        if self._packed:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight, _PACKED_ROWS)

    @classmethod
    def of(cls, layer: nn.Linear) -> Product:
        """Take over the weights that a layer has now."""
        return cls(layer.weight, layer.bias)

    def __call__(self, rows: Tensor) -> Tensor:
        """Return ``(..., out)`` of ``(..., in)`` in the type of the weights."""
        return self._linear(rows, "none")

    def gelu(self, rows: Tensor) -> Tensor:
        """Return the exact GELU of the layer, ``(..., out)`` of ``(..., in)``."""
        return self._linear(rows, "gelu")

    def plus(self, rows: Tensor, other: Tensor) -> Tensor:
        """Return the layer of ``rows``, ``(..., in)``, plus ``other``, ``(..., out)``."""
        if not self._packed:
            return F.linear(rows, self._weight, self.bias).add_(other)
        result = torch.ops.mkldnn._linear_pointwise.binary(
            rows.flatten(0, -2), other.flatten(0, -2), self._weight, self.bias, "add"
        )
        return result.view(other.shape)  # type: ignore[no-any-return]

    def _linear(self, rows: Tensor, activation: Literal["none", "gelu"]) -> Tensor:
        if not self._packed:
            result = F.linear(rows, self._weight, self.bias)
            return torch.ops.aten.gelu_(result) if activation == "gelu" else result
        flat = torch.ops.mkldnn._linear_pointwise(
            rows.flatten(0, -2), self._weight, self.bias, activation, [], "none"
        )
        return flat.view(*rows.shape[:-1], -1)  # type: ignore[no-any-return]


class ImageAttention:
    """One cross-attention between the few tokens of a prompt and the many cells of an image.

    Args:
        attention: The package's own, with ``embedding_dim`` on both sides; weights are shared.
        position: ``(1, p, c)``: the position encoding, which is added to cells for the scores.
        to_image: Tokens attend to the image; else the image attends to tokens.
    """

    def __init__(self, attention: Attention, position: Tensor, *, to_image: bool) -> None:
        self._heads = attention.num_heads
        self._query, self._key, self._value, self._out = (
            _weights(layer)
            for layer in (
                attention.q_proj,
                attention.k_proj,
                attention.v_proj,
                attention.out_proj,
            )
        )
        of_tokens, of_cells = (self._query, self._key) if to_image else (self._key, self._query)
        self._scale = float((self._query[0].shape[0] // self._heads) ** -0.5)
        self._token_projection = of_tokens
        self._cell_weight = of_cells[0].view(self._heads, -1, of_cells[0].shape[1])
        # The position's share of the projected cells, ``(1, p, h * d)``. A key's bias adds the
        # same to all scores of a query, so nothing to the softmax; a query's bias does not.
        self._position = F.linear(position, of_cells[0], None if to_image else of_cells[1])
        self._position_keys = self._split_heads(self._position)[0].transpose(1, 2).contiguous()

    def keys_and_values(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Project ``(n, p, c)`` cells that tokens attend to: ``(n, h, p, d)`` each."""
        return (
            self._split_heads(F.linear(cells, self._key[0]) + self._position),
            self._split_heads(F.linear(cells, *self._value)),
        )

    def queries(self, cells: Tensor) -> Tensor:
        """Project ``(n, p, c)`` cells that attend to tokens: ``(n, h, p, d)``."""
        return self._split_heads(F.linear(cells, self._query[0]) + self._position)

    def attend_projected(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Let ``(n, t, c)`` tokens attend to projected cells, ``(1 or n, h, p, d)`` each.

        Returns:
            ``(n, t, c)``; cells of one row serve all tokens.
        """
        queries = self._split_heads(F.linear(tokens, *self._token_projection))
        n, heads, count, width = queries.shape
        shared = len(keys) == 1
        if shared:
            queries = queries.transpose(0, 1).reshape(1, heads, n * count, width)
        attended = F.scaled_dot_product_attention(queries, keys, values)
        if shared:
            attended = attended.view(heads, n, count, width).transpose(0, 1)
        return F.linear(attended.transpose(1, 2).flatten(2), *self._out)

    def weights_projected(self, tokens: Tensor, queries: Tensor) -> Tensor:
        """Return how much each cell attends to each token, ``(n, h * t, p)``.

        Args:
            tokens: ``(n, t, c)``
            queries: ``(1 or n, h, p, d)``: the projected cells.
        """
        keys = self._split_heads(F.linear(tokens, *self._token_projection) * self._scale)
        n, heads, count, _ = keys.shape
        if len(queries) > 1:
            scores = torch.matmul(keys, queries.transpose(2, 3))
            return scores.softmax(dim=2).flatten(1, 2)
        rows = keys.transpose(0, 1).flatten(1, 2)
        scores = torch.matmul(rows, queries[0].transpose(1, 2))
        scores = scores.view(heads, n, count, -1).transpose(0, 1)
        return scores.softmax(dim=2).reshape(n, heads * count, -1)

    def attend(self, tokens: Tensor, cells: Tensor) -> Tensor:
        """Let ``(n, t, c)`` tokens attend to ``(n, p, c)`` cells: ``(n, t, c)``."""
        n, count, _ = tokens.shape
        weights = self._scores(tokens, cells).softmax(dim=-1)
        averages = torch.bmm(weights, cells).view(n, self._heads, count, -1)
        by_head = self._value[0].view(self._heads, -1, self._value[0].shape[1])
        values = torch.matmul(averages, by_head.transpose(1, 2)).transpose(1, 2).flatten(2)
        return F.linear(values + self._value[1], *self._out)

    def weights(self, tokens: Tensor, cells: Tensor) -> Tensor:
        """Return how much each of ``(n, p, c)`` cells attends to each of ``(n, t, c)`` tokens:
        ``(n, h * t, p)``."""
        n, count, _ = tokens.shape
        scores = self._scores(tokens, cells).view(n, self._heads, count, -1)
        return scores.softmax(dim=2).flatten(1, 2)

    def outputs(self, tokens: Tensor) -> Tensor:
        """Return what each head adds to a cell that attends to one token alone: ``(n, h * t, c)``
        of ``(n, t, c)`` tokens."""
        values = self._split_heads(F.linear(tokens, *self._value))
        by_head = self._out[0].view(self._out[0].shape[0], self._heads, -1).permute(1, 2, 0)
        # Weights of a head sum to 1, so every head brings its part of the bias.
        outputs: Tensor = torch.matmul(values, by_head) + self._out[1] / self._heads
        return outputs.flatten(1, 2)

    def _scores(self, tokens: Tensor, cells: Tensor) -> Tensor:
        """``(n, h * t, p)``"""
        projected = self._split_heads(F.linear(tokens, *self._token_projection) * self._scale)
        n, heads, count, _ = projected.shape
        rows = projected.transpose(0, 1).flatten(1, 2)
        positions = torch.matmul(rows, self._position_keys).view(heads, n, count, -1)
        scores = positions.transpose(0, 1).reshape(n, heads * count, -1)
        absorbed = torch.matmul(projected, self._cell_weight).flatten(1, 2)
        summed: Tensor = scores.baddbmm_(absorbed, cells.transpose(1, 2))
        return summed

    def _split_heads(self, rows: Tensor) -> Tensor:
        """``(n, rows, h * d)`` as ``(n, h, rows, d)``."""
        return (
            rows.view(*rows.shape[:-1], self._heads, rows.shape[-1] // self._heads)
            .transpose(1, 2)
            .contiguous()
        )


def _products_are_faster(queries: Tensor, values: Tensor) -> bool:
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


def _weights(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    return layer.weight.detach(), layer.bias.detach()
