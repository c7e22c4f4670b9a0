"""Figures of prompted segmentation: a box, then clicks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..model import Dataset
from ..results import Answer, Value
from .task import Measured, TaskFigures, means_over_objects, of_pictures

TARGETS = (0.85, 0.90)
"""IoU that clicks are counted to; an object that never comes to the last one is a failure."""

_ONE_CLICK = "not applicable: the model takes one click an object and cannot be corrected by more"
_NOTHING = "no object with a mask was asked for"
_NO_BOXES = "not applicable: the model takes no boxes"
_NO_CLICKS = "not applicable: the model takes no clicks"


def prompted_figures(
    dataset: Dataset,
    answers: Mapping[str, Answer],
    *,
    clicks: Sequence[int] = (1, 3, 5),
    max_clicks: int = 20,
) -> TaskFigures:
    """Compute box mIoU, mIoU after clicks, number of clicks to IoU .85 and .90, and failures.

    ``prompted/box-mIoU``, ``prompted/mIoU@3``, ``prompted/NoC20@85``, ``prompted/failures20@90``.
    An object for which no click was left to make keeps its last IoU. One that never comes to the
    target counts with ``max_clicks``, as in RITM; failures are the share of such objects. (RITM's
    ``>=20@90`` adds those that come to it with the very last click.)

    Args:
        dataset: its truths' classes; which were asked for stands in the answers.
        answers: of one model, by picture's name; pictures without one are left out.
        clicks: after how many the mean IoU is wanted.
        max_clicks: as the answers were asked for.
    """
    categories = {each.id: each.name for each in dataset.categories}
    classes = {
        str(truth.id): categories.get(truth.category_id, "")
        for picture in dataset.pictures
        for truth in picture.truths
    }
    given = [answer for answer in answers.values() if not answer.error]
    corrected = all(answer.value["corrected"] for answer in given)
    measured = [
        Measured(figure, answer.name, classes.get(truth_id, ""), value)
        for answer in given
        for truth_id, found in answer.value["objects"].items()
        for figure, value in _of_object(found, clicks, max_clicks, corrected)
    ]
    values, per_class, shares = means_over_objects(measured)
    names = _names(clicks, max_clicks)
    failures = names[-1]
    if failures in values:
        count = values[failures].count
        failed = round((values[failures].value or 0) * count)
        why = f"{failed} of {count} objects never come to IoU {TARGETS[-1]:g}"
        values[failures] = replace(values[failures], why=why)
    missing = {
        name: Value(None, why=_why(name, bool(measured), corrected, values)) for name in names
    }
    return TaskFigures(
        values={name: values.get(name, missing[name]) for name in names},
        per_class=per_class,
        per_picture=of_pictures(shares),
        shares=shares,
        lower_is_better=frozenset(names[-3:]),
    )


def clicks_to(ious: Sequence[float], target: float, max_clicks: int) -> int:
    """Count the clicks after which an object is at ``target``; ``max_clicks`` if it never is."""
    reached = (count for count, iou in enumerate(ious[:max_clicks], 1) if iou >= target)
    return next(reached, max_clicks)


def _names(clicks: Sequence[int], max_clicks: int) -> list[str]:
    """All figures, in the order in which they are shown."""
    return [
        "prompted/box-mIoU",
        *(f"prompted/mIoU@{count}" for count in sorted(set(clicks))),
        *(f"prompted/NoC{max_clicks}@{100 * target:.0f}" for target in TARGETS),
        f"prompted/failures{max_clicks}@{100 * TARGETS[-1]:.0f}",
    ]


def _of_object(
    found: Mapping[str, Any], clicks: Sequence[int], max_clicks: int, corrected: bool
) -> Iterator[tuple[str, float]]:
    """Yield the figures that one object has, by name."""
    if found["box"] is not None:
        yield "prompted/box-mIoU", found["box"]
    ious = found["clicks"]
    if not ious:
        return
    for count in sorted(set(clicks)):
        if corrected or count == 1:
            yield f"prompted/mIoU@{count}", ious[min(count, len(ious)) - 1]
    if corrected:
        *_, last = TARGETS
        for target in TARGETS:
            needed = clicks_to(ious, target, max_clicks)
            yield f"prompted/NoC{max_clicks}@{100 * target:.0f}", float(needed)
        failed = all(iou < last for iou in ious[:max_clicks])
        yield f"prompted/failures{max_clicks}@{100 * last:.0f}", float(failed)


def _why(name: str, any_object: bool, corrected: bool, values: Mapping[str, Value]) -> str:
    """Say why a figure is missing."""
    if not any_object:
        return _NOTHING
    if name == "prompted/box-mIoU":
        return _NO_BOXES
    clicked = any("mIoU@" in each for each in values)
    return _ONE_CLICK if clicked and not corrected else _NO_CLICKS
