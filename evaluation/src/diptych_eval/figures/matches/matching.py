"""Match answers with truths as ``COCOeval.evaluateImg`` of pycocotools does.

Answers take turns by score; each takes the truth of its class that it overlaps most among those
still free, if it overlaps it enough. Truths outside a range of areas, and crowds, are taken only
where no other is left; the answer then counts neither as right nor as wrong. So does an answer that
takes nothing and is itself outside the range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import AREAS, IOU_THRESHOLDS, RECALL_THRESHOLDS, Arrays
from .overlaps import Overlaps, Segment

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Matches:
    """All answers of one class, best score first, and what became of them."""

    category_id: int
    scores: NDArray[np.float64]
    """``(answers,)``, falling; equal ones in the order of pictures."""
    pictures: NDArray[np.int64]
    """``(answers,)``: index of the picture."""
    right: Flags
    """``(areas, IoU thresholds, answers)``: takes a truth that counts."""
    ignored: Flags
    """``(areas, IoU thresholds, answers)``: counts neither way."""
    wanted: NDArray[np.int64]
    """``(areas, pictures)``: truths that count."""
    rank: NDArray[np.int64]
    """``(answers,)``: how many answers of the class and picture come before it."""


def match(
    iou: NDArray[np.float64], crowds: Flags, ignored: Flags, thresholds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Give the truth that each answer takes, -1 for none: ``(areas, thresholds, answers)``.

    ``iou`` is ``(answers, truths)`` with answers by falling score, and 0 where an answer may not
    take a truth; ``crowds`` is ``(truths,)``, ``ignored`` ``(areas, truths)``.
    """
    taken = np.full((len(ignored), len(thresholds), len(iou)), -1, np.int64)
    near = np.flatnonzero(iou.max(axis=1) >= thresholds.min()) if iou.size else ()
    if not len(near):
        return taken
    floors = np.minimum(thresholds, 1 - 1e-10)[None, :, None]
    busy = np.zeros((len(ignored), len(thresholds), iou.shape[1]), bool)
    groups = [~ignored[:, None, :]] + [ignored[:, None, :]] * bool(ignored.any())
    areas, levels = np.indices(busy.shape[:2])
    last = iou.shape[1] - 1
    for index in near:
        # Of truths overlapped alike, pycocotools takes the last.
        row = iou[index, ::-1]
        free = (iou[index] >= floors) & (~busy | crowds)
        best = taken[:, :, index]
        for group in groups:
            overlap = np.where((free & group)[..., ::-1], row, -1.0)
            found = (overlap.max(axis=-1) >= 0) & (best < 0)
            best[found] = last - overlap.argmax(axis=-1)[found]
        some = best >= 0
        busy[areas[some], levels[some], best[some]] = True
    return taken


def matches(
    compared: Iterable[Overlaps],
    categories: Sequence[int],
    area_of: Callable[[Segment], float],
    *,
    areas: Sequence[str] = tuple(AREAS),
    thresholds: NDArray[np.float64] = IOU_THRESHOLDS,
    max_answers: int = 100,
) -> list[Matches]:
    """Match all pictures, class by class; ``area_of`` says which size an unmatched answer has."""
    ranges = np.array([AREAS[each] for each in areas])
    parts = [_matched(each, ranges, area_of, thresholds, max_answers) for each in compared]
    empty = np.zeros((len(ranges), len(thresholds), 0), bool)
    right = np.concatenate([empty, *(each.right for each in parts)], axis=2)
    ignored = np.concatenate([empty, *(each.ignored for each in parts)], axis=2)
    nothing = np.zeros(0, np.int64)
    rank = np.concatenate([nothing, *(each.rank for each in parts)])
    called = np.concatenate([nothing, *(each.categories for each in parts)])
    scores = np.concatenate([np.zeros(0), *(each.scores for each in parts)])
    pictures = np.repeat(np.arange(len(parts)), [len(each.scores) for each in parts])
    found = []
    for category in categories:
        of_class = np.flatnonzero(called == category)
        order = of_class[np.argsort(-scores[of_class], kind="mergesort")]
        wanted = [each.wanted[:, each.truths == category].sum(axis=1) for each in parts]
        found.append(
            Matches(
                category_id=category,
                scores=scores[order],
                pictures=pictures[order],
                right=right[..., order],
                ignored=ignored[..., order],
                wanted=np.array(wanted, np.int64).reshape(len(parts), len(ranges)).T,
                rank=rank[order],
            )
        )
    return found


def accumulate(found: Sequence[Matches], areas: Sequence[str] = tuple(AREAS)) -> Arrays:
    """Make precision and recall of matches, as ``COCOeval.accumulate`` does."""
    levels = found[0].right.shape[1] if found else len(IOU_THRESHOLDS)
    shape = levels, len(RECALL_THRESHOLDS), len(found), len(areas), 1
    precision, scores = np.full(shape, -1.0), np.full(shape, -1.0)
    recall = np.full((levels, len(found), len(areas), 1), -1.0)
    for kind, each in enumerate(found):
        for area in range(len(areas)):
            wanted = each.wanted[area].sum()
            if wanted == 0:
                continue
            hits = np.cumsum(each.right[area], axis=1, dtype=np.float64)
            wrong = ~each.right[area] & ~each.ignored[area]
            misses = np.cumsum(wrong, axis=1, dtype=np.float64)
            for level in range(levels):
                line = precision[level, :, kind, area, 0]
                line[:] = scores[level, :, kind, area, 0] = 0.0
                reached = hits[level] / wanted
                recall[level, kind, area, 0] = reached[-1] if reached.size else 0.0
                exact = hits[level] / (hits[level] + misses[level] + np.spacing(1))
                best = np.maximum.accumulate(exact[::-1])[::-1]
                at = np.searchsorted(reached, RECALL_THRESHOLDS, side="left")
                at = at[at < len(best)]
                line[: len(at)] = best[at]
                scores[level, : len(at), kind, area, 0] = each.scores[at]
    return Arrays(precision, recall, scores, tuple(areas), (100,))


@dataclass(frozen=True)
class _Part:
    """One picture's answers of all classes, as in ``Matches``."""

    categories: NDArray[np.int64]
    scores: NDArray[np.float64]
    right: Flags
    ignored: Flags
    rank: NDArray[np.int64]
    truths: NDArray[np.int64]
    """Class of each truth."""
    wanted: Flags
    """``(areas, truths)``: which count."""


def ranks(categories: NDArray[np.int64]) -> NDArray[np.int64]:
    """Say how many of the same class come before each: ``(answers,)``."""
    if not categories.size:
        return categories
    order = np.argsort(categories, kind="stable")
    sorted_ = categories[order]
    starts = np.flatnonzero(np.append(True, sorted_[1:] != sorted_[:-1]))
    lengths = np.diff(np.append(starts, len(sorted_)))
    rank = np.empty_like(categories)
    rank[order] = np.arange(len(sorted_)) - np.repeat(starts, lengths)
    return rank


def of_same_class(picture: Overlaps) -> NDArray[np.float64]:
    """Give overlaps with truths of an answer's own class, 0 with others."""
    same = picture.categories[:, None] == picture.truth_categories
    own: NDArray[np.float64] = picture.iou * same
    return own


def _matched(
    picture: Overlaps,
    ranges: NDArray[np.float64],
    area_of: Callable[[Segment], float],
    thresholds: NDArray[np.float64],
    max_answers: int,
) -> _Part:
    rank = ranks(picture.categories)
    kept = np.flatnonzero(rank < max_answers)
    truth_areas = np.array([each.area for each in picture.picture.truths], np.float64)
    skipped = _outside(truth_areas, ranges) | picture.crowds
    taken = match(of_same_class(picture)[kept], picture.crowds, skipped, thresholds)
    lost = np.zeros(taken.shape, bool)
    if truth_areas.size:
        which = np.arange(len(ranges))[:, None, None]
        lost = (taken >= 0) & skipped[which, np.maximum(taken, 0)]
    own_areas = np.array([area_of(picture.segments[each]) for each in kept], np.float64)
    outside = _outside(own_areas, ranges)[:, None, :]
    return _Part(
        categories=picture.categories[kept],
        scores=picture.scores[kept],
        right=(taken >= 0) & ~lost,
        ignored=lost | ((taken < 0) & outside),
        rank=rank[kept],
        truths=picture.truth_categories,
        wanted=~skipped,
    )


def _outside(areas: NDArray[np.float64], ranges: NDArray[np.float64]) -> Flags:
    """``(areas, ranges)`` to ``(ranges, areas)``: which are outside."""
    return (areas < ranges[:, :1]) | (areas > ranges[:, 1:])
