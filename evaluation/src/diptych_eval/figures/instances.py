"""AP, AR and what is made of matches, for instance segmentation and object detection.

AP and AR are those of pycocotools (``COCOeval``, https://github.com/cocodataset/cocoapi), to the
last digit; how each further figure is defined stands in the modules of ``matches``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..model import Category, Dataset, Picture
from ..results import Answer, Curve, Table, Value
from . import hot
from .matches.arrays import AREAS, Arrays
from .matches.diagnostics import diagnose
from .matches.matching import matches
from .matches.overlaps import Similarity, answered, overlaps
from .matches.resampled import recall_of_pictures

Kind = Literal["segm", "bbox"]

SIMILARITIES: Mapping[Kind, Similarity] = {"segm": hot.mask_iou, "bbox": hot.box_iou}
CLASS_AGNOSTIC_ANSWERS = (10, 100, 1000)
WHY_NO_AP = (
    "a model that names no class segments the background too, and its best mask often is the "
    "background: AP would call that an error"
)
_SIZES = {"small": "under 32² pixels", "medium": "32² to 96² pixels", "large": "over 96² pixels"}


@dataclass(frozen=True)
class InstanceFigures:
    """One model's figures of one task; the fields go into ``ModelFigures`` as they are."""

    values: Mapping[str, Value] = field(default_factory=dict)
    per_class: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    tables: tuple[Table, ...] = ()
    per_picture: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def instance_figures(
    dataset: Dataset,
    answers: Mapping[str, Answer],
    *,
    kind: Kind,
    class_agnostic: bool = False,
) -> InstanceFigures:
    """Compare one model's segments (``segm``) or boxes (``bbox``) with the truth.

    The pictures are those with an answer without an error: leave a picture that any model refused
    out of the answers of all. ``class_agnostic`` ignores categories on both sides and gives
    AR@10/100/1000 only, named ``agnostic/…`` (``agnostic-bbox/…`` for boxes): a model that names no
    class scores the background too, so its AP says nothing. Raises ``ValueError`` for a truth
    without a mask where masks are compared, and for an answer's mask of another size.
    """
    pictures = answered(dataset, answers)
    if class_agnostic:
        return _class_agnostic(dataset, answers, kind, pictures)
    arrays = hot.evaluate(dataset, answers, kind)
    per_class = {
        category.name: ap_values(arrays, kind, pictures, (index, category))
        for index, category in enumerate(dataset.categories)
    }
    compared = list(overlaps(dataset, answers, SIMILARITIES[kind]))
    diagnosis = diagnose(dataset, compared, arrays, kind)
    return InstanceFigures(
        values={**ap_values(arrays, kind, pictures), **diagnosis.values},
        per_class=_keyed_once(dataset, per_class),
        curves=diagnosis.curves,
        tables=diagnosis.tables,
        per_picture=diagnosis.per_picture,
        notes=_notes(dataset, answers, pictures),
    )


def ap_values(
    arrays: Arrays,
    prefix: str,
    pictures: Sequence[Picture],
    of: tuple[int, Category] | None = None,
) -> dict[str, Value]:
    """Give AP and AR under ``prefix``, of all classes or ``of`` the one at an index of the arrays.

    Where there is no object to find, the value is ``None`` and says so.
    """
    category = None if of is None else of[0]
    wanted = np.array(
        [
            truth.area
            for picture in pictures
            for truth in picture.truths
            if not truth.crowd and (of is None or truth.category_id == of[1].id)
        ]
    )

    def value(figure: float | None, area: str = "all") -> Value:
        low, high = AREAS[area]
        count = int(((wanted >= low) & (wanted <= high)).sum())
        if figure is not None:
            return Value(figure, count)
        kind = f" of class {of[1].name!r}" if of else ""
        size = f" of {_SIZES[area]}" if area != "all" else ""
        return Value(None, 0, f"the pictures show no object{kind}{size}: there is nothing to find")

    found = {"AP": value(arrays.mean_precision(category=category))}
    for percent in (50, 75):
        found[f"AP{percent}"] = value(arrays.mean_precision(iou=percent / 100, category=category))
    for most in arrays.max_answers:
        found[f"AR{most}"] = value(arrays.mean_recall(answers=most, category=category))
    for area in arrays.areas[1:]:
        found[f"AP-{area}"] = value(arrays.mean_precision(area=area, category=category), area)
        found[f"AR-{area}"] = value(arrays.mean_recall(area=area, category=category), area)
    return {f"{prefix}/{name}": each for name, each in found.items()}


def _class_agnostic(
    dataset: Dataset, answers: Mapping[str, Answer], kind: Kind, pictures: Sequence[Picture]
) -> InstanceFigures:
    prefix = "agnostic" if kind == "segm" else "agnostic-bbox"
    # hotcoco, as pycocotools, drops answers of classes that the data set lacks, 0 among them.
    merged = one_class(dataset, answers)
    arrays = hot.evaluate(
        dataset, merged, kind, class_agnostic=True, max_answers=CLASS_AGNOSTIC_ANSWERS
    )
    values = {
        name: each for name, each in ap_values(arrays, prefix, pictures).items() if "/AR" in name
    }
    values[f"{prefix}/AP"] = Value(None, 0, WHY_NO_AP)
    return InstanceFigures(
        values=values,
        per_picture={
            f"{prefix}/AR100": _recall_of_pictures(without_classes(dataset), merged, kind)
        },
        notes=(f"{prefix}/AP is not given: {WHY_NO_AP}.",),
    )


def one_class(dataset: Dataset, answers: Mapping[str, Answer]) -> dict[str, Answer]:
    """Put all segments into the data set's first class, whatever class they have."""
    first = dataset.categories[0].id if dataset.categories else 0
    return {
        name: dataclasses.replace(
            each,
            value={
                **each.value,
                "segments": [
                    {**segment, "category_id": first} for segment in each.value.get("segments", ())
                ],
            },
        )
        for name, each in answers.items()
    }


def _keyed_once(
    dataset: Dataset, per_class: Mapping[str, Mapping[str, Value]]
) -> Mapping[str, Mapping[str, Value]]:
    if len(per_class) < len(dataset.categories):
        raise ValueError("two categories of the data set have one name")
    return per_class


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


def _recall_of_pictures(
    dataset: Dataset, answers: Mapping[str, Answer], kind: Kind
) -> dict[str, float]:
    """Give each picture's AR100; it has none where it has no object."""
    # No answer counts against recall, whatever its area.
    compared = overlaps(dataset, answers, SIMILARITIES[kind])
    categories = [each.id for each in dataset.categories]
    found = matches(compared, categories, lambda _: 0.0, areas=("all",))
    if not found:
        return {}
    names = [each.name for each in answered(dataset, answers)]
    recalls = zip(names, recall_of_pictures(found[0], 100).tolist(), strict=True)
    return {name: recall for name, recall in recalls if not np.isnan(recall)}


def _notes(
    dataset: Dataset, answers: Mapping[str, Answer], pictures: Sequence[Picture]
) -> tuple[str, ...]:
    known = {each.id for each in dataset.categories}
    unknown = [
        segment["category_id"]
        for picture in pictures
        for segment in answers[picture.name].value["segments"]
        if segment["category_id"] not in known
    ]
    notes = []
    if unknown:
        which = ", ".join(map(str, sorted(set(unknown))))
        notes.append(
            f"{len(unknown)} segments have a class that the data set lacks ({which}) and left."
        )
    left = len(dataset.pictures) - len(pictures)
    if left:
        notes.append(f"{left} of {len(dataset.pictures)} pictures have no answer and left.")
    return tuple(notes)
