"""Memory attention in the place of the package's own, over its weights.

Computes what ``MemoryAttention`` of sam2 computes, with products in another order:

- Memories have 64 channels and values 256. So memories are averaged first and projected after,
  ``(A M) W`` for ``A (M W)``, which also makes one product of the two projections that follow.
- Until the first look at memories all objects of a frame are one.
- Positions turn pairs of channels. Turned pairs are the projection by turned weights, so that
  nothing goes through complex numbers.

Shapes: ``n`` objects, ``p`` places of the frame, ``m`` memories, ``c`` channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.sam.transformer import RoPEAttention
from torch import Tensor, nn

from .memory_products import attention_to_memories
from .products import attention


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
        """``(p, n, c)`` in the type of the weights. ``curr`` and ``curr_pos`` hold one tensor
        ``(p, n, c)``, whose objects share their memory; ``memory`` and ``memory_pos`` are
        ``(m, n, c / 4)``, the last ``num_obj_ptr_tokens`` of them without a place."""
        rows, position = (_by_object(pair[0]).to(self._dtype) for pair in (curr, curr_pos))
        if self.stock.pos_enc_at_input:
            rows = rows + 0.1 * position
        memories, places = memory.transpose(0, 1), memory_pos.transpose(0, 1)
        values = memories.to(self._dtype)
        placed = (memories + places).to(self._dtype)
        for layer in self._layers:
            keys = placed if layer.places_keys else values
            rows = layer(rows, position, values, keys, num_obj_ptr_tokens)
        normed: Tensor = self.stock.norm(rows)
        return normed.transpose(0, 1)


class _Layer:
    def __init__(self, layer: MemoryAttentionLayer) -> None:
        if layer.activation_str != "relu":
            raise ValueError(f"expected memory attention with ReLU, got {layer.activation_str}")
        self._layer = layer
        self.places_keys: bool = layer.pos_enc_at_cross_attn_keys
        self._self = _Turned(layer.self_attn)
        self._cross = _Turned(layer.cross_attn_image)
        cross = layer.cross_attn_image
        with torch.inference_mode():
            out, value = cross.out_proj, cross.v_proj
            weight = out.weight.double() @ value.weight.double()
            bias = out.weight.double() @ value.bias.double() + out.bias.double()
            self._given = (weight.to(out.weight.dtype), bias.to(out.weight.dtype))

    def __call__(
        self, rows: Tensor, position: Tensor, memories: Tensor, keys: Tensor, pointers: int
    ) -> Tensor:
        layer = self._layer
        rows = rows + self._seen_itself(layer.norm1(rows), position)
        normed = layer.norm2(rows)
        if layer.pos_enc_at_cross_attn_queries:
            normed = normed + position
        queries = self._cross.queries(normed)
        if len(queries) == 1:
            # Shared until here; each object has memories of its own.
            queries = queries.expand(len(keys), -1, -1)
        keys = self._cross.keys(keys, rows.shape[1], pointers)
        seen = attention_to_memories(queries, keys, memories)
        rows = rows + F.linear(seen, *self._given)
        made = layer.linear2(layer.linear1(layer.norm3(rows)).relu_())
        return rows + made  # type: ignore[no-any-return]

    def _seen_itself(self, normed: Tensor, position: Tensor) -> Tensor:
        placed = normed + position if self._layer.pos_enc_at_attn else normed
        own = self._layer.self_attn
        keys = self._self.keys(placed, placed.shape[1])
        queries, values = self._self.queries(placed), own.v_proj(normed)
        seen = attention(queries[:, None], keys[:, None], values[:, None])[:, 0]
        return own.out_proj(seen)  # type: ignore[no-any-return]


class _Turned:
    """Queries and keys of one attention, turned by their places."""

    def __init__(self, own: RoPEAttention) -> None:
        if not isinstance(own, RoPEAttention) or own.num_heads != 1:
            raise ValueError("expected memory attention with one head and rotary positions")
        self._own = own
        self._query, self._key = (_with_turned(layer) for layer in (own.q_proj, own.k_proj))
        self._angles: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = {}

    def queries(self, rows: Tensor) -> Tensor:
        """``(n, p, c)``"""
        return self._turned(rows, rows.shape[1], self._query)

    def keys(self, rows: Tensor, places: int, pointers: int = 0) -> Tensor:
        """``(n, m, c)`` for frames of ``places``; the last ``pointers`` rows have none."""
        placed = rows.shape[1] - pointers
        turned = self._turned(rows[:, :placed], places, self._key)
        if not pointers:
            return turned
        straight = self._own.k_proj(rows[:, placed:])
        return torch.cat([turned, straight], dim=1)

    def _turned(
        self, rows: Tensor, places: int, weights: tuple[tuple[Tensor, Tensor], ...]
    ) -> Tensor:
        straight, across = (F.linear(rows, *pair) for pair in weights)
        cosine, sine = self._cosine_and_sine(places, rows)
        frames = straight.view(len(rows), -1, places, straight.shape[-1])
        frames.mul_(cosine).addcmul_(across.view_as(frames), sine)
        return straight

    def _cosine_and_sine(self, places: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        key = (places, rows.device)
        if key not in self._angles:
            angles = self._own.freqs_cis
            if len(angles) != places:
                side = round(places**0.5)
                angles = self._own.compute_cis(end_x=side, end_y=side)
            pairs = torch.view_as_real(angles.to(rows.device)).repeat_interleave(2, dim=-2)
            self._angles[key] = (pairs[..., 0].to(rows.dtype), pairs[..., 1].to(rows.dtype))
        return self._angles[key]


def _with_turned(layer: nn.Linear) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A projection, and the one whose pairs ``(x, y)`` of channels are ``(-y, x)``."""
    weight, bias = layer.weight.detach(), layer.bias.detach()
    return (weight, bias), (_turned_pairs(weight), _turned_pairs(bias))


def _turned_pairs(rows: Tensor) -> Tensor:
    turned = rows.view(-1, 2, *rows.shape[1:])
    return torch.stack([-turned[:, 1], turned[:, 0]], dim=1).view_as(rows)


def _by_object(rows: Tensor) -> Tensor:
    """``(p, n, c)`` as ``(n, p, c)``, or ``(1, p, c)`` if all objects are one tensor's view."""
    shared = rows.shape[1] > 1 and rows.stride(1) == 0
    return (rows[:, :1] if shared else rows).transpose(0, 1)
