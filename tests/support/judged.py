"""A small labelled data set, and a fake gateway whose two models know it, one better."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from diptych import Box, Mask, Segment
from diptych.segment import v1 as pb
from diptych.testing import FakeCall, FakeSegmentService

SIZE = (48, 64)
CLASSES = ("thing", "other")
GOOD, COARSE, BLIND = "good", "coarse", "blind"
"""Knows every outline; takes some pixels more; as ``good``, but without classes."""
Truth = tuple[int, tuple[int, int, int, int]]


def truths_of(number: int) -> list[Truth]:
    """Class and left, top, width and height of the objects of a picture."""
    random = np.random.default_rng(number)
    found = []
    for column in range(3):
        width, height = (int(each) for each in random.integers(8, 16, 2))
        top = int(random.integers(2, SIZE[0] - height - 4))
        found.append((1 + int(random.integers(2)), (2 + 20 * column, top, width, height)))
    return found


def write_dataset(folder: Path, count: int, classes: Sequence[str] = CLASSES) -> Path:
    """Write so many pictures with three rectangles each; returns COCO's file.

    With fewer classes than two, all objects are of the first.
    """
    images, annotations = [], []
    (folder / "images").mkdir(parents=True)
    for number in range(count):
        name = f"{number:03d}.png"
        pixels = np.full((*SIZE, 3), 40, np.uint8)
        pixels[0, 0] = number
        for kind, (left, top, width, height) in truths_of(number):
            category = min(kind, len(classes))
            pixels[top : top + height, left : left + width] = 90 * category
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": category,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "segmentation": _rle((left, top, width, height)),
                }
            )
        Image.fromarray(pixels).save(folder / "images" / name)
        size = {"height": SIZE[0], "width": SIZE[1]}
        images.append({"id": number + 1, "file_name": name, **size})
    categories = [{"id": index, "name": name} for index, name in enumerate(classes, 1)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    path = folder / "instances.json"
    path.write_text(json.dumps(document))
    return path


def make_service(dataset: Path, *models: str) -> FakeSegmentService:
    """A gateway that is not started yet."""
    service = FakeSegmentService(models or (GOOD, COARSE))
    numbers = {
        hashlib.sha256(path.read_bytes()).digest(): int(path.stem)
        for path in (dataset.parent / "images").iterdir()
    }

    def answer(call: FakeCall) -> Sequence[Segment]:
        number = numbers[hashlib.sha256(call.image).digest()]
        if call.request.prompts:
            return [
                _segment((2, 2, 20, 20), CLASSES[0], 0.9, prompt=index)
                for index in range(len(call.request.prompts))
            ]
        more = 2 if call.model_id == COARSE else 0
        labels = [""] * 3 if call.model_id == BLIND else CLASSES
        return [
            _segment((left, top, width + more, height), labels[category - 1], 0.9 - 0.01 * index)
            for index, (category, (left, top, width, height)) in enumerate(truths_of(number))
        ]

    service.answer_with(answer)
    for model, card in service.cards.items():
        del card.categories[:], card.tasks[:]
        card.tasks.extend([pb.Task.TASK_INSTANCE_SEGMENTATION, pb.Task.TASK_OBJECT_DETECTION])
        if model != BLIND:
            card.categories.extend(
                pb.Category(id=index, name=name) for index, name in enumerate(CLASSES, 1)
            )
    return service


@contextmanager
def judged(folder: Path, count: int, *models: str) -> Iterator[tuple[Path, FakeSegmentService]]:
    """A data set, and a running gateway with these models."""
    dataset = write_dataset(folder, count)
    with make_service(dataset, *models) as service:
        yield dataset, service


def _mask(box: tuple[int, int, int, int]) -> Mask:
    left, top, width, height = box
    return Mask.from_crop(np.ones((height, width), bool), left, top, SIZE)


def _rle(box: tuple[int, int, int, int]) -> dict[str, object]:
    return {"size": list(SIZE), "counts": _mask(box).to_coco().decode()}


def _segment(
    box: tuple[int, int, int, int], label: str, score: float, prompt: int | None = None
) -> Segment:
    mask = _mask(box)
    left, top, width, height = box
    return Segment(
        score=score,
        box=Box(left, top, left + width, top + height),
        mask=mask,
        label=label,
        category_id=CLASSES.index(label) + 1 if label else 0,
        area=mask.area,
        prompt_index=prompt,
        candidate_index=None if prompt is None else 0,
    )
