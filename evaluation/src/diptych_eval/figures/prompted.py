"""Figures of prompted segmentation: a box, then clicks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..model import Dataset
from ..results import Answer, Value
from .resampling import Share


@dataclass(frozen=True)
class TaskFigures:
    """Figures of one model in one task."""

    values: Mapping[str, Value]
    per_class: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    per_picture: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Figure to picture's or clip's name to value."""
    shares: Mapping[str, Mapping[str, Share]] = field(default_factory=dict)
    """Figure to picture's or clip's name to what ``resampling`` takes."""
    lower_is_better: frozenset[str] = frozenset()
    """Figures of which less is better."""
    notes: tuple[str, ...] = ()


def prompted_figures(
    dataset: Dataset,
    answers: Mapping[str, Answer],
    *,
    clicks: Sequence[int] = (1, 3, 5),
    max_clicks: int = 20,
) -> TaskFigures:
    """Compute box mIoU, mIoU after clicks, number of clicks to IoU .85 and .90, and failures.

    Args:
        dataset: its pictures' truths are counted, but for crowds and those without a mask.
        answers: of one model, by picture's name; pictures without one are left out.
        clicks: after how many the mean IoU is wanted.
        max_clicks: as the answers were asked for.
    """
    raise NotImplementedError
