"""The mask decoder, rewritten so that little is computed for each prompt.

Computes what ``sam_mask_decoder`` of sam2 computes, from its weights. Only the order of products
differs, so answers differ by rounding:

- What the first layer makes of the picture alone is computed once for each picture.
- A prompt has a few tokens and the picture thousands. So the projections of the picture's side of
  an attention are applied to the tokens instead: ``X W q`` as ``X (W q)``, ``(A X) W`` for
  ``A (X W)``, and a key's bias, equal for all keys, cancels in the softmax.
- Qualities are known before masks, so masks are made only for those that are wanted.
- Transposed convolutions of stride 2 are products of matrices, with the four parts of a pixel left
  beside each other until the masks are put in order.

Shapes: ``n`` prompts, ``t`` tokens of a prompt, ``p`` places of the coarsest feature map, ``c``
channels, ``h`` heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import TwoWayAttentionBlock
from torch import Tensor, nn

from .attention import PictureAttention

_SINGLE = slice(0, 1)
THREE = slice(1, None)
"""The three masks among the four that there are; the first is the single one."""


@dataclass(frozen=True)
class DecoderInput:
    """What the decoder knows of a picture before it sees a prompt. One row serves all prompts, or
    each prompt has its own."""

    keys: Tensor
    """``(1 or n, p, c)``: the feature map with the dense prompt."""
    projected_keys: Tensor
    """``(1 or n, h, p, c / 2h)``, as ``projected_values`` and ``projected_queries``: the picture's
    side of the first layer's attentions."""
    projected_values: Tensor
    projected_queries: Tensor
    high_res: tuple[Tensor, ...]
    """What upscaling adds: finer maps with its biases, ``(1 or n, p, 4, c / 4)`` and
    ``(1 or n, p, 16, c / 8)``, the parts of a coarse place beside each other."""

    @property
    def nbytes(self) -> int:
        """Memory that this keeps alive, in bytes."""
        return sum(tensor.untyped_storage().nbytes() for tensor in self._tensors())

    def _tensors(self) -> tuple[Tensor, ...]:
        own = (self.keys, self.projected_keys, self.projected_values, self.projected_queries)
        return (*own, *self.high_res)

    @classmethod
    def stacked(cls, pictures: Sequence[DecoderInput]) -> DecoderInput:
        """The rows of several pictures, one after the other."""
        rows = zip(*(picture._tensors() for picture in pictures), strict=True)
        keys, projected_keys, values, queries, *fine = (torch.cat(parts) for parts in rows)
        return cls(keys, projected_keys, values, queries, tuple(fine))


@dataclass(frozen=True)
class Attended:
    """Prompts that have seen the picture, before their masks."""

    tokens: Tensor
    """``(n, t, c)``"""
    keys: Tensor
    """``(n, p, c)``"""

    def rows(self, chosen: Tensor) -> Attended:
        """Some of the prompts."""
        return Attended(self.tokens[chosen], self.keys[chosen])


class Decoder:
    """SAM 2's mask decoder over the weights of the package's own, in their numeric type; the heads
    for quality and presence are float32.

    Args:
        decoder: As ``SAM2Base`` builds it.
        position: ``(1, c, height, width)``: the position of each place.
        no_mask: ``(c,)``: the dense prompt of every place where no mask is given.
    """

    def __init__(self, decoder: MaskDecoder, position: Tensor, no_mask: Tensor) -> None:
        self._decoder = decoder
        self._side = position.shape[-1]
        self._dtype = decoder.iou_token.weight.dtype
        self._no_mask = no_mask.detach()
        places = _places(position).to(self._dtype)
        transformer = decoder.transformer
        self._layers = [_Layer(layer, places) for layer in transformer.layers]
        self._last = PictureAttention(
            transformer.final_attn_token_to_image, places, to_picture=True
        )
        self._last_norm = transformer.norm_final_attn
        output = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        if decoder.pred_obj_scores:
            output.insert(0, decoder.obj_score_token.weight)
        self._output_tokens = torch.cat(output)
        self._first = 1 if decoder.pred_obj_scores else 0
        self._upscaling = _Upscaling(decoder)

    def prepared(
        self, embedding: Tensor, high_res: Sequence[Tensor], dense: Tensor | None = None
    ) -> DecoderInput:
        """The picture's side. ``embedding`` and ``dense``, which is for prompts with masks, are
        ``(n, c, height, width)``; ``high_res`` are the finer maps, the finest first."""
        given = self._no_mask if dense is None else _places(dense)
        keys = (_places(embedding) + given).to(self._dtype)
        fine = [_beside(level, self._side) for level in reversed(high_res)]
        return self._projected(keys, self._upscaling.prepared(fine))

    def with_masks(self, picture: DecoderInput, dense: Tensor) -> DecoderInput:
        """A picture that was prepared without masks, for prompts with ``(n, c, height, width)``."""
        change = _places(dense) - self._no_mask
        return self._projected(picture.keys + change.to(self._dtype), picture.high_res)

    def attend(self, picture: DecoderInput, sparse: Tensor) -> Attended:
        """Let ``(n, points, c)`` prompts and the picture look at each other."""
        output = self._output_tokens.expand(len(sparse), -1, -1)
        prompt = torch.cat([output, sparse.to(self._dtype)], dim=1)
        first, *others = self._layers
        tokens = first.looked_at_itself(prompt, None)
        tokens = first.after_picture(tokens, first.to_picture.projected(tokens + prompt, picture))
        weights = first.from_picture.weights_of_projected(tokens + prompt, picture)
        keys = first.picture_after(picture.keys, weights, tokens, own=False)
        for layer in others:
            tokens = layer.looked_at_itself(tokens, prompt)
            tokens = layer.after_picture(tokens, layer.to_picture.absorbed(tokens + prompt, keys))
            weights = layer.from_picture.weights(tokens + prompt, keys)
            keys = layer.picture_after(keys, weights, tokens, own=True)
        tokens = self._last_norm(tokens + self._last.absorbed(tokens + prompt, keys))
        return Attended(tokens, keys)

    def answer(
        self, picture: DecoderInput, attended: Attended, *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Logits ``(n, masks, 4 side, 4 side)`` and qualities ``(n, masks)``, both float32: the
        three masks, or the single one, which gives way to the best of the three if it is not
        stable and the model is set up so."""
        quality = self.quality(attended)
        if multimask:
            return self.masks(picture, attended, THREE), quality[:, THREE]
        if not self._decoder.dynamic_multimask_via_stability:
            return self.masks(picture, attended, _SINGLE), quality[:, _SINGLE]
        masks = self.masks(picture, attended, slice(None))
        return self._decoder._dynamic_multimask_via_stability(masks, quality)  # type: ignore[no-any-return]

    def _projected(self, keys: Tensor, high_res: tuple[Tensor, ...]) -> DecoderInput:
        first = self._layers[0]
        projected_keys, values = first.to_picture.keys_and_values(keys)
        queries = first.from_picture.queries(keys)
        return DecoderInput(keys, projected_keys, values, queries, high_res)

    def quality(self, attended: Attended) -> Tensor:
        """``(n, 4)`` float32: the predicted IoU of the single mask and of each of the three."""
        found: Tensor = self._decoder.iou_prediction_head(attended.tokens[:, self._first].float())
        return found

    def presence(self, attended: Attended) -> Tensor:
        """``(n, 1)`` float32 logits of the object being there."""
        if not self._decoder.pred_obj_scores:
            # As stock: a model without this head takes every object to be there.
            return attended.tokens.new_full((len(attended.tokens), 1), 10.0, dtype=torch.float32)
        found: Tensor = self._decoder.pred_obj_score_head(attended.tokens[:, 0].float())
        return found

    def mask_tokens(self, attended: Attended) -> Tensor:
        """``(n, 4, c)``: what masks are made of, the single mask's first."""
        start = self._first + 1
        return attended.tokens[:, start : start + self._decoder.num_mask_tokens]

    def masks(self, picture: DecoderInput, attended: Attended, wanted: slice) -> Tensor:
        """``(n, masks, 4 side, 4 side)`` float32 logits of the wanted ones of the four masks."""
        tokens = self.mask_tokens(attended)
        heads = list(self._decoder.output_hypernetworks_mlps)
        makers = range(len(heads))[wanted]
        made = torch.stack([heads[i](tokens[:, i]) for i in makers], dim=2)
        fine = self._upscaling(attended.keys, picture.high_res)
        return _in_order(torch.matmul(fine, made), self._side)


class _Layer:
    """One layer of the two-way transformer."""

    def __init__(self, layer: TwoWayAttentionBlock, position: Tensor) -> None:
        self._layer = layer
        self.to_picture = PictureAttention(
            layer.cross_attn_token_to_image, position, to_picture=True
        )
        self.from_picture = PictureAttention(
            layer.cross_attn_image_to_token, position, to_picture=False
        )

    def looked_at_itself(self, tokens: Tensor, prompt: Tensor | None) -> Tensor:
        """Self-attention; in the first layer the tokens are the prompt, and stand alone."""
        layer = self._layer
        if prompt is None and layer.skip_first_layer_pe:
            seen = layer.self_attn(q=tokens, k=tokens, v=tokens)
            return layer.norm1(seen)  # type: ignore[no-any-return]
        placed = tokens + (tokens if prompt is None else prompt)
        seen = tokens + layer.self_attn(q=placed, k=placed, v=tokens)
        return layer.norm1(seen)  # type: ignore[no-any-return]

    def after_picture(self, tokens: Tensor, seen: Tensor) -> Tensor:
        """What was seen of the picture, and the layer's network."""
        tokens = self._layer.norm2(tokens + seen)
        return self._layer.norm3(tokens + self._layer.mlp(tokens))  # type: ignore[no-any-return]

    def picture_after(self, keys: Tensor, weights: Tensor, tokens: Tensor, *, own: bool) -> Tensor:
        """``(n, p, c)``: the picture once it has looked at the tokens; overwrites ``own`` keys."""
        outputs = self.from_picture.outputs_of(tokens)
        places = weights.transpose(1, 2)
        if own:
            seen = keys.baddbmm_(places, outputs)
        else:
            seen = torch.baddbmm(keys.expand(len(tokens), -1, -1), places, outputs)
        return self._layer.norm4(seen)  # type: ignore[no-any-return]


class _Upscaling:
    """Fourfold upscaling as two products; the parts of a place stay beside each other."""

    def __init__(self, decoder: MaskDecoder) -> None:
        first, self._norm, self._act, second, self._last_act = decoder.output_upscaling
        self._first = _as_product(first)
        self._second = _as_product(second)

    def prepared(self, high_res: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What is added after each product: finer maps, if any, and the biases."""
        biases = (self._first[1], self._second[1])
        if not high_res:
            return tuple(bias[None, None, None] for bias in biases)
        pairs = zip(high_res, biases, strict=True)
        return tuple((level + bias).to(bias.dtype) for level, bias in pairs)

    def __call__(self, keys: Tensor, added: tuple[Tensor, ...]) -> Tensor:
        """``(n, p * 16, c / 8)`` from ``(n, p, c)``."""
        made = _split(torch.matmul(keys, self._first[0]), 4).add_(added[0])
        norm = self._norm
        made = F.layer_norm(made, made.shape[-1:], norm.weight, norm.bias, norm.eps)
        made = torch.matmul(self._act(made), self._second[0])
        made = _split(made, 4).flatten(2, 3).add_(added[1])
        return self._last_act(made).flatten(1, 2)  # type: ignore[no-any-return]


def _as_product(layer: nn.ConvTranspose2d) -> tuple[Tensor, Tensor]:
    """Weight ``(in, 4 out)`` and bias ``(out,)`` of a transposed convolution of 2 x 2, stride 2."""
    if layer.kernel_size != (2, 2) or layer.stride != (2, 2):
        raise ValueError(f"expected an upscaling of 2 x 2, got {layer.kernel_size}, {layer.stride}")
    assert layer.bias is not None
    weight = layer.weight.detach().permute(0, 2, 3, 1).flatten(1).contiguous()
    return weight, layer.bias.detach()


def _split(rows: Tensor, parts: int) -> Tensor:
    """The last axis as two, the first of ``parts``."""
    return rows.view(*rows.shape[:-1], parts, rows.shape[-1] // parts)


def _places(level: Tensor) -> Tensor:
    """``(n, c, height, width)`` as ``(n, height * width, c)``."""
    return level.flatten(2).transpose(1, 2).contiguous()


def _beside(level: Tensor, side: int) -> Tensor:
    """``(n, c, k side, k side)`` as ``(n, side * side, k * k, c)``, a place's parts in the order in
    which they are made: halves of halves."""
    n, channels, height, _ = level.shape
    halvings = (height // side).bit_length() - 1
    parts = level.view(n, channels, side, *(2,) * halvings, side, *(2,) * halvings)
    rows, columns = range(3, 3 + halvings), range(4 + halvings, 4 + 2 * halvings)
    order = [axis for pair in zip(rows, columns, strict=True) for axis in pair]
    placed = parts.permute(0, 2, 3 + halvings, *order, 1)
    return placed.reshape(n, side * side, 4**halvings, channels)


def _in_order(parts: Tensor, side: int) -> Tensor:
    """``(n, p * 16, masks)`` as ``(n, masks, 4 side, 4 side)`` float32."""
    n, _, masks = parts.shape
    placed = parts.view(n, side, side, 2, 2, 2, 2, masks)
    rows_first = placed.permute(0, 7, 1, 3, 5, 2, 4, 6)
    return rows_first.reshape(n, masks, 4 * side, 4 * side).float()
