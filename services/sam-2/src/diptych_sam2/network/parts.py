"""The parts of a model as both tasks use them, in the numeric type of a tier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sam2.modeling.memory_encoder import MemoryEncoder
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from diptych_runtime.engine import LoadError, Tier

from .quick.decoder import Decoder
from .quick.encoder import Encoder
from .quick.memory_attention import QuickMemoryAttention

_DTYPES = {Tier.EXACT: torch.float32, Tier.FAST: torch.bfloat16}
_HEAVY = ("image_encoder", "sam_mask_decoder", "memory_attention", "memory_encoder")


@dataclass(frozen=True)
class Parts:
    """A model on its device. Still pictures and videos share it, in one thread."""

    model: SAM2Base
    """With quick decoder and memory attention, which only videos take from it, and no trunk."""
    device: torch.device
    dtype: torch.dtype
    """Of the heavy parts; prompts, qualities, logits and pointers are float32."""
    encoder: Encoder
    decoder: Decoder
    parameter_count: int


def assemble(model: SAM2Base, device: torch.device, tier: Tier = Tier.EXACT) -> Parts:
    """Put a model on a device; it is changed, and must not be assembled twice.

    Raises:
        LoadError: a configuration whose layers the quick parts cannot stand in for.
    """
    model = model.to(device).eval()
    count = sum(p.numel() for p in model.parameters())
    dtype = _DTYPES[tier]
    for name in _HEAVY:
        getattr(model, name).to(dtype)
    # Thresholds are set on these; in bfloat16 their answers come in steps of 0.004.
    for head in ("iou_prediction_head", "pred_obj_score_head"):
        if hasattr(model.sam_mask_decoder, head):
            getattr(model.sam_mask_decoder, head).float()
    try:
        with torch.inference_mode():
            prompts = model.sam_prompt_encoder
            encoder = Encoder(model)
            decoder = Decoder(
                model.sam_mask_decoder, prompts.get_dense_pe(), prompts.no_mask_embed.weight[0]
            )
            _hasten_video(model, decoder, dtype)
    except (ValueError, AttributeError) as error:
        raise LoadError(f"this configuration of SAM 2 cannot be served: {error}") from error
    return Parts(model, device, dtype, encoder, decoder, count)


def _hasten_video(model: SAM2Base, decoder: Decoder, dtype: torch.dtype) -> None:
    # The encoder has its weights, and nobody asks the package's own.
    model.image_encoder.trunk = nn.Identity()
    model.memory_attention = QuickMemoryAttention(model.memory_attention)
    model.sam_mask_decoder = _QuickMaskDecoder(model.sam_mask_decoder, decoder)
    model.memory_encoder = _TypedMemoryEncoder(model.memory_encoder, dtype)


class _QuickMaskDecoder(nn.Module):
    """Takes what ``SAM2Base`` gives its ``MaskDecoder``, one picture for each prompt."""

    def __init__(self, stock: nn.Module, decoder: Decoder) -> None:
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
        """Logits, qualities, mask tokens and presence, all float32."""
        decoder = self._decoder
        fine = [_once(level) for level in high_res_features or ()]
        picture = decoder.prepared(image_embeddings, fine, dense_prompt_embeddings)
        attended = decoder.attend(picture, sparse_prompt_embeddings)
        logits, quality = decoder.answer(picture, attended, multimask=multimask_output)
        tokens = decoder.mask_tokens(attended).float()
        several = multimask_output and self.stock.use_multimask_token_for_obj_ptr
        pointers = tokens[:, 1:] if several else tokens[:, :1]
        return logits, quality, pointers, decoder.presence(attended)


class _TypedMemoryEncoder(nn.Module):
    """A memory encoder that gives float32, whatever it computes in."""

    def __init__(self, stock: MemoryEncoder, dtype: torch.dtype) -> None:
        super().__init__()
        self.stock = stock
        self._dtype = dtype

    def forward(
        self, pix_feat: Tensor, masks: Tensor, skip_mask_sigmoid: bool = False
    ) -> dict[str, Tensor | list[Tensor]]:
        """``vision_features`` and ``vision_pos_enc``, whose position is never rounded."""
        # The frame is projected once for all objects of a batch.
        given = (_once(pix_feat).to(self._dtype), masks.to(self._dtype))
        made = self.stock(*given, skip_mask_sigmoid)["vision_features"].float()
        return {"vision_features": made, "vision_pos_enc": [self.stock.position_encoding(made)]}


def _once(level: Tensor) -> Tensor:
    """One row of a tensor that only repeats it."""
    return level[:1] if level.stride(0) == 0 else level
