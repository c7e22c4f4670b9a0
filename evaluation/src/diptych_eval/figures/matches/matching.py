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

    ``iou`` is ``(answers, truths)`` with answers by falling score; ``crowds`` is ``(truths,)``,
    ``ignored`` ``(areas, truths)``.
    """
    floors = np.minimum(thresholds, 1 - 1e-10)[None, :, None]
    taken = np.full((len(ignored), len(thresholds), len(iou)), -1, np.int64)
    if iou.size == 0:
        return taken
    busy = np.zeros((len(ignored), len(thresholds), iou.shape[1]), bool)
    groups = (~ignored[:, None, :], np.broadcast_to(ignored[:, None, :], busy.shape))
    areas, levels = np.indices(busy.shape[:2])
    for index in np.flatnonzero(iou.max(axis=1) >= floors.min()):
        free = (iou[index] >= floors) & (~busy | crowds)
        best = np.full(busy.shape[:2], -1, np.int64)
        for group in groups:
            overlap = np.where(free & group, iou[index], -1.0)
            # Of truths overlapped alike, pycocotools takes the last.
            last = iou.shape[1] - 1 - overlap[..., ::-1].argmax(axis=-1)
            found = overlap[areas, levels, last] >= 0
            best = np.where((best < 0) & found, last, best)
        taken[:, :, index] = best
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
    parts: dict[int, list[_Part]] = {each: [] for each in categories}
    count = 0
    for index, picture in enumerate(compared):
        count = index + 1
        own_areas = np.array([area_of(each) for each in picture.segments], np.float64)
        truth_areas = np.array([each.area for each in picture.picture.truths], np.float64)
        for category in {*picture.categories.tolist(), *picture.truth_categories.tolist()}:
            of_class = np.flatnonzero(picture.categories == category)[:max_answers]
            truths = np.flatnonzero(picture.truth_categories == category)
            skipped = _outside(truth_areas[truths], ranges) | picture.crowds[truths]
            taken = match(
                picture.iou[np.ix_(of_class, truths)], picture.crowds[truths], skipped, thresholds
            )
            outside = _outside(own_areas[of_class], ranges)[:, None, :]
            lost = taken >= 0
            if truths.size:
                which = np.arange(len(ranges))[:, None, None]
                lost = lost & skipped[which, np.maximum(taken, 0)]
            ignored = lost | ((taken < 0) & outside)
            right = (taken >= 0) & ~lost
            wanted = (~skipped).sum(axis=1)
            parts[category].append(_Part(index, picture.scores[of_class], right, ignored, wanted))
    shape = len(ranges), len(thresholds)
    return [_joined(each, parts[each], count, shape) for each in categories]


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
    picture: int
    scores: NDArray[np.float64]
    right: Flags
    ignored: Flags
    wanted: NDArray[np.int64]


def _joined(category: int, parts: list[_Part], count: int, shape: tuple[int, int]) -> Matches:
    wanted = np.zeros((shape[0], count), np.int64)
    for part in parts:
        wanted[:, part.picture] = part.wanted
    scores = np.concatenate([np.zeros(0), *(part.scores for part in parts)])
    lengths = [len(part.scores) for part in parts]
    pictures = np.repeat(np.array([part.picture for part in parts], np.int64), lengths)
    rank = np.concatenate([np.zeros(0, np.int64), *map(np.arange, lengths)])
    nothing = np.zeros((*shape, 0), bool)
    right = np.concatenate([nothing, *(part.right for part in parts)], axis=2)
    ignored = np.concatenate([nothing, *(part.ignored for part in parts)], axis=2)
    order = np.argsort(-scores, kind="mergesort")
    return Matches(
        category_id=category,
        scores=scores[order],
        pictures=pictures[order],
        right=right[..., order],
        ignored=ignored[..., order],
        wanted=wanted,
        rank=rank[order],
    )


def _outside(areas: NDArray[np.float64], ranges: NDArray[np.float64]) -> Flags:
    """``(areas, ranges)`` to ``(ranges, areas)``: which are outside."""
    return (areas < ranges[:, :1]) | (areas > ranges[:, 1:])
