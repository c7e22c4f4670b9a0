"""How much more AP and AR one model has than another, with intervals by paired bootstrap.

Pictures are drawn with replacement, the same ones for both models, and every figure is computed
again from the pictures drawn; 95 % of the differences lie in the interval (percentile interval:
Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..model import Dataset
from ..results import Answer, Difference
from . import hot
from .boundary import boundary_iou
from .instances import CLASS_AGNOSTIC_ANSWERS, one_class, without_classes
from .matches.arrays import AREAS
from .matches.matching import matches
from .matches.outcomes import outcome, quality
from .matches.overlaps import Segment, Similarity, answered, overlaps
from .matches.resampled import draw, recall_of_pictures, resampled, resampled_recall
from .matches.scores import f1_over_score

MIN_PICTURES = 10
"""With an object of a size: of one picture drawn again and again the interval would be a point."""

Floats = NDArray[np.float64]
Compared = Literal["segm", "bbox", "boundary", "agnostic", "agnostic-bbox"]
_BOXES = (hot.box_iou, hot.box_area)
_MASKS = (hot.mask_iou, hot.mask_area)
_HOW: Mapping[Compared, tuple[Similarity, Callable[[Segment], float]]] = {
    "segm": _MASKS,
    "bbox": _BOXES,
    "boundary": (boundary_iou, hot.mask_area),
    "agnostic": _MASKS,
    "agnostic-bbox": _BOXES,
}


def ap_difference(
    dataset: Dataset,
    answers_a: Mapping[str, Answer],
    answers_b: Mapping[str, Answer],
    *,
    model_a: str,
    model_b: str,
    kind: Compared,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Difference]:
    """Subtract the figures of model a from those of b: see ``ap_differences``."""
    answers = {model_a: answers_a, model_b: answers_b}
    return ap_differences(dataset, answers, kind=kind, resamples=resamples, seed=seed)


def ap_differences(
    dataset: Dataset,
    answers: Mapping[str, Mapping[str, Answer]],
    *,
    kind: Compared,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Difference]:
    """Compare every pair of models: AP, AP50, AP75, AP by size and AR100, of b minus those of a.

    ``answers`` holds each model's by the picture's name; each earlier model is an a to each later
    one. ``agnostic`` and ``agnostic-bbox`` ignore classes and give AR10, AR100 and AR1000. Only
    pictures that all answered without an error count. Wins, ties and losses are pictures on which b
    has a higher, the same or a lower PQ, each model's answers kept from the score on that gives its
    best F1; without classes, a picture's AR100 (``per_picture`` of ``instance_figures``). A figure
    that cannot be computed is left out, and so is AP of a size that fewer than ``MIN_PICTURES``
    pictures show. One seed draws the same pictures for all, and gives the same result. Raises
    ``ValueError`` for ``resamples`` under 1.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    names = [{each.name for each in answered(dataset, theirs)} for theirs in answers.values()]
    common = set.intersection(*names) if names else set()
    if not common or not dataset.categories:
        return []
    shared = dataclasses.replace(
        dataset, pictures=tuple(each for each in dataset.pictures if each.name in common)
    )
    if kind.startswith("agnostic"):
        shared = without_classes(shared)
        answers = {model: one_class(shared, theirs) for model, theirs in answers.items()}
    # The first row is the data set itself, so that value and interval come from one formula.
    itself = np.ones((1, len(common)), np.int64)
    weights = np.concatenate([itself, draw(len(common), resamples, seed)])
    found = {model: _figures(shared, theirs, kind, weights) for model, theirs in answers.items()}
    return [
        _difference(pair, f"{kind}/{name}", found[pair[1]].figures[name] - before, better)
        for pair in itertools.combinations(found, 2)
        for better in [found[pair[1]].qualities - found[pair[0]].qualities]
        for name, before in found[pair[0]].figures.items()
        # Of one picture with objects, no resample may have drawn it.
        if not np.isnan(before[0]) and not np.isnan(before[1:]).all()
        if _rests_on_enough(shared, name)
    ]


def _rests_on_enough(dataset: Dataset, figure: str) -> bool:
    _, _, size = figure.partition("-")
    if not size:
        return True
    low, high = AREAS[size]
    showing = (
        any(low <= truth.area <= high and not truth.crowd for truth in picture.truths)
        for picture in dataset.pictures
    )
    return sum(showing) >= MIN_PICTURES


@dataclass(frozen=True)
class _Found:
    figures: Mapping[str, Floats]
    """By row of the weights."""
    qualities: Floats
    """Each picture's PQ; its AR100 where classes do not count, NaN without an object."""


def _figures(
    dataset: Dataset, answers: Mapping[str, Answer], kind: Compared, weights: NDArray[np.int64]
) -> _Found:
    similarity, area_of = _HOW[kind]
    compared = list(overlaps(dataset, answers, similarity))
    categories = [each.id for each in dataset.categories]
    if kind.startswith("agnostic"):
        most = CLASS_AGNOSTIC_ANSWERS
        matched = matches(compared, categories, area_of, areas=("all",), max_answers=max(most))
        recalls = {f"AR{each}": resampled_recall(matched, weights, each) for each in most}
        return _Found(recalls, recall_of_pictures(matched[0], 100))
    found = [outcome(each) for each in compared]
    best = f1_over_score(found)
    qualities = np.array([quality(each, best.threshold if best else 0.0) for each in found])
    return _Found(resampled(matches(compared, categories, area_of), weights), qualities)


def _difference(pair: tuple[str, str], figure: str, more: Floats, better: Floats) -> Difference:
    sign = np.sign(np.round(better, 12))
    return Difference(
        model_a=pair[0],
        model_b=pair[1],
        figure=figure,
        value=float(more[0]),
        low=float(np.nanpercentile(more[1:], 2.5)),
        high=float(np.nanpercentile(more[1:], 97.5)),
        wins=int((sign > 0).sum()),
        ties=int((~(sign > 0) & ~(sign < 0)).sum()),
        losses=int((sign < 0).sum()),
        resamples=len(more) - 1,
    )
