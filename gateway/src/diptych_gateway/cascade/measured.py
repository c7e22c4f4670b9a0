"""Figures that were measured on two models together, by the weights that they belong to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from diptych.segment import v1 as pb


def measured(detector: pb.ModelCard, segmenter: pb.ModelCard) -> Any:
    """Find what was measured on exactly the weights of these two cards, as fields of ``Metric``;
    often nothing.

    Weights are told by the SHA-256 of their files, never by name: an operator may change them at
    either end.
    """
    for entry in _entries():
        if _has(detector, entry["detector"]) and _has(segmenter, entry["segmenter"]):
            metrics: list[dict[str, Any]] = entry["metrics"]
            return metrics
    return []


def _has(card: pb.ModelCard, digest: str) -> bool:
    return any(weights.sha256.hex() == digest for weights in card.weights)


@lru_cache(maxsize=1)
def _entries() -> Sequence[dict[str, Any]]:
    """Read ``measured.json``, which ``demo-weights/evaluate_cascade.py`` writes."""
    entries: list[dict[str, Any]] = json.loads(
        files(__package__).joinpath("measured.json").read_text(encoding="utf-8")
    )
    return entries
