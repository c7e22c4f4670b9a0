"""How much each answer of a picture overlaps each of its truths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...model import Dataset, Picture, Truth
from ...results import Answer

Segment = Mapping[str, Any]
"""A COCO result without ``image_id``, as ``Answer.value`` holds it."""
Similarity = Callable[[Sequence[Segment], Sequence[Truth]], NDArray[np.float64]]
"""Segments and truths of one picture to ``(segments, truths)`` of 0 to 1; the share of the segment
that lies inside where the truth is a crowd."""


@dataclass(frozen=True)
class Overlaps:
    """One picture's answers, best score first, against its truths."""

    picture: Picture
    segments: tuple[Segment, ...]
    scores: NDArray[np.float64]
    categories: NDArray[np.int64]
    iou: NDArray[np.float64]
    """``(segments, truths)``, of all classes."""

    @property
    def truth_categories(self) -> NDArray[np.int64]:
        """``Category.id`` of each truth."""
        return np.array([truth.category_id for truth in self.picture.truths], np.int64)

    @property
    def crowds(self) -> NDArray[np.bool_]:
        """Which truths are crowds."""
        return np.array([truth.crowd for truth in self.picture.truths], bool)


def answered(dataset: Dataset, answers: Mapping[str, Answer]) -> tuple[Picture, ...]:
    """Give the pictures that have an answer without an error, in the data set's order."""
    return tuple(
        each for each in dataset.pictures if each.name in answers and not answers[each.name].error
    )


def segments_of(
    dataset: Dataset, picture: Picture, answer: Answer, *, any_class: bool = False
) -> list[Segment]:
    """Give an answer's segments of classes that the data set has, or of any.

    Raises ``ValueError`` for a mask that has not the picture's size.
    """
    known = {each.id for each in dataset.categories}
    segments = answer.value["segments"]
    found = [each for each in segments if any_class or each["category_id"] in known]
    for segment in found:
        size = tuple(segment["segmentation"]["size"]) if "segmentation" in segment else None
        if size not in (None, (picture.height, picture.width)):
            raise ValueError(
                f"{picture.name}: a mask of an answer is {size[0]} high and {size[1]} wide, the "
                f"picture {picture.height} and {picture.width}: overlap means nothing then"
            )
    return found


def overlaps(
    dataset: Dataset, answers: Mapping[str, Answer], similarity: Similarity
) -> Iterator[Overlaps]:
    """Compare each answered picture's segments with its truths, one picture at a time."""
    for picture in answered(dataset, answers):
        found = segments_of(dataset, picture, answers[picture.name])
        # Equal scores keep the answer's order, as in pycocotools and tidecv.
        found.sort(key=lambda segment: -segment["score"])
        empty = np.zeros((len(found), len(picture.truths)))
        yield Overlaps(
            picture=picture,
            segments=tuple(found),
            scores=np.array([each["score"] for each in found], np.float64),
            categories=np.array([each["category_id"] for each in found], np.int64),
            iou=similarity(found, picture.truths) if empty.size else empty,
        )
