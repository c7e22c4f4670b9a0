"""How much more AP and AR one model has than another, with intervals by paired bootstrap.

Pictures are drawn with replacement, the same ones for both models, and every figure is computed
again from the pictures drawn; 95 % of the differences lie in the interval (percentile interval:
Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..model import Dataset
from ..results import Answer, Difference
from . import hot
from .boundary import boundary_iou
from .instances import CLASS_AGNOSTIC_ANSWERS, one_class
from .matches.matching import matches
from .matches.outcomes import outcome, quality
from .matches.overlaps import Segment, Similarity, answered, overlaps
from .matches.resampled import draw, resampled, resampled_recall
from .matches.scores import f1_over_score

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
    """Subtract the figures of a from those of b: AP, AP50, AP75, AP by size and AR100.

    ``agnostic`` and ``agnostic-bbox`` ignore classes and give AR10, AR100 and AR1000. Only pictures
    that both answered without an error count. Wins, ties and losses are pictures on which b has a
    higher, the same or a lower PQ at IoU .5, each model's answers kept from the score on that gives
    its best F1 (``per_picture`` of ``instance_figures``). A figure that cannot be computed is left
    out. One seed gives one result, and draws the same pictures for every pair of models.
    """
    names = [each.name for each in answered(dataset, answers_a)]
    both = {each.name for each in answered(dataset, answers_b)} & set(names)
    if not both:
        return []
    shared = dataclasses.replace(
        dataset, pictures=tuple(each for each in dataset.pictures if each.name in both)
    )
    if kind.startswith("agnostic"):
        shared, answers_a, answers_b = (
            without_classes(shared),
            one_class(shared, answers_a),
            one_class(shared, answers_b),
        )
    # The first row is the data set itself, so that value and interval come from one formula.
    itself = np.ones((1, len(both)), np.int64)
    weights = np.concatenate([itself, draw(len(both), resamples, seed)])
    figures_a, quality_a = _figures(shared, answers_a, kind, weights)
    figures_b, quality_b = _figures(shared, answers_b, kind, weights)
    better = np.sign(np.round(quality_b - quality_a, 12))
    return [
        Difference(
            model_a=model_a,
            model_b=model_b,
            figure=f"{kind}/{name}",
            value=float(more[0]),
            low=float(np.nanpercentile(more, 2.5)),
            high=float(np.nanpercentile(more, 97.5)),
            wins=int((better > 0).sum()),
            ties=int((better == 0).sum()),
            losses=int((better < 0).sum()),
            resamples=resamples,
        )
        for name, more in ((name, figures_b[name] - figures_a[name]) for name in figures_a)
        if not np.isnan(more[0])
    ]


def without_classes(dataset: Dataset) -> Dataset:
    """Put all truths into the data set's first class."""
    first = dataset.categories[:1]
    pictures = tuple(
        dataclasses.replace(
            picture,
            truths=tuple(
                dataclasses.replace(each, category_id=first[0].id) for each in picture.truths
            ),
        )
        for picture in dataset.pictures
    )
    return dataclasses.replace(dataset, categories=first, pictures=pictures)


def _figures(
    dataset: Dataset, answers: Mapping[str, Answer], kind: Compared, weights: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """Give figures by row of ``weights``, and each picture's PQ."""
    similarity, area_of = _HOW[kind]
    compared = list(overlaps(dataset, answers, similarity))
    found = [outcome(each) for each in compared]
    best = f1_over_score(found)
    qualities = np.array([quality(each, best.threshold if best else 0.0) for each in found])
    categories = [each.id for each in dataset.categories]
    if not kind.startswith("agnostic"):
        matched = matches(compared, categories, area_of)
        return resampled(matched, weights), qualities
    most = CLASS_AGNOSTIC_ANSWERS
    matched = matches(compared, categories, area_of, areas=("all",), max_answers=max(most))
    return {f"AR{each}": resampled_recall(matched, weights, each) for each in most}, qualities
