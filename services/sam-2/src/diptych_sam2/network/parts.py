"""The parts of a model as both tasks use them, in the numeric type of a tier.

Here, and only here, the rewritten parts or the package's own are chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from sam2.modeling.sam2_base import SAM2Base

from diptych_runtime.engine import LoadError, Tier

from ..settings import NetworkChoice
from .interface import EXACT_HEADS, HEAVY_MODULES, Decoder, Encoder
from .quick.replace import quick_parts
from .stock import stock_parts

_DTYPES = {Tier.EXACT: torch.float32, Tier.FAST: torch.bfloat16}


@dataclass(frozen=True)
class Parts:
    """A model on its device. Still images and videos share it, in one thread."""

    model: SAM2Base
    """For prompts and videos; of a quick network its heavy modules are replaced, and its trunk is
    gone."""
    device: torch.device
    dtype: torch.dtype
    """Of the heavy parts; prompts, qualities, logits and pointers are float32."""
    encoder: Encoder
    decoder: Decoder[Any, Any]
    parameter_count: int


def assemble(
    model: SAM2Base,
    device: torch.device,
    tier: Tier = Tier.EXACT,
    network: NetworkChoice = "quick",
) -> Parts:
    """Put a model on a device; it is changed, and must not be assembled twice.

    Raises:
        LoadError: a configuration whose layers the quick parts cannot stand in for.
    """
    model = model.to(device).eval()
    count = sum(p.numel() for p in model.parameters())
    dtype = _DTYPES[tier]
    for name in HEAVY_MODULES:
        getattr(model, name).to(dtype)
    for name in EXACT_HEADS:
        if hasattr(model.sam_mask_decoder, name):
            getattr(model.sam_mask_decoder, name).float()
    encoder: Encoder
    decoder: Decoder[Any, Any]
    if network == "stock":
        encoder, decoder = stock_parts(model, dtype)
        return Parts(model, device, dtype, encoder, decoder, count)
    try:
        encoder, decoder = quick_parts(model, dtype)
    except (ValueError, AttributeError) as error:
        raise LoadError(
            f"this configuration of SAM 2 cannot be served: {error}; "
            "with DIPTYCH_SAM_2_NETWORK=stock the package's own modules serve it"
        ) from error
    return Parts(model, device, dtype, encoder, decoder, count)
