"""Puts the rewritten parts in the place of a model's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sam2.modeling.memory_encoder import MemoryEncoder
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from .decoder import QuickDecoder
from .encoder import QuickEncoder
from .memory_attention import QuickMemoryAttention


def quick_parts(model: SAM2Base, dtype: torch.dtype) -> tuple[QuickEncoder, QuickDecoder]:
    """Rewrite encoder and decoder over the weights of a model, and replace what videos use of it:
    mask decoder, memory attention and memory encoder. The trunk is gone from the model afterwards.

    Args:
        model: On its device, with the weights of its heavy modules in ``dtype``.
        dtype: float32 or bfloat16.

    Raises:
        ValueError: a configuration whose layers the rewritten ones cannot stand in for.
    """
    decoder = model.sam_mask_decoder
    with torch.inference_mode():
        prompts = model.sam_prompt_encoder
        quick_encoder = QuickEncoder(model)
        no_mask = prompts.no_mask_embed.weight[0]
        quick_decoder = QuickDecoder(decoder, prompts.get_dense_pe(), no_mask)
        # The encoder has its weights, and nobody asks the package's own.
        model.image_encoder.trunk = nn.Identity()
        model.memory_attention = QuickMemoryAttention(model.memory_attention)
        model.sam_mask_decoder = _VideoMaskDecoder(decoder, quick_decoder)
        model.memory_encoder = _VideoMemoryEncoder(model.memory_encoder, dtype)
    return quick_encoder, quick_decoder


class _VideoMaskDecoder(nn.Module):
    """Takes what ``SAM2Base`` gives its ``MaskDecoder``, one image for each prompt."""

    def __init__(self, stock: nn.Module, decoder: QuickDecoder) -> None:
        super().__init__()
        self.stock = stock
        self._decoder = decoder

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        repeat_image: bool,
        high_res_features: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what ``MaskDecoder.forward`` does: logits ``(n, masks, 4 side, 4 side)``,
        qualities ``(n, masks)``, mask tokens ``(n, 1 or 3, c)`` and presence ``(n, 1)``, all
        float32."""
        decoder = self._decoder
        fine = [_shared_row(level) for level in high_res_features or ()]
        image = decoder.prepare(image_embeddings, fine, dense_prompt_embeddings)
        attended = decoder.attend(image, sparse_prompt_embeddings)
        logits, quality = decoder.predict(image, attended, multimask=multimask_output)
        tokens = decoder.mask_tokens(attended).float()
        several = multimask_output and self.stock.use_multimask_token_for_obj_ptr
        pointers = tokens[:, 1:] if several else tokens[:, :1]
        return logits, quality, pointers, decoder.presence(attended)


class _VideoMemoryEncoder(nn.Module):
    """A memory encoder that gives float32, whatever it computes in."""

    def __init__(self, stock: MemoryEncoder, dtype: torch.dtype) -> None:
        super().__init__()
        self.stock = stock
        self._dtype = dtype

    def forward(
        self, pix_feat: Tensor, masks: Tensor, skip_mask_sigmoid: bool = False
    ) -> dict[str, Tensor | list[Tensor]]:
        """Return ``vision_features`` and ``vision_pos_enc``, whose position is never rounded."""
        # The frame is projected once for all objects of a batch.
        frame = _shared_row(pix_feat).to(self._dtype)
        encoded = self.stock(frame, masks.to(self._dtype), skip_mask_sigmoid)
        features = encoded["vision_features"].float()
        position = self.stock.position_encoding(features)
        return {"vision_features": features, "vision_pos_enc": [position]}


def _shared_row(level: Tensor) -> Tensor:
    """The one row of a tensor that only repeats it, else all rows."""
    return level[:1] if level.stride(0) == 0 else level
