"""How sure a difference is: the paired bootstrap over pictures or clips."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..results import Difference

Array = NDArray[np.float64]

_INTERVAL = (2.5, 97.5)
_TIE = 1e-12
_AT_ONCE = 256
"""Resamples drawn together: as many as fit some megabytes."""


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
    if set(per_picture_a) != set(per_picture_b):
        name = min(set(per_picture_a) ^ set(per_picture_b))
        raise ValueError(f"paired pictures: expected the same for both models, got {name} for one")
    if not per_picture_a:
        raise ValueError("paired pictures: expected at least one, got none")
    if resamples < 1:
        raise ValueError(f"resamples: expected at least 1, got {resamples}")
    # By name, so that the interval does not depend on the order in which answers came.
    names = sorted(per_picture_a)
    (totals_a, counts_a), (totals_b, counts_b) = (
        _stacked(each, names) for each in (per_picture_a, per_picture_b)
    )
    value = _ratio(totals_b.sum(axis=0), counts_b.sum(axis=0)) - _ratio(
        totals_a.sum(axis=0), counts_a.sum(axis=0)
    )
    if np.isnan(value):
        raise ValueError(f"paired pictures: expected one with something to count, got {len(names)}")
    drawn = np.concatenate(
        [
            _ratio(times @ totals_b, times @ counts_b) - _ratio(times @ totals_a, times @ counts_a)
            for times in _draws(len(names), resamples, seed)
        ]
    )
    # A resample of nothing but pictures without a count says nothing.
    low, high = np.nanpercentile(drawn, _INTERVAL)
    by_picture = _ratio(totals_b, counts_b) - _ratio(totals_a, counts_a)
    wins, losses = int((by_picture > _TIE).sum()), int((by_picture < -_TIE).sum())
    ties = len(names) - wins - losses
    return Paired(float(value), float(low), float(high), wins, ties, losses)


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
    found = paired_difference(shares_a, shares_b, resamples=resamples, seed=seed)
    better, worse = found.wins, found.losses
    if not higher_is_better:
        better, worse = worse, better
    return Difference(
        model_a=model_a,
        model_b=model_b,
        figure=figure,
        value=found.value,
        low=found.low,
        high=found.high,
        wins=better,
        ties=found.ties,
        losses=worse,
        resamples=resamples,
        higher_is_better=higher_is_better,
    )


def figure_of(shares: Collection[Share]) -> float | None:
    """Compute the figure that pictures have together; ``None`` if they have no count at all."""
    if not shares:
        return None
    totals, counts = (np.array(each, float) for each in zip(*shares, strict=True))
    value = float(_ratio(totals.sum(axis=0), counts.sum(axis=0)))
    return None if np.isnan(value) else value


def _ratio(totals: Array, counts: Array) -> Array:
    """Average the ratios of the last axis that have a count; NaN where there is none."""
    some = counts > 0
    ratios = np.divide(totals, counts, out=np.zeros_like(totals), where=some)
    number = some.sum(axis=-1)
    mean = np.divide(
        ratios.sum(axis=-1), number, out=np.full(number.shape, np.nan), where=number > 0
    )
    return np.asarray(mean)


def _draws(pictures: int, resamples: int, seed: int) -> Iterator[Array]:
    """Draw how often each picture is in each resample: ``(some resamples, pictures)``."""
    random = np.random.default_rng(seed)
    for start in range(0, resamples, _AT_ONCE):
        rows = min(_AT_ONCE, resamples - start)
        chosen = random.integers(pictures, size=(rows, pictures))
        chosen += np.arange(rows)[:, None] * pictures
        times = np.bincount(chosen.ravel(), minlength=rows * pictures)
        yield times.reshape(rows, pictures).astype(float)


def _stacked(per_picture: Mapping[str, Share], names: Sequence[str]) -> tuple[Array, Array]:
    """Stack totals and counts: ``(pictures, parts)`` each."""
    totals, counts = zip(*(per_picture[name] for name in names), strict=True)
    return np.array(totals, float), np.array(counts, float)
