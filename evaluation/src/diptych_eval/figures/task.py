"""What the figures of one task are handed over in, and means over objects in that form."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..results import Table, Value
from .resampling import Share, figure_of


@dataclass(frozen=True)
class TaskFigures:
    """Figures of one model in one task."""

    values: Mapping[str, Value]
    per_class: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Category name to figures."""
    per_picture: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Figure to picture's or clip's name to value."""
    shares: Mapping[str, Mapping[str, Share]] = field(default_factory=dict)
    """Figure to picture's or clip's name to what ``resampling`` takes."""
    lower_is_better: frozenset[str] = frozenset()
    """Figures of which less is better."""
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


class Measured(NamedTuple):
    """One figure of one object."""

    figure: str
    picture: str
    """Or clip."""
    category: str
    """Empty where objects have no class."""
    value: float


def means_over_objects(
    measured: Iterable[Measured],
) -> tuple[dict[str, Value], dict[str, dict[str, Value]], dict[str, dict[str, Share]]]:
    """Average each figure over all objects, over those of each class, and sum by picture.

    Sums are rounded once, so that no order of objects changes a figure.
    """
    everything: dict[str, list[float]] = defaultdict(list)
    by_class: dict[tuple[str, str], list[float]] = defaultdict(list)
    by_picture: dict[tuple[str, str], list[float]] = defaultdict(list)
    for figure, picture, category, value in measured:
        everything[figure].append(value)
        by_picture[figure, picture].append(value)
        if category:
            by_class[category, figure].append(value)
    per_class: dict[str, dict[str, Value]] = defaultdict(dict)
    for (category, figure), numbers in by_class.items():
        per_class[category][figure] = _mean(numbers)
    shares: dict[str, dict[str, Share]] = defaultdict(dict)
    for (figure, picture), numbers in by_picture.items():
        shares[figure][picture] = Share((math.fsum(numbers),), (len(numbers),))
    values = {figure: _mean(numbers) for figure, numbers in everything.items()}
    return values, dict(per_class), dict(shares)


def of_pictures(shares: Mapping[str, Mapping[str, Share]]) -> dict[str, dict[str, float]]:
    """Compute each picture's own figures; it has none where it has nothing to count."""
    alone = {
        figure: {name: figure_of([share]) for name, share in by_name.items()}
        for figure, by_name in shares.items()
    }
    return {
        figure: {name: value for name, value in by_name.items() if value is not None}
        for figure, by_name in alone.items()
    }


def _mean(numbers: list[float]) -> Value:
    return Value(math.fsum(numbers) / len(numbers), len(numbers))
