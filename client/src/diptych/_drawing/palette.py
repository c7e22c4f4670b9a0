"""Colours of segments: stable, and the same for segments that models agree on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._types.agreement import Agreement
    from .._types.results import ModelOutcome

PALETTE = (
    "#e6194b",
    "#1f77d0",
    "#2ca02c",
    "#ff7f0e",
    "#8e24aa",
    "#00a3a3",
    "#f032c6",
    "#a0522d",
    "#b8a500",
    "#4b5bd6",
    "#7cb518",
    "#c2185b",
)


def color(index: int) -> str:
    """The colour of the n-th instance, as ``#rrggbb``; they repeat after twelve."""
    return PALETTE[index % len(PALETTE)]


def text_color(background: str) -> str:
    """Black or white, whichever is easier to read on ``#rrggbb``."""
    red, green, blue = (int(background[i : i + 2], 16) / 255 for i in (1, 3, 5))
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2  # ITU-R BT.709
    return "black" if luminance > 0.36 else "white"


def shared_colors(
    outcomes: Sequence[ModelOutcome], agreements: Sequence[Agreement]
) -> Mapping[str, list[str]]:
    """Colours of each model's segments; one that matches an earlier model's takes its colour."""
    partners: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for agreement in agreements:
        for match in agreement.matches:
            a = (agreement.model_id_a, match.index_a)
            b = (agreement.model_id_b, match.index_b)
            partners.setdefault(a, []).append(b)
            partners.setdefault(b, []).append(a)
    numbers: dict[tuple[str, int], int] = {}
    fresh = 0
    for outcome in outcomes:
        for index in range(len(outcome.result.segments) if outcome.result else 0):
            segment = (outcome.model_id, index)
            known = [numbers[other] for other in partners.get(segment, []) if other in numbers]
            numbers[segment] = known[0] if known else fresh
            fresh += not known
    return {
        outcome.model_id: [
            color(numbers[outcome.model_id, index])
            for index in range(len(outcome.result.segments) if outcome.result else 0)
        ]
        for outcome in outcomes
    }
