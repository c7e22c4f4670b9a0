"""A whole COCO data set as one dict, for programs that go on with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .._types.many import ManyItem
from .._types.results import SegmentResult
from ..formats import Options, Picture, format_of, names_of

Answers = Iterable[ManyItem] | Mapping[str, SegmentResult]


def coco_dataset(
    answers: Answers,
    *,
    polygons: bool = False,
    tolerance: float = 0.0,
    categories: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """Make a COCO data set of one model's answers: images, annotations and categories.

    Ids are unique over all pictures, categories have the ids that the model gave them, and masks
    are compressed run lengths, as pycocotools and supervision read them.

    Args:
        answers: What ``segment_many`` gives, of which images without a result are left out; or
            results by the names of their files.
        polygons: Write polygons instead; what has holes is cut into pieces that have none.
        tolerance: How far, in pixels, polygons may be from the outlines; 0 follows the pixels.
        categories: Names by id that are there though nothing of them was found, so that numbers
            are the same in every data set: ``{c.id: c.name for c in card.categories}``.

    Raises:
        ValueError: the tolerance is below 0, or a mask is of another size than its picture.
    """
    if not 0 <= tolerance < float("inf"):
        raise ValueError(f"tolerance: expected pixels from 0, got {tolerance}")
    options = Options(tolerance=tolerance, categories=categories or {})
    pictures = [Picture.of(name, result) for name, result in _named(answers)]
    ((_, data),) = format_of("coco-polygons" if polygons else "coco").write(pictures, options)
    made: dict[str, Any] = json.loads(data)
    return made


def _named(answers: Answers) -> list[tuple[str, SegmentResult]]:
    if isinstance(answers, Mapping):
        return list(answers.items())
    items = [(item.source, item.result, item.index) for item in answers]
    places = [source for source, _, _ in items if isinstance(source, str | os.PathLike)]
    names = dict(zip(places, names_of([Path(os.fspath(place)) for place in places]), strict=True))
    return [
        (names[source] if isinstance(source, str | os.PathLike) else f"{index}.png", result)
        for source, result, index in items
        if result is not None
    ]
