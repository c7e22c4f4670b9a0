"""What a score is worth: precision, recall and F1 over it, and whether it is a probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .outcomes import Outcome, counted

BINS = 10
GRID = np.arange(101) / 100


@dataclass(frozen=True)
class F1:
    """Harmonic mean of precision and recall of all classes together, by the least score kept."""

    best: float
    threshold: float
    """The highest score that gives ``best``: keep answers with at least this."""
    f1: NDArray[np.float64]
    """At ``GRID``, as the next two."""
    precision: NDArray[np.float64]
    """1 where nothing is kept."""
    recall: NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Scores against the share of answers that are right; bins of equal width.

    Guo et al., "On calibration of modern neural networks", ICML 2017
    (https://arxiv.org/abs/1706.04599).
    """

    error: float
    """ECE: distance of the two, the mean over answers."""
    scores: tuple[float, ...]
    """Mean score in each bin that is not empty."""
    right: tuple[float, ...]
    counts: tuple[int, ...]


def f1_over_score(found: Sequence[Outcome]) -> F1 | None:
    """Compute F1 for every least score; ``None`` without an object.

    Answers with a lower score never change what those above take, so that keeping a part is the
    same as matching it alone.
    """
    scores, right = counted(found)
    wanted = sum(each.wanted for each in found)
    if not wanted:
        return None
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(right[order])
    # Answers of one score are kept or left together: a threshold lies at the last of them.
    ends = (
        np.flatnonzero(np.append(np.diff(scores) != 0, True)) if scores.size else scores.astype(int)
    )
    f1 = 2 * hits[ends] / (ends + 1 + wanted)
    best = int(f1.argmax()) if ends.size else -1
    kept = np.searchsorted(-scores, -GRID, side="right")
    found_hits = np.append(0, hits)[kept]
    return F1(
        best=float(f1[best]) if ends.size else 0.0,
        threshold=float(scores[ends[best]]) if ends.size else 0.0,
        f1=2 * found_hits / (kept + wanted),
        precision=np.where(kept > 0, found_hits / np.maximum(kept, 1), 1.0),
        recall=found_hits / wanted,
    )


def calibration(found: Sequence[Outcome]) -> Calibration | None:
    """Compare scores with the share that is right; ``None`` without an answer that counts."""
    scores, right = counted(found)
    if not scores.size:
        return None
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    some = counts > 0
    said = np.bincount(bins, scores, BINS)[some] / counts[some]
    true = np.bincount(bins, right, BINS)[some] / counts[some]
    return Calibration(
        error=float((np.abs(said - true) * counts[some]).sum() / len(scores)),
        scores=tuple(map(float, said)),
        right=tuple(map(float, true)),
        counts=tuple(map(int, counts[some])),
    )
