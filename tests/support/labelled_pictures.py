"""A small COCO data set on disk, to be spoilt in one way by each test; and perfect answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diptych_eval.figures.instances import instance_figures
from diptych_eval.model import Dataset
from diptych_eval.results import Answer, Cost

HEIGHT, WIDTH = 32, 40
ORIENTATION = 0x0112
TRIANGLE = [4.3, 5.1, 20.7, 6.2, 11.9, 24.6]
SQUARE = [22, 8, 34, 8, 34, 20, 22, 20]

Document = dict[str, Any]


def document() -> Document:
    """Two pictures, three objects of two classes; everything as COCO wants it."""
    return {
        "images": [
            {"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
            {"id": 2, "file_name": "b.png", "height": HEIGHT, "width": WIDTH},
        ],
        "annotations": [
            annotation(1, 1, 1, TRIANGLE),
            annotation(2, 1, 2, SQUARE),
            annotation(3, 2, 1, SQUARE),
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "hot dog"}],
    }


def annotation(number: int, image: int, category: int, polygon: list[float]) -> Document:
    """One object, its box around the polygon."""
    xs, ys = polygon[::2], polygon[1::2]
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": [list(polygon)],
        "bbox": [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)],
        "area": 144,
        "iscrowd": 0,
    }


def write(root: Path, labels: Document | str, names: tuple[str, ...] = ("a.png", "b.png")) -> Path:
    """``instances.json`` and ``images/``; pictures that differ."""
    for number, name in enumerate(names):
        save(root / "images" / name, seed=number)
    text = labels if isinstance(labels, str) else json.dumps(labels)
    (root / "instances.json").write_text(text, "utf-8")
    return root


def save(
    path: Path, *, seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH), orientation: int = 1
) -> None:
    """A picture of noise, of ``size`` (height, width) as stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    if orientation != 1:
        exif[ORIENTATION] = orientation
    image.save(path, exif=exif)


def perfect_answers(dataset: Dataset) -> dict[str, Answer]:
    """What a model says that is always right."""
    return {
        picture.name: Answer(
            picture.name,
            "",
            {
                "segments": [
                    {
                        "category_id": truth.category_id,
                        "score": 0.9,
                        "bbox": list(truth.box),
                        "segmentation": {
                            "size": list(truth.mask.size),
                            "counts": truth.mask.to_coco().decode(),
                        },
                    }
                    for truth in picture.truths
                    if truth.mask is not None
                ]
            },
            Cost(0.1, 0.1, 10),
        )
        for picture in dataset.pictures
    }


def perfect_ap(dataset: Dataset) -> float | None:
    """Mask AP of a model that is always right: 1 unless labels were misread."""
    figures = instance_figures(dataset, perfect_answers(dataset), kind="segm")
    return figures.values["segm/AP"].value
