"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .matching import match
from .overlaps import Overlaps

IOU = 0.5
MAX_ANSWERS = 100


def confusion_matrix(
    compared: Iterable[Overlaps], categories: Sequence[int], min_score: float
) -> NDArray[np.int64]:
    """Count ``(classes + 1, classes + 1)`` truths (rows) by what they are called (columns).

    The last column are truths that no answer takes, the last row answers that take none. As for
    AP but for classes: the 100 best answers a picture with at least ``min_score`` take turns by
    score, each the free truth of any class that it overlaps most, at IoU >= .5; what lies in a
    crowd is not counted.
    """
    index = {each: number for number, each in enumerate(categories)}
    nothing = len(categories)
    matrix = np.zeros((nothing + 1, nothing + 1), np.int64)
    for picture in compared:
        kept = np.flatnonzero(picture.scores >= min_score)[:MAX_ANSWERS]
        crowds = picture.crowds
        taken = match(picture.iou[kept], crowds, crowds[None], np.array([IOU]))[0, 0]
        truths = [index[each] for each in picture.truth_categories.tolist()]
        answers = [index[each] for each in picture.categories[kept].tolist()]
        for answer, truth in zip(answers, taken.tolist(), strict=True):
            if truth < 0 or not crowds[truth]:
                matrix[truths[truth] if truth >= 0 else nothing, answer] += 1
        for number in set(np.flatnonzero(~crowds).tolist()) - set(taken.tolist()):
            matrix[truths[number], nothing] += 1
    return matrix
