"""Attention between the few tokens of a prompt and the many places of a picture.

See ``decoder.py`` for the letters; ``d`` is the width of a head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from sam2.modeling.sam.transformer import Attention
from torch import Tensor, nn

if TYPE_CHECKING:
    from .decoder import DecoderInput


class PictureAttention:
    """One cross-attention, over the weights of the package's own.

    Args:
        attention: With ``embedding_dim`` on both sides.
        position: ``(1, p, c)``: what is added to the picture before it is compared.
        to_picture: Tokens look at the picture; else the picture looks at tokens.
    """

    def __init__(self, attention: Attention, position: Tensor, *, to_picture: bool) -> None:
        self._heads = attention.num_heads
        self.query, self.key, self.value, self.out = (
            _weights(layer)
            for layer in (
                attention.q_proj,
                attention.k_proj,
                attention.v_proj,
                attention.out_proj,
            )
        )
        near, far = (self.query, self.key) if to_picture else (self.key, self.query)
        self._scale = float((self.query[0].shape[0] // self._heads) ** -0.5)
        self._near = near
        self._far_weight = far[0].view(self._heads, -1, far[0].shape[1])
        # The position's share of the projected picture, ``(1, p, h * d)``. A key's bias adds the
        # same to all scores of a query, so nothing to the softmax; a query's bias does not.
        self._far = F.linear(position, far[0], None if to_picture else far[1])
        self._far_scores = self.heads(self._far)[0].transpose(1, 2).contiguous()

    def heads(self, rows: Tensor) -> Tensor:
        """``(n, rows, h * d)`` as ``(n, h, rows, d)``."""
        return (
            rows.view(*rows.shape[:-1], self._heads, rows.shape[-1] // self._heads)
            .transpose(1, 2)
            .contiguous()
        )

    def keys_and_values(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """The picture's side of looking at ``(n, p, c)`` places, ``(n, h, p, d)`` each."""
        return (
            self.heads(F.linear(keys, self.key[0]) + self._far),
            self.heads(F.linear(keys, *self.value)),
        )

    def queries(self, keys: Tensor) -> Tensor:
        """The picture's side when ``(n, p, c)`` places look at tokens, ``(n, h, p, d)``."""
        return self.heads(F.linear(keys, self.query[0]) + self._far)

    def projected(self, tokens: Tensor, picture: DecoderInput) -> Tensor:
        """What ``(n, t, c)`` tokens see of a picture whose keys and values are projected."""
        queries = self.heads(F.linear(tokens, *self._near))
        n, heads, count, width = queries.shape
        shared = len(picture.projected_keys) == 1
        if shared:
            queries = queries.transpose(0, 1).reshape(1, heads, n * count, width)
        seen = F.scaled_dot_product_attention(
            queries, picture.projected_keys, picture.projected_values
        )
        if shared:
            seen = seen.view(heads, n, count, width).transpose(0, 1)
        return F.linear(seen.transpose(1, 2).flatten(2), *self.out)

    def weights_of_projected(self, tokens: Tensor, picture: DecoderInput) -> Tensor:
        """``(n, h * t, p)``: how much each place looks at each of ``(n, t, c)`` tokens, when the
        queries of the places are projected."""
        keys = self.heads(F.linear(tokens, *self._near) * self._scale)
        n, heads, count, _ = keys.shape
        if len(picture.projected_queries) > 1:
            scores = torch.matmul(keys, picture.projected_queries.transpose(2, 3))
            return scores.softmax(dim=2).flatten(1, 2)
        rows = keys.transpose(0, 1).flatten(1, 2)
        scores = torch.matmul(rows, picture.projected_queries[0].transpose(1, 2))
        scores = scores.view(heads, n, count, -1).transpose(0, 1)
        return scores.softmax(dim=2).reshape(n, heads * count, -1)

    def absorbed(self, tokens: Tensor, keys: Tensor) -> Tensor:
        """What ``(n, t, c)`` tokens see of ``(n, p, c)`` places."""
        n, count, _ = tokens.shape
        weights = self._scores(tokens, keys).softmax(dim=-1)
        seen = torch.bmm(weights, keys).view(n, self._heads, count, -1)
        by_head = self.value[0].view(self._heads, -1, self.value[0].shape[1])
        values = torch.matmul(seen, by_head.transpose(1, 2)).transpose(1, 2).flatten(2)
        return F.linear(values + self.value[1], *self.out)

    def weights(self, tokens: Tensor, keys: Tensor) -> Tensor:
        """``(n, h * t, p)``: how much each of ``(n, p, c)`` places looks at each token."""
        n, count, _ = tokens.shape
        scores = self._scores(tokens, keys).view(n, self._heads, count, -1)
        return scores.softmax(dim=2).flatten(1, 2)

    def outputs_of(self, tokens: Tensor) -> Tensor:
        """``(n, h * t, c)``: what each head gives to a place that looks at one token alone."""
        values = self.heads(F.linear(tokens, *self.value))
        by_head = self.out[0].view(self.out[0].shape[0], self._heads, -1).permute(1, 2, 0)
        # Weights of a head sum to 1, so every head brings its part of the bias.
        outputs: Tensor = torch.matmul(values, by_head) + self.out[1] / self._heads
        return outputs.flatten(1, 2)

    def _scores(self, tokens: Tensor, keys: Tensor) -> Tensor:
        """``(n, h * t, p)``"""
        near = self.heads(F.linear(tokens, *self._near) * self._scale)
        n, heads, count, _ = near.shape
        rows = near.transpose(0, 1).flatten(1, 2)
        positions = torch.matmul(rows, self._far_scores).view(heads, n, count, -1)
        scores = positions.transpose(0, 1).reshape(n, heads * count, -1)
        absorbed = torch.matmul(near, self._far_weight).flatten(1, 2)
        summed: Tensor = scores.baddbmm_(absorbed, keys.transpose(1, 2))
        return summed


def _weights(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    return layer.weight.detach(), layer.bias.detach()
