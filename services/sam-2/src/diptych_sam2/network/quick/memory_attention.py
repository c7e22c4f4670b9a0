"""Memory attention in the place of the package's own, over its weights.

Computes what ``MemoryAttention`` of sam2 computes, with products in another order:

- Memories have 64 channels and values 256. So memories are averaged first and projected after,
  ``(A M) W`` for ``A (M W)``, which also makes one product of the two projections that follow.
- Until the first attention to memories all objects of a frame are one.
- Rotary positions rotate pairs of channels. Rotated pairs are the projection by rotated weights, so
  that nothing goes through complex numbers.

Shapes: ``n`` objects, ``p`` cells of the frame, ``m`` memories, ``c`` channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.sam.transformer import RoPEAttention
from torch import Tensor, nn

from .attention import attention
from .memory_products import attention_to_memories


class QuickMemoryAttention(nn.Module):
    """Takes what ``MemoryAttention`` takes, and holds one.

    Raises:
        ValueError: an attention of several heads or without rotary positions, another activation
            than SAM 2's.
    """

    def __init__(self, stock: MemoryAttention) -> None:
        super().__init__()
        self.stock = stock
        self._layers = [_Layer(layer) for layer in stock.layers]
        self._dtype = stock.norm.weight.dtype

    def forward(
        self,
        curr: list[Tensor],
        memory: Tensor,
        curr_pos: list[Tensor],
        memory_pos: Tensor,
        num_obj_ptr_tokens: int = 0,
    ) -> Tensor:
        """Let a frame attend to memories: ``(p, n, c)`` in the type of the weights.

        Args:
            curr: One tensor ``(p, n, c)``, the frame, whose objects share their storage.
            memory: ``(m, n, c / 4)``
            curr_pos: One tensor ``(p, n, c)``, the position encoding of the frame, likewise.
            memory_pos: ``(m, n, c / 4)``, the position encoding of the memories.
            num_obj_ptr_tokens: How many of the last memories are pointers, without a cell.
        """
        cells, position = (_by_object(pair[0]).to(self._dtype) for pair in (curr, curr_pos))
        if self.stock.pos_enc_at_input:
            cells = cells + 0.1 * position
        memories, positions = memory.transpose(0, 1), memory_pos.transpose(0, 1)
        values = memories.to(self._dtype)
        placed = (memories + positions).to(self._dtype)
        for layer in self._layers:
            keys = placed if layer.keys_with_position else values
            cells = layer(cells, position, values, keys, num_obj_ptr_tokens)
        normed: Tensor = self.stock.norm(cells)
        return normed.transpose(0, 1)


class _Layer:
    def __init__(self, layer: MemoryAttentionLayer) -> None:
        if layer.activation_str != "relu":
            raise ValueError(f"expected memory attention with ReLU, got {layer.activation_str}")
        self._layer = layer
        self.keys_with_position: bool = layer.pos_enc_at_cross_attn_keys
        self._self = _RotaryProjection(layer.self_attn)
        self._cross = _RotaryProjection(layer.cross_attn_image)
        cross = layer.cross_attn_image
        with torch.inference_mode():
            out, value = cross.out_proj, cross.v_proj
            weight = out.weight.double() @ value.weight.double()
            bias = out.weight.double() @ value.bias.double() + out.bias.double()
            self._value_and_out = (weight.to(out.weight.dtype), bias.to(out.weight.dtype))

    def __call__(
        self, cells: Tensor, position: Tensor, memories: Tensor, keys: Tensor, pointers: int
    ) -> Tensor:
        layer = self._layer
        cells = cells + self._self_attention(layer.norm1(cells), position)
        normed = layer.norm2(cells)
        if layer.pos_enc_at_cross_attn_queries:
            normed = normed + position
        queries = self._cross.queries(normed)
        if len(queries) == 1:
            # Shared until here; each object has memories of its own.
            queries = queries.expand(len(keys), -1, -1)
        keys = self._cross.keys(keys, cells.shape[1], pointers)
        attended = attention_to_memories(queries, keys, memories)
        cells = cells + F.linear(attended, *self._value_and_out)
        return cells + layer.linear2(layer.linear1(layer.norm3(cells)).relu_())  # type: ignore[no-any-return]

    def _self_attention(self, normed: Tensor, position: Tensor) -> Tensor:
        placed = normed + position if self._layer.pos_enc_at_attn else normed
        own = self._layer.self_attn
        keys = self._self.keys(placed, placed.shape[1])
        queries, values = self._self.queries(placed), own.v_proj(normed)
        attended = attention(queries[:, None], keys[:, None], values[:, None])[:, 0]
        return own.out_proj(attended)  # type: ignore[no-any-return]


class _RotaryProjection:
    """Queries and keys of one attention, rotated by their positions."""

    def __init__(self, own: RoPEAttention) -> None:
        if not isinstance(own, RoPEAttention) or own.num_heads != 1:
            raise ValueError("expected memory attention with one head and rotary positions")
        self._own = own
        self._query, self._key = (_with_rotated(layer) for layer in (own.q_proj, own.k_proj))
        self._angles: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = {}

    def queries(self, rows: Tensor) -> Tensor:
        """Project and rotate ``(n, p, c)`` cells: ``(n, p, c)``."""
        return self._rotated(rows, rows.shape[1], self._query)

    def keys(self, rows: Tensor, cells: int, pointers: int = 0) -> Tensor:
        """Project and rotate ``(n, m, c)`` rows of frames of so many cells: ``(n, m, c)``; the last
        ``pointers`` rows have no cell, and are projected only."""
        placed = rows.shape[1] - pointers
        rotated = self._rotated(rows[:, :placed], cells, self._key)
        if not pointers:
            return rotated
        plain = self._own.k_proj(rows[:, placed:])
        return torch.cat([rotated, plain], dim=1)

    def _rotated(
        self, rows: Tensor, cells: int, weights: tuple[tuple[Tensor, Tensor], ...]
    ) -> Tensor:
        along, across = (F.linear(rows, *pair) for pair in weights)
        cosine, sine = self._cosine_and_sine(cells, rows)
        frames = along.view(len(rows), -1, cells, along.shape[-1])
        frames.mul_(cosine).addcmul_(across.view_as(frames), sine)
        return along

    def _cosine_and_sine(self, cells: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        key = (cells, rows.device)
        if key not in self._angles:
            angles = self._own.freqs_cis
            if len(angles) != cells:
                side = round(cells**0.5)
                angles = self._own.compute_cis(end_x=side, end_y=side)
            pairs = torch.view_as_real(angles.to(rows.device)).repeat_interleave(2, dim=-2)
            self._angles[key] = (pairs[..., 0].to(rows.dtype), pairs[..., 1].to(rows.dtype))
        return self._angles[key]


def _with_rotated(layer: nn.Linear) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A projection, and the one whose pairs ``(x, y)`` of channels are ``(-y, x)``."""
    weight, bias = layer.weight.detach(), layer.bias.detach()
    return (weight, bias), (_rotated_pairs(weight), _rotated_pairs(bias))


def _rotated_pairs(rows: Tensor) -> Tensor:
    pairs = rows.view(-1, 2, *rows.shape[1:])
    return torch.stack([-pairs[:, 1], pairs[:, 0]], dim=1).view_as(rows)


def _by_object(rows: Tensor) -> Tensor:
    """``(p, n, c)`` as ``(n, p, c)``, or ``(1, p, c)`` if all objects are one tensor's view."""
    shared = rows.shape[1] > 1 and rows.stride(1) == 0
    return (rows[:, :1] if shared else rows).transpose(0, 1)
