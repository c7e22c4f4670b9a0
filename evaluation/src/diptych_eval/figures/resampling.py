"""How sure a difference is: the paired bootstrap over pictures or clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..results import Difference


class Share(NamedTuple):
    """What one picture adds to a figure that is a ratio of sums, or the mean of such ratios.

    A mean over objects has one part: the sum over the picture's objects, and how many they are. A
    mean over classes has one part for each class.
    """

    totals: tuple[float, ...]
    counts: tuple[float, ...]


class Paired(NamedTuple):
    """A difference and its interval."""

    value: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int


def paired_difference(
    per_picture_a: Mapping[str, Share],
    per_picture_b: Mapping[str, Share],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Paired:
    """Compute figure of b minus figure of a, with the interval of 95 % of the paired resamples.

    Each resample draws as many pictures as there are, with replacement, the same for both.

    Args:
        per_picture_a: name of a picture or clip to its share in the figure.
        per_picture_b: of the other model, on the same pictures.
        resamples: how many; at least 1.
        seed: of the draws; the same gives the same interval.

    Raises:
        ValueError: the pictures are not the same, there are none, or no picture has a count.
    """
    raise NotImplementedError


def difference(
    figure: str,
    model_a: str,
    shares_a: Mapping[str, Share],
    model_b: str,
    shares_b: Mapping[str, Share],
    *,
    resamples: int = 1000,
    seed: int = 0,
    higher_is_better: bool = True,
) -> Difference:
    """Compute ``paired_difference`` and name it; wins are pictures on which b is better."""
    raise NotImplementedError
