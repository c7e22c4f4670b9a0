"""What became of each answer at IoU .5: right, wrong, or neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .matching import match, of_same_class, ranks
from .overlaps import Overlaps

IOU = 0.5
MAX_ANSWERS = 100
"""A picture and class, as for AP."""


@dataclass(frozen=True)
class Outcome:
    """One picture's answers, best score first."""

    name: str
    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    """Takes a truth of its class, as for AP."""
    ignored: NDArray[np.bool_]
    """Lies in a crowd of its class, or 100 of its class come before it."""
    iou: NDArray[np.float64]
    """With the truth it takes, 0 where it takes none."""
    wanted: int
    """Truths that are no crowds."""


def outcome(picture: Overlaps) -> Outcome:
    """Match one picture's answers with truths of their class."""
    crowds = picture.crowds
    kept = ranks(picture.categories) < MAX_ANSWERS
    overlap = of_same_class(picture) * kept[:, None]
    taken = match(overlap, crowds, crowds[None], np.array([IOU]))[0, 0]
    takes = np.flatnonzero(taken >= 0)
    ignored = ~kept
    ignored[takes] = crowds[taken[takes]]
    right = (taken >= 0) & ~ignored
    iou = np.zeros(len(taken))
    iou[takes] = overlap[takes, taken[takes]]
    return Outcome(
        name=picture.picture.name,
        scores=picture.scores,
        right=right,
        ignored=ignored,
        iou=np.where(right, iou, 0.0),
        wanted=int((~crowds).sum()),
    )


def quality(found: Outcome, min_score: float) -> float:
    """Give one picture's PQ: summed IoU of right answers over right + (wrong + missed) / 2.

    Kirillov et al., "Panoptic segmentation", CVPR 2019 (https://arxiv.org/abs/1801.00868), with all
    classes of the picture counted together, masks that may overlap, and only answers of at least
    ``min_score``. 1 for a picture without an object on which nothing is said.
    """
    kept = (found.scores >= min_score) & ~found.ignored
    right = int((kept & found.right).sum())
    wrong, missed = int(kept.sum()) - right, found.wanted - right
    whole = right + (wrong + missed) / 2
    return float(found.iou[kept].sum()) / whole if whole else 1.0


def counted(found: Sequence[Outcome]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Give scores of all answers that count, and whether each is right."""
    scores = np.concatenate([np.zeros(0), *(each.scores[~each.ignored] for each in found)])
    right = np.concatenate([np.zeros(0, bool), *(each.right[~each.ignored] for each in found)])
    return scores, right
