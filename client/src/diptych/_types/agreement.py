"""How far models agree, frozen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Match:
    """Two segments that two models agree on, as indices into their results."""

    index_a: int
    index_b: int
    iou: float


@dataclass(frozen=True)
class Agreement:
    """How far two models agree on one image, without ground truth."""

    model_id_a: str
    model_id_b: str
    basis: str
    """What was compared: ``"mask-iou"``, ``"box-iou"`` or ``"prompt"``."""
    matches: tuple[Match, ...]
    """One to one."""
    only_a: tuple[int, ...]
    """Segments of the first model without a match."""
    only_b: tuple[int, ...]
    """Segments of the second model without a match."""
    mean_match_iou: float | None
    """``None`` if nothing matches."""
    foreground_iou: float | None
    """Of all pixels that the models call object; ``None`` without masks."""


@dataclass(frozen=True)
class Agreements:
    """The end of a streamed comparison: one entry per pair of models that both answered."""

    pairs: tuple[Agreement, ...]

    def __iter__(self) -> Iterator[Agreement]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)
