"""OKS AP of key points: that of pycocotools (``COCOeval``, ``keypoints``), to the last digit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..model import Category, Dataset, Picture
from ..results import Answer, Value
from . import hot
from .instances import InstanceFigures, ap_values
from .matches.overlaps import answered

COCO_POINTS = 17
MAX_ANSWERS = 20
"""A picture, as COCO has it for key points."""
_FIGURES = ("AP", "AP50", "AP75", "AP-medium", "AP-large", "AR20", "AR-medium", "AR-large")


def keypoint_figures(dataset: Dataset, answers: Mapping[str, Answer]) -> InstanceFigures:
    """Give ``keypoints/AP``, ``AP50``, ``AP75``, ``AR20`` and sizes, by class too.

    Only categories with key points count; a truth without a labelled point is ignored. ``None``
    with a reason where bodies are not COCO's 17 points: the tolerances of OKS are measured for
    those only. Raises ``ValueError`` for an answer with another number of points.
    """
    bodies = tuple(each for each in dataset.categories if each.keypoints)
    why = _why_not(bodies)
    if why:
        return InstanceFigures(
            values={f"keypoints/{name}": Value(None, 0, why) for name in _FIGURES}
        )
    known = {each.id for each in bodies}
    pictures = tuple(
        dataclasses.replace(
            each, truths=tuple(truth for truth in each.truths if truth.category_id in known)
        )
        for each in answered(dataset, answers)
    )
    people = dataclasses.replace(dataset, categories=bodies, pictures=pictures)
    for picture in pictures:
        _check_points(picture, answers[picture.name])
    arrays = hot.evaluate(people, answers, "keypoints", max_answers=(MAX_ANSWERS,))
    counted = [
        dataclasses.replace(
            each, truths=tuple(truth for truth in each.truths if truth.visible_keypoints)
        )
        for each in pictures
    ]
    per_class = {
        category.name: ap_values(arrays, "keypoints", counted, (index, category))
        for index, category in enumerate(bodies)
    }
    return InstanceFigures(values=ap_values(arrays, "keypoints", counted), per_class=per_class)


def _check_points(picture: Picture, answer: Answer) -> None:
    for segment in answer.value["segments"]:
        if len(segment["keypoints"]) != 3 * COCO_POINTS:
            raise ValueError(
                f"{picture.name}: an answer has {len(segment['keypoints']) / 3:g} key points, "
                f"expected {COCO_POINTS}"
            )


def _why_not(bodies: tuple[Category, ...]) -> str:
    if not bodies:
        return "no class of the data set has key points"
    for each in bodies:
        if len(each.keypoints) != COCO_POINTS:
            return (
                f"class {each.name!r} has {len(each.keypoints)} key points: the tolerances of OKS "
                f"are measured for COCO's {COCO_POINTS} only"
            )
    return ""
