"""Mean IoU over the classes of pixels, painted from what was found as instances.

Answers are painted over one another, the most certain on top. Mask R-CNN and SAM 2 give no class to
pixels, and this rule is one of several: figures compare models here, not with published ones of
networks for semantic segmentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diptych import Mask

from ..model import Dataset, Picture
from ..results import Answer, Value
from .resampling import Share, figure_of
from .task import TaskFigures, of_pictures

FIGURE = "semantic/mIoU"
BACKGROUND = 0
"""The ``category_id`` of pixels that nothing was painted on."""

Labels = NDArray[np.int64]
"""``(height, width)``: the ``category_id`` of each pixel; -1 where the truth says nothing."""

_PAINTED_NOTE = (
    "Classes of pixels are painted from instances with a score of at least {least:g}, the most "
    "certain on top."
)
_NO_LABELS_NOTE = (
    "The data set labels no pixels: truth is painted from its objects, the smallest on top; pixels "
    "without one are background, which is no class of the mean."
)


def semantic_figures(
    dataset: Dataset, answers: Mapping[str, Answer], *, min_score: float = 0.5
) -> TaskFigures:
    """Compute ``semantic/mIoU``, range [0, 1], and the IoU of each class.

    As in mmsegmentation, a class's IoU is of the pixels of all pictures together, and a class that
    neither truth nor answers have is not in the mean.

    Args:
        dataset: compared with ``Picture.semantic`` where there is one, else with its truths.
        answers: of one model to ``INSTANCES``, by picture's name; others are left out.
        min_score: answers below are not painted.

    Raises:
        OSError, ValueError: the labels of a picture cannot be read, or are not of its size.
    """
    classes = {each.id: each.name for each in dataset.categories}
    if BACKGROUND in dataset.semantic_classes.values():
        classes[BACKGROUND] = "background"
    shares: dict[str, Share] = {}
    for picture in dataset.pictures:
        answer = answers.get(picture.name)
        if answer is None or answer.error:
            continue
        truth, found = truth_labels(dataset, picture), answer_labels(picture, answer, min_score)
        shares[picture.name] = _share(truth, found, list(classes))
    per_class = {
        name: {FIGURE: _of_class(shares.values(), position)}
        for position, name in enumerate(classes.values())
    }
    value = figure_of(list(shares.values()))
    count = sum(each[FIGURE].value is not None for each in per_class.values())
    why = "" if value is not None else "no pixel has a class in truth or answers"
    notes = [_PAINTED_NOTE.format(least=min_score)]
    if any(picture.semantic is None for picture in dataset.pictures):
        notes.append(_NO_LABELS_NOTE)
    return TaskFigures(
        values={FIGURE: Value(value, count, why)},
        per_class=per_class,
        per_picture=of_pictures({FIGURE: shares}),
        shares={FIGURE: shares},
        notes=tuple(notes),
    )


def truth_labels(dataset: Dataset, picture: Picture) -> Labels:
    """Read a picture's classes of pixels, or paint them from its objects, crowds included.

    Values of the file that ``semantic_classes`` does not name are as the ignored one: -1.

    Raises:
        OSError, ValueError: the file cannot be read, or is not of the picture's size.
    """
    size = (picture.height, picture.width)
    if picture.semantic is None:
        masks = [
            (mask, each.category_id) for each in picture.truths if (mask := each.mask) is not None
        ]
        masks.sort(key=lambda each: -each[0].area)
        return _painted(size, masks)
    with Image.open(picture.semantic) as file:
        values = np.asarray(file).astype(np.int64)
    if values.shape != size:
        raise ValueError(
            f"{picture.semantic}: expected one value for each of {size[0]} x {size[1]} pixels, "
            f"got shape {values.shape}"
        )
    labels = np.full(size, -1, np.int64)
    for value, category_id in dataset.semantic_classes.items():
        if value != dataset.ignore_label:
            labels[values == value] = category_id
    return labels


def answer_labels(picture: Picture, answer: Answer, min_score: float) -> Labels:
    """Paint a picture's answer, the most certain on top; of equals, the one that came first."""
    size = (picture.height, picture.width)
    kept = [each for each in answer.value["segments"] if each["score"] >= min_score]
    kept = sorted(kept, key=lambda each: -float(each["score"]))[::-1]
    return _painted(
        size,
        [
            (Mask.from_coco(each["segmentation"]["counts"], size), int(each["category_id"]))
            for each in kept
            if "segmentation" in each
        ],
    )


def _painted(size: tuple[int, int], masks: Iterable[tuple[Mask, int]]) -> Labels:
    labels = np.full(size, BACKGROUND, np.int64)
    for mask, category_id in masks:
        labels[mask.to_array()] = category_id
    return labels


def _share(truth: Labels, found: Labels, classes: list[int]) -> Share:
    """Count, for each class, the pixels of both and of either, where the truth says something."""
    said = truth >= 0
    truth, found = truth[said], found[said]
    most = max([*classes, int(truth.max(initial=0)), int(found.max(initial=0))]) + 1
    wanted, given = np.bincount(truth, minlength=most), np.bincount(found, minlength=most)
    both = np.bincount(truth[truth == found], minlength=most)
    either = wanted + given - both
    totals, counts = both[classes].tolist(), either[classes].tolist()
    return Share(tuple(map(float, totals)), tuple(map(float, counts)))


def _of_class(shares: Iterable[Share], position: int) -> Value:
    both = either = 0.0
    for share in shares:
        both += share.totals[position]
        either += share.counts[position]
    if not either:
        return Value(None, why="no pixel has it in truth or answers")
    return Value(both / either, int(either))
