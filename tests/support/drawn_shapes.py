"""Labelled shapes and two models' answers, drawn from a seed: nothing is asked of a service.

They hold what figures trip over: crowds, a picture of crowds only, empty pictures, objects of all
sizes, holes, equal scores, answers twice, more than 100 answers to a picture, answers of a class
that the data set lacks, a class without an object, a class that is never answered.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diptych import Mask
from diptych_eval.model import Category, Dataset, EvaluationTask, Picture, Truth
from diptych_eval.results import Answer, Cost

CATEGORIES = ("ring", "disc", "plate", "window", "nothing")
NEVER_ANSWERED = 4
UNKNOWN_CATEGORY = 77
COST = Cost(0.1, 0.05, 1000)

Answers = Mapping[str, Answer]


@dataclass(frozen=True)
class Shapes:
    """A data set and two models' answers to it; ``b`` is the better one."""

    dataset: Dataset
    a: Answers
    b: Answers


@functools.cache
def shapes(seed: int = 1, pictures: int = 14, size: tuple[int, int] = (220, 260)) -> Shapes:
    """Draw ``pictures`` pictures of about six objects; the first is empty, the second a crowd."""
    random = np.random.default_rng(seed)
    truths = [_truths(random, index, size) for index in range(pictures)]
    first = np.cumsum([0, *map(len, truths)])
    drawn = tuple(
        Picture(
            id=index + 1,
            name=f"{index:03}.png",
            path=Path(f"{index:03}.png"),
            height=size[0],
            width=size[1],
            truths=tuple(
                Truth(int(first[index]) + number + 1, category, _box(mask), mask.area, mask, crowd)
                for number, (category, mask, crowd) in enumerate(objects)
            ),
        )
        for index, objects in enumerate(truths)
    )
    dataset = Dataset(
        name="shapes",
        format="coco",
        root=Path(),
        tasks=frozenset({EvaluationTask.INSTANCES, EvaluationTask.BOXES}),
        categories=tuple(Category(i, name) for i, name in enumerate(CATEGORIES, start=1)),
        pictures=drawn,
    )
    a, b = (
        {each.name: answer(each.name, _segments(random, each, shift)) for each in drawn}
        for shift in (4, 2)
    )
    return Shapes(dataset, a, b)


def answer(name: str, segments: list[dict[str, Any]]) -> Answer:
    """Wrap segments as a model's answer to the picture of that name."""
    return Answer(name=name, key="", value={"segments": segments}, cost=COST)


def segment(mask: Mask, category: int, score: float, **more: Any) -> dict[str, Any]:
    """Make a COCO result without ``image_id``, as answers hold it."""
    rle = {"size": list(mask.size), "counts": mask.to_coco().decode()}
    box = list(_box(mask))
    return {"category_id": category, "score": score, "bbox": box, "segmentation": rle, **more}


def _truths(
    random: np.random.Generator, index: int, size: tuple[int, int]
) -> list[tuple[int, Mask, bool]]:
    if index == 0:
        return []
    if index == 1:
        return [(2, _shape(random, 2, 60, size), True)]
    objects = []
    for _ in range(random.integers(2, 9)):
        category = int(random.integers(1, len(CATEGORIES)))
        radius = float(random.choice([6, 12, 25, 40, 62]))
        objects.append((category, _shape(random, category, radius, size), random.random() < 0.08))
    return objects


def _shape(
    random: np.random.Generator, category: int, radius: float, size: tuple[int, int]
) -> Mask:
    """Draw an ellipse or a rectangle, with a hole for odd categories."""
    centre = random.uniform(0.1, 0.9, 2) * size
    across = radius * random.uniform(0.7, 1.3, 2)
    top, left = np.maximum(0, np.floor(centre - across)).astype(int)
    bottom, right = np.minimum(size, np.ceil(centre + across) + 1).astype(int)
    y, x = np.mgrid[top:bottom, left:right]
    dy, dx = np.abs(y - centre[0]) / across[0], np.abs(x - centre[1]) / across[1]
    far: NDArray[Any] = np.hypot(dx, dy) if category <= 2 else np.maximum(dx, dy)
    drawn = (far < 1) & ((far > 0.4) if category % 2 else True)
    return Mask.from_crop(drawn, int(left), int(top), size)


def _segments(random: np.random.Generator, picture: Picture, shift: int) -> list[dict[str, Any]]:
    segments = []
    for truth in picture.truths:
        if truth.category_id == NEVER_ANSWERED or truth.mask is None:
            continue
        for _ in range(random.choice([0, 1, 1, 1, 2, 3])):
            dx, dy = random.integers(-shift, shift + 1, 2)
            mask = truth.mask.shifted(int(dx), int(dy))
            category = truth.category_id if random.random() < 0.85 else int(random.integers(1, 4))
            segments.append(_scored(random, mask, category))
        if random.random() < 0.3:
            segments.append(dict(segments[-1]) if segments else _scored(random, truth.mask, 1))
    size = picture.height, picture.width
    for _ in range(130 if picture.id == 3 else random.integers(0, 4)):
        segments.append(_scored(random, _shape(random, 2, 12, size), 2))
    segments.append(_scored(random, _shape(random, 2, 20, size), UNKNOWN_CATEGORY))
    return [segments[i] for i in random.permutation(len(segments))]


def _scored(random: np.random.Generator, mask: Mask, category: int) -> dict[str, Any]:
    # Steps of a twentieth, so that many scores are the same.
    score = float(round(random.beta(3, 2) * 20) / 20)
    return segment(mask, category, score, source_iou=float(random.random()))


def _box(mask: Mask) -> tuple[float, float, float, float]:
    edges = mask.box
    if edges is None:
        return (0.0, 0.0, 0.0, 0.0)
    return edges.xywh
