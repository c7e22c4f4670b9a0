"""AP and AR of pictures drawn with replacement, without matching them again.

A picture that is drawn n times counts n times: its answers' right and wrong, and its truths, are
weighted by n. That is what evaluating a data set with n copies of the picture gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import IOU_THRESHOLDS, RECALL_THRESHOLDS
from .matching import Matches

FIGURES = ("AP", "AP50", "AP75", "AP-small", "AP-medium", "AP-large", "AR100")
_CHUNK = 4_000_000
"""Weights of answers held at once: some tens of MB."""

_EDGES = np.append(RECALL_THRESHOLDS, np.inf)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def draw(pictures: int, resamples: int, seed: int) -> Ints:
    """Draw as many pictures as there are, ``resamples`` times: ``(resamples, pictures)`` counts."""
    random = np.random.default_rng(seed)
    equal = np.full(pictures, 1 / max(pictures, 1))
    return random.multinomial(pictures, equal, size=resamples)


def resampled(found: Sequence[Matches], weights: Ints) -> dict[str, Floats]:
    """Give each of ``FIGURES`` for each row of ``weights``; NaN where no object was drawn.

    ``found`` are matches of COCO's four areas and ten thresholds, a class each; ``weights`` is
    ``(resamples, pictures)``: how often each picture counts.
    """
    sums, present = np.zeros((4, len(IOU_THRESHOLDS), len(weights))), np.zeros((4, len(weights)))
    for each in found:
        for area in range(4):
            if each.wanted[area].any():
                wanted = _times(weights, each.wanted[area])
                present[area] += wanted > 0
                sums[area] += _precision(each, area, weights, wanted)
    means = sums / _or_nan(present)[:, None, :]
    whole = means.mean(axis=1)
    recall = resampled_recall(found, weights, 100)
    precisions = (whole[0], means[0, 0], means[0, 5], *whole[1:])
    return dict(zip(FIGURES, (*precisions, recall), strict=True))


def resampled_recall(found: Sequence[Matches], weights: Ints, most: int) -> Floats:
    """Give AR with at most ``most`` answers of a class and picture, as ``resampled`` does."""
    sums, present = np.zeros(len(weights)), np.zeros(len(weights))
    for each in found:
        wanted = _times(weights, each.wanted[0])
        hits = _hits(each, most)
        present += wanted > 0
        sums += _times(weights, hits) / np.maximum(wanted, 1) / each.right.shape[1]
    return sums / _or_nan(present)


def recall_of_pictures(found: Matches, most: int) -> Floats:
    """Give each picture's AR of one class with at most ``most`` answers; NaN without an object."""
    recall: Floats = _hits(found, most) / found.right.shape[1] / _or_nan(found.wanted[0])
    return recall


def _hits(found: Matches, most: int) -> Ints:
    """Count each picture's right answers, of all thresholds together."""
    _, answers = np.nonzero(found.right[0] & (found.rank < most))
    hits: Ints = np.bincount(found.pictures[answers], minlength=found.wanted.shape[1])
    return hits


def _times(weights: Ints, counts: NDArray[Any]) -> Floats:
    """Sum a count over the pictures drawn; of whole numbers, so that it is exact."""
    some = np.flatnonzero(counts)
    return weights[:, some].astype(np.float64) @ counts[some].astype(np.float64)


def _or_nan(count: NDArray[Any]) -> Floats:
    return np.where(count > 0, count, np.nan)


def _precision(each: Matches, area: int, weights: Ints, wanted: Floats) -> Floats:
    """Give a class's AP, ``(thresholds, resamples)``, 0 without truths."""
    right, ignored = each.right[area], each.ignored[area]
    counts = ~ignored.all(axis=0)
    pictures, right, ignored = each.pictures[counts], right[:, counts], ignored[:, counts]
    precision = np.zeros((len(right), len(weights)))
    if not right.any():
        return precision
    step = max(1, _CHUNK // len(pictures))
    for start in range(0, len(weights), step):
        rows = slice(start, start + step)
        drawn = weights[rows][:, pictures].astype(np.int32)
        precision[:, rows] = _precision_of_rows(drawn, right, ignored, wanted[rows])
    return precision


def _precision_of_rows(
    drawn: NDArray[np.int32], right: NDArray[np.bool_], ignored: NDArray[np.bool_], wanted: Floats
) -> Floats:
    whole = np.maximum(wanted, 1)
    precision = np.zeros((len(right), len(drawn)))
    for level in range(len(right)):
        # What is ignored seldom changes from one threshold to the next.
        if level == 0 or (ignored[level] != ignored[level - 1]).any():
            seen = np.cumsum(drawn * ~ignored[level], axis=1, dtype=np.int32)
        at = np.flatnonzero(right[level])
        if at.size:
            # The best precision at a recall or above lies at a right answer.
            hits = np.cumsum(drawn[:, at], axis=1, dtype=np.int32)
            exact = hits / np.maximum(seen[:, at], 1)
            best = np.maximum.accumulate(exact[:, ::-1], axis=1)[:, ::-1]
            # Each is the precision of the recalls that are reached there and not before.
            recalls = np.diff(_reached(hits, whole), axis=1, prepend=0)
            precision[level] = (best * recalls).sum(axis=1) / len(RECALL_THRESHOLDS)
    return precision


def _reached(hits: NDArray[np.int32], wanted: Floats) -> Ints:
    """Count the recall thresholds that so many right answers reach, exactly as pycocotools does."""
    recall = hits / wanted[:, None]
    count = (recall * 100).astype(np.int64)
    # The product may be a rounding off a threshold; thresholds themselves are, too.
    count += _EDGES[count + 1] <= recall
    count -= _EDGES[count] > recall
    return count + 1
