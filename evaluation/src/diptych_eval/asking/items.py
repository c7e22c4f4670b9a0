"""What is asked about one picture or clip, in any task."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diptych import Client, OutputOptions, Segment, SegmentResult

from ..model import Clip, Dataset, EvaluationTask, Picture
from ..results import Answer
from .clicks import ask_clicks
from .plan import CALLS, Question
from .spent import Spent
from .video import ask_clip

MAX_SEGMENTS = 1000
"""The most that AR looks at."""
_FORM = 1
"""Of what an answer holds; where it changes, what earlier versions kept is asked again."""
Options = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """One picture or clip, and how to ask about it."""

    name: str
    files: tuple[Path, ...]
    options: Callable[[], Options]
    """All that the answer depends on but for the files and who answers."""
    ask: Callable[[], Answer]
    """Asks once; the answer's key is empty."""


def items_of(
    client: Client,
    question: Question,
    dataset: Dataset,
    *,
    clicks: Sequence[int],
    max_clicks: int,
) -> list[Item]:
    """List what a question asks, in the order of names."""
    task = question.task
    if task is EvaluationTask.VIDEO:
        return [_clip_item(client, question, clip) for clip in dataset.clips]
    if task is EvaluationTask.PROMPTED:
        return [
            _clicked_item(client, question, each, clicks, max_clicks) for each in dataset.pictures
        ]
    return [_found_item(client, question, picture) for picture in dataset.pictures]


def sha256_of(files: Iterable[Path]) -> str:
    """SHA-256 of a file, or of several by way of theirs.

    Raises:
        OSError: one cannot be read.
    """
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return digests[0] if len(digests) == 1 else _digest(digests)


def _found_item(client: Client, question: Question, picture: Picture) -> Item:
    limit = question.card.limits.max_segments or MAX_SEGMENTS
    output = OutputOptions(min_score=0.0, max_segments=min(limit, MAX_SEGMENTS))

    def ask() -> Answer:
        spent, before = Spent(), time.perf_counter()
        result = client.segment(
            picture.path, model=question.card.id, task=CALLS[question.task], output=output
        )
        spent.add(result, time.perf_counter() - before)
        _check_size(picture, result)
        return spent.answer(picture.name, "", {"segments": list(_found(result, question))})

    def options() -> Options:
        labels = None if question.labels is None else dict(question.labels)
        return {
            **_asked(question),
            "max_segments": output.max_segments,
            "min_score": output.min_score,
            "labels": labels,
        }

    return Item(picture.name, (picture.path,), options, ask)


def _clicked_item(
    client: Client, question: Question, picture: Picture, clicks: Sequence[int], max_clicks: int
) -> Item:
    def ask() -> Answer:
        data = picture.path.read_bytes()
        return ask_clicks(
            client, question.card, picture, data, clicks=clicks, max_clicks=max_clicks
        )

    def options() -> Options:
        truths = [
            [truth.id, truth.box, truth.mask.to_coco().decode() if truth.mask else ""]
            for truth in picture.truths
            if not truth.crowd
        ]
        return {
            **_asked(question),
            "clicks": list(clicks),
            "max_clicks": max_clicks,
            "truths": _digest(truths),
        }

    return Item(picture.name, (picture.path,), options, ask)


def _clip_item(client: Client, question: Question, clip: Clip) -> Item:
    def options() -> Options:
        labels = [
            [index, number, mask.to_coco().decode()]
            for index, masks in sorted(clip.labels.items())
            for number, mask in sorted(masks.items())
        ]
        return {**_asked(question), "first": "mask", "labels": _digest(labels)}

    def ask() -> Answer:
        return ask_clip(client, question.card, clip)

    return Item(clip.name, clip.frames, options, ask)


def _asked(question: Question) -> Options:
    return {"task": question.task.value, "form": _FORM}


def _check_size(picture: Picture, result: SegmentResult) -> None:
    if result.image_size != (picture.height, picture.width):
        height, width = result.image_size
        raise ValueError(
            f"{picture.name}: the model saw {width} x {height} pixels, the labels are of "
            f"{picture.width} x {picture.height}"
        )


def _found(result: SegmentResult, question: Question) -> Iterator[Mapping[str, Any]]:
    """Segments as COCO results; those of classes that the data set does not have are left out."""
    for segment in result.segments:
        category = 0 if question.labels is None else question.labels.get(segment.label)
        if category is not None:
            yield _coco(segment, result.image_size, category)


def _coco(segment: Segment, size: tuple[int, int], category: int) -> Mapping[str, Any]:
    box = segment.box or (segment.mask.box if segment.mask else None)
    made: dict[str, Any] = {
        "category_id": category,
        "score": segment.score,
        "bbox": list(box.xywh) if box else [0.0, 0.0, 0.0, 0.0],
    }
    if segment.mask is not None:
        counts = segment.mask.to_coco().decode("ascii")
        made["segmentation"] = {"size": list(size), "counts": counts}
    if segment.keypoints:
        made["keypoints"] = [value for each in segment.keypoints for value in (each.x, each.y, 2)]
    if segment.source_iou is not None:
        made["source_iou"] = segment.source_iou
    return made


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()
