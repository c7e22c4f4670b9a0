"""The sam2 package's own modules behind the interface of ``quick``: slower, and the reference.

For parity tests, for bisection of a wrong answer, and for devices on which the rewrites lose. In
float32 nothing of the package is changed; in bfloat16 only the types at the edges of modules are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from .interface import EXACT_HEADS, HEAVY_MODULES, MULTIMASK, SINGLE_MASK


def stock_parts(model: SAM2Base, dtype: torch.dtype) -> tuple[StockEncoder, StockDecoder]:
    """Wrap the package's own encoder and decoder; videos use the model as it is.

    Args:
        model: On its device, with the weights of its heavy modules in ``dtype``; with bfloat16 it
            gets hooks that convert what goes in and out of them.
        dtype: float32 or bfloat16.
    """
    if dtype is not torch.float32:
        _convert_at_edges(model, dtype)
    return StockEncoder(model), StockDecoder(model)


class StockEncoder:
    """Implements ``Encoder`` with ``SAM2Base.forward_image``."""

    def __init__(self, model: SAM2Base) -> None:
        self._model = model

    def __call__(self, square: Tensor) -> list[Tensor]:
        """Return maps of ``(1, 3, side, side)``, the finest first: each ``(1, c, h, w)``."""
        maps: list[Tensor] = self._model.forward_image(square)["backbone_fpn"]
        return maps[-self._model.num_feature_levels :]


@dataclass(frozen=True)
class StockInput:
    """Implements ``DecoderInput``: feature maps of one image, or of one for each prompt."""

    embedding: Tensor
    """``(1 or n, c, side, side)``"""
    high_res: tuple[Tensor, ...]
    """Finer maps, the finest first; may be empty."""
    dense: Tensor | None = None
    """``(n, c, side, side)`` dense prompts; ``None`` if no prompt has a mask."""

    @property
    def nbytes(self) -> int:
        """Memory that this keeps alive, in bytes."""
        return sum(tensor.untyped_storage().nbytes() for tensor in self.tensors())

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the feature maps, the coarsest first."""
        return (self.embedding, *self.high_res)


@dataclass(frozen=True)
class StockAttended:
    """Implements ``Attended``: the package makes masks and qualities in one call."""

    all_masks: Tensor
    """``(n, 4, 4 side, 4 side)`` float32 logits."""
    all_quality: Tensor
    """``(n, 4)`` float32, the predicted IoU."""

    def rows(self, chosen: Tensor) -> StockAttended:
        """Take the prompts that ``chosen``, ``(n,)`` bool, marks."""
        return StockAttended(self.all_masks[chosen], self.all_quality[chosen])


class StockDecoder:
    """Implements ``Decoder`` with ``MaskDecoder.predict_masks``."""

    def __init__(self, model: SAM2Base) -> None:
        self._decoder = model.sam_mask_decoder
        self._dtype: torch.dtype = self._decoder.iou_token.weight.dtype
        prompts = model.sam_prompt_encoder
        with torch.inference_mode():
            self._position = prompts.get_dense_pe().to(self._dtype)
            self._no_mask = prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)

    def prepare(self, embedding: Tensor, high_res: Sequence[Tensor]) -> StockInput:
        """Keep the maps of an image, ``(1 or n, c, side, side)`` and finer ones, as they are."""
        maps = tuple(level.to(self._dtype) for level in high_res)
        return StockInput(embedding.to(self._dtype), maps)

    def restored(self, tensors: Sequence[Tensor]) -> StockInput:
        """Make an input again from its feature maps."""
        embedding, *high_res = tensors
        return StockInput(embedding, tuple(high_res))

    def stack(self, inputs: Sequence[StockInput]) -> StockInput:
        """Join inputs of one row each, without dense prompts."""
        levels = zip(*(one.high_res for one in inputs), strict=True)
        embedding = torch.cat([one.embedding for one in inputs])
        return StockInput(embedding, tuple(torch.cat(maps) for maps in levels))

    def with_masks(self, image: StockInput, dense: Tensor) -> StockInput:
        """Set the dense prompts, ``(n, c, side, side)``."""
        return replace(image, dense=dense)

    def attend(self, image: StockInput, sparse: Tensor) -> StockAttended:
        """Run the whole decoder on ``(n, points, c)`` sparse prompts."""
        dense = self._no_mask if image.dense is None else image.dense
        masks, quality, _, _ = self._decoder.predict_masks(
            image_embeddings=image.embedding,
            image_pe=self._position,
            sparse_prompt_embeddings=sparse.to(self._dtype),
            dense_prompt_embeddings=dense.to(self._dtype).expand(
                -1, -1, *image.embedding.shape[2:]
            ),
            repeat_image=len(image.embedding) == 1,
            high_res_features=list(image.high_res) or None,
        )
        return StockAttended(masks.float(), quality.float())

    def quality(self, attended: StockAttended) -> Tensor:
        """Return the predicted IoU of all four masks, ``(n, 4)`` float32."""
        return attended.all_quality

    def masks(self, image: StockInput, attended: StockAttended, wanted: slice) -> Tensor:
        """Return the wanted ones of the four masks, ``(n, masks, 4 side, 4 side)`` float32."""
        return attended.all_masks[:, wanted]

    def predict(
        self, image: StockInput, attended: StockAttended, *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Choose masks and qualities as ``MaskDecoder.forward`` does."""
        masks, quality = attended.all_masks, attended.all_quality
        if not multimask and self._decoder.dynamic_multimask_via_stability:
            return self._decoder._dynamic_multimask_via_stability(masks, quality)  # type: ignore[no-any-return]
        chosen = MULTIMASK if multimask else SINGLE_MASK
        return masks[:, chosen], quality[:, chosen]


def _convert_at_edges(model: SAM2Base, dtype: torch.dtype) -> None:
    """Let modules with weights in ``dtype`` take any floats and give float32."""
    decoder = model.sam_mask_decoder
    inputs = [getattr(model, name) for name in HEAVY_MODULES]
    inputs += [getattr(decoder, name) for name in ("conv_s0", "conv_s1") if hasattr(decoder, name)]
    for module in inputs:
        module.register_forward_pre_hook(partial(_convert_inputs, dtype), with_kwargs=True)
    for module in (decoder, model.memory_attention, model.memory_encoder):
        module.register_forward_hook(_convert_outputs)
    for name in EXACT_HEADS:
        if hasattr(decoder, name):
            hook = partial(_convert_inputs, torch.float32)
            getattr(decoder, name).register_forward_pre_hook(hook, with_kwargs=True)


def _convert_inputs(
    dtype: torch.dtype, module: nn.Module, args: Any, kwargs: Any
) -> tuple[Any, Any]:
    return _converted(args, dtype), _converted(kwargs, dtype)


def _convert_outputs(module: nn.Module, args: Any, output: Any) -> Any:
    return _converted(output, torch.float32)


def _converted(value: Any, dtype: torch.dtype) -> Any:
    """Tensors of floats in ``dtype``, inside tuples, lists and dicts too."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, (tuple, list)):
        return type(value)(_converted(one, dtype) for one in value)
    if isinstance(value, dict):
        return {name: _converted(one, dtype) for name, one in value.items()}
    return value
