"""How exact an engine computes: the setting, and what ``auto`` makes of it.

Imports no torch: what an engine does with a tier is its own business.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, TypeAlias

from ..machine import processor_flags

TierChoice: TypeAlias = Literal["auto", "exact", "fast"]
"""Values of ``DIPTYCH_TIER``."""

BFLOAT16_CAPABILITY = (8, 0)
"""CUDA capability from which tensor cores multiply bfloat16: NVIDIA's Ampere."""

_CPU_FLAGS = frozenset({"amx_bf16", "avx512_bf16", "bf16"})
"""Of Intel and AMD, and of Arm."""


class Tier(StrEnum):
    """How exact the heavy part of a model is computed."""

    EXACT = "exact"
    """In float32, with nothing that changes more than rounding."""
    FAST = "fast"
    """In bfloat16 where that loses little."""


def choose_tier(wanted: TierChoice, capability: tuple[int, int] | None = None) -> Tier:
    """Choose the tier that a setting means on this machine.

    ``auto`` is fast only where the hardware multiplies bfloat16 faster than float32. ``fast`` holds
    anywhere: without such hardware it is slower, and right all the same.

    Args:
        wanted: ``DIPTYCH_TIER``.
        capability: That of the CUDA device which computes; ``None`` is this machine's CPU.
    """
    if wanted != "auto":
        return Tier(wanted)
    quick = cpu_multiplies_bfloat16() if capability is None else capability >= BFLOAT16_CAPABILITY
    return Tier.FAST if quick else Tier.EXACT


def cpu_multiplies_bfloat16(flags: frozenset[str] | None = None) -> bool:
    """Whether a CPU with these flags, or this machine's, has instructions for products of bfloat16;
    false where the system does not say."""
    return not _CPU_FLAGS.isdisjoint(processor_flags() if flags is None else flags)
