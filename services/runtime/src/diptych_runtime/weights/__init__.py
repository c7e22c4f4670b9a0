"""Published weights: fetched once, checked in full, converted to safetensors, kept in a cache."""

from __future__ import annotations

from .conversion import check_safetensors, convert
from .download import WeightsError
from .store import OfficialWeights, StoredWeights, cache_dir, file_sha256, is_stored, locate, pull

__all__ = [
    "OfficialWeights",
    "StoredWeights",
    "WeightsError",
    "cache_dir",
    "check_safetensors",
    "convert",
    "file_sha256",
    "is_stored",
    "locate",
    "pull",
]
