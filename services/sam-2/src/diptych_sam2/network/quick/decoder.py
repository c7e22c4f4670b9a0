"""The mask decoder, rewritten so that little is computed for each prompt.

Computes what ``sam_mask_decoder`` of sam2 computes, from its weights. Only the order of products
differs, so answers differ by rounding:

- What the first layer makes of the image alone is computed once for each image.
- A prompt has a few tokens and the image thousands of cells. So the projections of the image's side
  of an attention are applied to the tokens instead: ``X W q`` as ``X (W q)``, ``(A X) W`` for
  ``A (X W)``, and a key's bias, equal for all keys, cancels in the softmax.
- Qualities are known before masks, so only wanted masks are computed.
- Transposed convolutions of stride 2 are products of matrices, and the four parts of a pixel stay
  beside each other until the masks are complete.

Shapes: ``n`` prompts, ``t`` tokens of a prompt, ``p`` cells of the coarsest feature map, ``c``
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

from ..interface import MULTIMASK, SINGLE_MASK
from .attention import ImageAttention


@dataclass(frozen=True)
class DecoderInput:
    """What the decoder knows of an image before it sees a prompt. One row serves all prompts, or
    each prompt has its own."""

    cells: Tensor
    """``(1 or n, p, c)``: the feature map with the dense prompt."""
    keys: Tensor
    """``(1 or n, h, p, c / 2h)``, as ``values`` and ``queries``: the image's side of the first
    layer's attentions."""
    values: Tensor
    queries: Tensor
    high_res: tuple[Tensor, ...]
    """What upscaling adds: finer maps with its biases, ``(1 or n, p, 4, c / 4)`` and
    ``(1 or n, p, 16, c / 8)``, the parts of a cell beside each other."""

    @property
    def nbytes(self) -> int:
        """Memory that this keeps alive, in bytes."""
        return sum(tensor.untyped_storage().nbytes() for tensor in self.tensors())

    def tensors(self) -> tuple[Tensor, ...]:
        """Return all tensors, in the order of the fields."""
        return (self.cells, self.keys, self.values, self.queries, *self.high_res)


@dataclass(frozen=True)
class Attended:
    """Prompts and image after the two-way transformer, before masks."""

    tokens: Tensor
    """``(n, t, c)``"""
    cells: Tensor
    """``(n, p, c)``"""

    def rows(self, chosen: Tensor) -> Attended:
        """Take the prompts that ``chosen``, ``(n,)`` bool, marks."""
        return Attended(self.tokens[chosen], self.cells[chosen])


class QuickDecoder:
    """Implements ``Decoder`` over the weights of SAM 2's mask decoder, in their numeric type; the
    heads for quality and presence are float32.

    Args:
        decoder: As ``SAM2Base`` builds it.
        position: ``(1, c, height, width)``: the position encoding of each cell.
        no_mask: ``(c,)``: the dense prompt of every cell where no mask is given.
    """

    def __init__(self, decoder: MaskDecoder, position: Tensor, no_mask: Tensor) -> None:
        self._decoder = decoder
        self._side = position.shape[-1]
        self._dtype = decoder.iou_token.weight.dtype
        self._no_mask = no_mask.detach()
        positions = _to_cells(position).to(self._dtype)
        transformer = decoder.transformer
        self._layers = [_Layer(layer, positions) for layer in transformer.layers]
        self._final = ImageAttention(
            transformer.final_attn_token_to_image, positions, to_image=True
        )
        self._final_norm = transformer.norm_final_attn
        output = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        if decoder.pred_obj_scores:
            output.insert(0, decoder.obj_score_token.weight)
        self._output_tokens = torch.cat(output)
        self._iou_token = 1 if decoder.pred_obj_scores else 0
        self._upscaling = _Upscaling(decoder)

    def prepare(
        self, embedding: Tensor, high_res: Sequence[Tensor], dense: Tensor | None = None
    ) -> DecoderInput:
        """Compute what depends on the image alone.

        Args:
            embedding: ``(1 or n, c, side, side)``: the coarsest feature map.
            high_res: The finer maps, the finest first; may be empty.
            dense: ``(n, c, side, side)``: dense prompts; ``None`` if no prompt has a mask.
        """
        added = self._no_mask if dense is None else _to_cells(dense)
        cells = (_to_cells(embedding) + added).to(self._dtype)
        fine = [_group_by_cell(level, self._side) for level in reversed(high_res)]
        return self._project(cells, self._upscaling.prepare(fine))

    def restored(self, tensors: Sequence[Tensor]) -> DecoderInput:
        """Make an input again from its tensors."""
        cells, keys, values, queries, *fine = tensors
        return DecoderInput(cells, keys, values, queries, tuple(fine))

    def stack(self, inputs: Sequence[DecoderInput]) -> DecoderInput:
        """Join inputs of one row each, one for each prompt."""
        rows = zip(*(one.tensors() for one in inputs), strict=True)
        return self.restored([torch.cat(parts) for parts in rows])

    def with_masks(self, image: DecoderInput, dense: Tensor) -> DecoderInput:
        """Replace the dense prompt of an input prepared without masks, ``(n, c, side, side)``."""
        change = _to_cells(dense) - self._no_mask
        return self._project(image.cells + change.to(self._dtype), image.high_res)

    def attend(self, image: DecoderInput, sparse: Tensor) -> Attended:
        """Run the two-way transformer on ``(n, points, c)`` float32 sparse prompts."""
        output = self._output_tokens.expand(len(sparse), -1, -1)
        prompt = torch.cat([output, sparse.to(self._dtype)], dim=1)
        first, *others = self._layers
        tokens = first.self_attention(prompt, None)
        from_image = first.to_image.attend_projected(tokens + prompt, image.keys, image.values)
        tokens = first.update_tokens(tokens, from_image)
        weights = first.to_tokens.weights_projected(tokens + prompt, image.queries)
        cells = first.update_cells(image.cells, weights, tokens, in_place=False)
        for layer in others:
            tokens = layer.self_attention(tokens, prompt)
            from_image = layer.to_image.attend(tokens + prompt, cells)
            tokens = layer.update_tokens(tokens, from_image)
            weights = layer.to_tokens.weights(tokens + prompt, cells)
            cells = layer.update_cells(cells, weights, tokens, in_place=True)
        tokens = self._final_norm(tokens + self._final.attend(tokens + prompt, cells))
        return Attended(tokens, cells)

    def predict(
        self, image: DecoderInput, attended: Attended, *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Return masks, ``(n, masks, 4 side, 4 side)`` float32, and their predicted IoU, ``(n,
        masks)``: three, or the single one, which gives way to the best of the three if it is not
        stable and the model is configured so."""
        quality = self.quality(attended)
        if multimask:
            return self.masks(image, attended, MULTIMASK), quality[:, MULTIMASK]
        if not self._decoder.dynamic_multimask_via_stability:
            return self.masks(image, attended, SINGLE_MASK), quality[:, SINGLE_MASK]
        masks = self.masks(image, attended, slice(None))
        return self._decoder._dynamic_multimask_via_stability(masks, quality)  # type: ignore[no-any-return]

    def quality(self, attended: Attended) -> Tensor:
        """Predict the IoU of all four masks: ``(n, 4)`` float32."""
        token = attended.tokens[:, self._iou_token].float()
        return self._decoder.iou_prediction_head(token)  # type: ignore[no-any-return]

    def presence(self, attended: Attended) -> Tensor:
        """Predict whether the object is there: ``(n, 1)`` float32 logits."""
        if not self._decoder.pred_obj_scores:
            # As stock: a model without this head takes every object to be there.
            return attended.tokens.new_full((len(attended.tokens), 1), 10.0, dtype=torch.float32)
        return self._decoder.pred_obj_score_head(attended.tokens[:, 0].float())  # type: ignore[no-any-return]

    def mask_tokens(self, attended: Attended) -> Tensor:
        """Return what masks are made from, ``(n, 4, c)``, the single mask's token first."""
        start = self._iou_token + 1
        return attended.tokens[:, start : start + self._decoder.num_mask_tokens]

    def masks(self, image: DecoderInput, attended: Attended, wanted: slice) -> Tensor:
        """Return the wanted ones of the four masks: ``(n, masks, 4 side, 4 side)`` float32."""
        tokens = self.mask_tokens(attended)
        heads = list(self._decoder.output_hypernetworks_mlps)
        weights = torch.stack([heads[i](tokens[:, i]) for i in range(len(heads))[wanted]], dim=2)
        fine = self._upscaling(attended.cells, image.high_res)
        return _to_maps(torch.matmul(fine, weights), self._side)

    def _project(self, cells: Tensor, high_res: tuple[Tensor, ...]) -> DecoderInput:
        first = self._layers[0]
        keys, values = first.to_image.keys_and_values(cells)
        return DecoderInput(cells, keys, values, first.to_tokens.queries(cells), high_res)


class _Layer:
    """One layer of the two-way transformer."""

    def __init__(self, layer: TwoWayAttentionBlock, position: Tensor) -> None:
        self._layer = layer
        self.to_image = ImageAttention(layer.cross_attn_token_to_image, position, to_image=True)
        self.to_tokens = ImageAttention(layer.cross_attn_image_to_token, position, to_image=False)

    def self_attention(self, tokens: Tensor, prompt: Tensor | None) -> Tensor:
        """Let ``(n, t, c)`` tokens attend to each other; in the first layer they are the prompt
        itself, and ``prompt`` is ``None``."""
        layer = self._layer
        if prompt is None and layer.skip_first_layer_pe:
            return layer.norm1(layer.self_attn(q=tokens, k=tokens, v=tokens))  # type: ignore[no-any-return]
        placed = tokens + (tokens if prompt is None else prompt)
        attended = tokens + layer.self_attn(q=placed, k=placed, v=tokens)
        return layer.norm1(attended)  # type: ignore[no-any-return]

    def update_tokens(self, tokens: Tensor, from_image: Tensor) -> Tensor:
        """Add what tokens attended to in the image, and run the layer's MLP; all ``(n, t, c)``."""
        tokens = self._layer.norm2(tokens + from_image)
        return self._layer.norm3(tokens + self._layer.mlp(tokens))  # type: ignore[no-any-return]

    def update_cells(
        self, cells: Tensor, weights: Tensor, tokens: Tensor, *, in_place: bool
    ) -> Tensor:
        """Add to ``(1 or n, p, c)`` cells what they attended to in the tokens, with ``(n, h * t,
        p)`` weights: ``(n, p, c)``."""
        outputs = self.to_tokens.outputs(tokens)
        by_cell = weights.transpose(1, 2)
        if in_place:
            attended = cells.baddbmm_(by_cell, outputs)
        else:
            attended = torch.baddbmm(cells.expand(len(tokens), -1, -1), by_cell, outputs)
        return self._layer.norm4(attended)  # type: ignore[no-any-return]


class _Upscaling:
    """Fourfold upscaling as two products; the parts of a cell stay beside each other."""

    def __init__(self, decoder: MaskDecoder) -> None:
        first, self._norm, self._act, second, self._last_act = decoder.output_upscaling
        self._first = _as_product(first)
        self._second = _as_product(second)

    def prepare(self, high_res: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return what is added after each product: finer maps, if any, and the biases."""
        biases = (self._first[1], self._second[1])
        if not high_res:
            return tuple(bias[None, None, None] for bias in biases)
        pairs = zip(high_res, biases, strict=True)
        return tuple((level + bias).to(bias.dtype) for level, bias in pairs)

    def __call__(self, cells: Tensor, added: tuple[Tensor, ...]) -> Tensor:
        """``(n, p * 16, c / 8)`` from ``(n, p, c)``."""
        rows = _split(torch.matmul(cells, self._first[0]), 4).add_(added[0])
        norm = self._norm
        rows = F.layer_norm(rows, rows.shape[-1:], norm.weight, norm.bias, norm.eps)
        rows = torch.matmul(self._act(rows), self._second[0])
        rows = _split(rows, 4).flatten(2, 3).add_(added[1])
        return self._last_act(rows).flatten(1, 2)  # type: ignore[no-any-return]


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


def _to_cells(level: Tensor) -> Tensor:
    """``(n, c, height, width)`` as ``(n, height * width, c)``."""
    return level.flatten(2).transpose(1, 2).contiguous()


def _group_by_cell(level: Tensor, side: int) -> Tensor:
    """``(n, c, k side, k side)`` as ``(n, side * side, k * k, c)``, the parts of a cell in the
    order in which upscaling makes them: halves of halves."""
    n, channels, height, _ = level.shape
    halvings = (height // side).bit_length() - 1
    parts = level.view(n, channels, side, *(2,) * halvings, side, *(2,) * halvings)
    rows, columns = range(3, 3 + halvings), range(4 + halvings, 4 + 2 * halvings)
    order = [axis for pair in zip(rows, columns, strict=True) for axis in pair]
    by_cell = parts.permute(0, 2, 3 + halvings, *order, 1)
    return by_cell.reshape(n, side * side, 4**halvings, channels)


def _to_maps(parts: Tensor, side: int) -> Tensor:
    """``(n, p * 16, masks)`` as ``(n, masks, 4 side, 4 side)`` float32."""
    n, _, masks = parts.shape
    by_cell = parts.view(n, side, side, 2, 2, 2, 2, masks)
    rows_first = by_cell.permute(0, 7, 1, 3, 5, 2, 4, 6)
    return rows_first.reshape(n, masks, 4 * side, 4 * side).float()
