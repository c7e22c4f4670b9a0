"""Invented runs for the report: a drawn data set, answers to it, and figures that look like any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from diptych import Mask
from diptych_eval.model import Category, Clip, Dataset, EvaluationTask, Picture, Truth
from diptych_eval.results import (
    Answer,
    Cost,
    Curve,
    Difference,
    Figures,
    ModelFigures,
    Refused,
    Table,
    Value,
)

CLASSES = ("person", "car", "dog", "bicycle", "cup", "chair", "bird", "boat")
SHARES = {
    "segm": ("AP", "AP50", "AP75", "AP-small", "AP-medium", "AP-large", "AR100"),
    "bbox": ("AP", "AP50", "AP75", "AR100"),
    "boundary": ("AP",),
    "prompted": ("box-mIoU", "mIoU@1", "mIoU@3", "mIoU@5"),
    "agreement": ("AUROC", "AUROC-score", "right-matched", "right-unmatched"),
}

Answers = dict[str, dict[str, dict[str, Answer]]]


def drawn_run(
    folder: Path,
    *,
    pictures: int = 4,
    models: Sequence[str] = ("mask-rcnn", "mask-rcnn-sam-2"),
    classes: Sequence[str] = CLASSES,
    size: tuple[int, int] = (240, 320),
    seed: int = 0,
) -> tuple[Figures, Dataset, Answers]:
    """Draw pictures with ellipses, let models answer with worse ones, and invent the figures."""
    rng = np.random.default_rng(seed)
    categories = tuple(Category(index + 1, name) for index, name in enumerate(classes))
    drawn = tuple(_picture(folder, index, size, categories, rng) for index in range(pictures))
    dataset = Dataset(
        "invented scenes",
        "coco",
        folder,
        frozenset({EvaluationTask.INSTANCES, EvaluationTask.BOXES}),
        categories,
        drawn,
        sha256="0" * 64,
    )
    answers: Answers = {
        model: {
            "instances": {each.name: _answer(each, 2 + 5 * nth, rng) for each in drawn},
        }
        for nth, model in enumerate(reversed(models))
    }
    return figures_of(dataset, models, rng), dataset, answers


def _picture(
    folder: Path,
    index: int,
    size: tuple[int, int],
    categories: Sequence[Category],
    rng: np.random.Generator,
) -> Picture:
    height, width = size
    ground = Image.fromarray(rng.integers(150, 230, (6, 8, 3), dtype=np.uint8))
    image = ground.resize((width, height), Image.Resampling.BICUBIC)
    truths = []
    for number in range(int(rng.integers(2, 6))):
        category = categories[int(rng.integers(len(categories)))]
        x, y = rng.uniform(0.05, 0.7, 2) * (width, height)
        w, h = rng.uniform(0.12, 0.3, 2) * (width, height)
        mask = ellipse((x, y, w, h), size)
        color = tuple(int(each) for each in rng.integers(20, 240, 3))
        image.paste(color, mask=Image.fromarray(mask.to_array()))
        box = (float(x), float(y), float(w), float(h))
        truths.append(Truth(index * 10 + number + 1, category.id, box, float(mask.area), mask))
    path = folder / f"scene-{index:03}.png"
    image.save(path)
    return Picture(index + 1, path.name, path, height, width, tuple(truths))


def ellipse(box: tuple[float, float, float, float], size: tuple[int, int]) -> Mask:
    """The pixels of an ellipse in a box (left, top, width, height) of a picture."""
    canvas = Image.new("L", (size[1], size[0]))
    x, y, w, h = box
    ImageDraw.Draw(canvas).ellipse((x, y, x + w, y + h), fill=255)
    return Mask.from_array(np.asarray(canvas))


def _answer(picture: Picture, off: float, rng: np.random.Generator) -> Answer:
    segments = []
    for truth in picture.truths:
        x, y, w, h = np.add(truth.box, rng.normal(0, off, 4)).tolist()
        mask = ellipse((x, y, max(w, 5), max(h, 5)), (picture.height, picture.width))
        segments.append(
            {
                "category_id": truth.category_id,
                "score": round(float(rng.uniform(0.55, 1)), 3),
                "bbox": [x, y, w, h],
                "segmentation": {"size": list(mask.size), "counts": mask.to_coco().decode()},
            }
        )
    return answered(picture.name, {"segments": segments})


def answered(name: str, value: Mapping[str, Any]) -> Answer:
    """An answer at no particular cost."""
    return Answer(name, "0" * 64, value, Cost(0.2, 0.15, 4000))


def figures_of(dataset: Dataset, models: Sequence[str], rng: np.random.Generator) -> Figures:
    """Invent everything that can be computed of each model, and the differences of all pairs."""
    made = [_model(dataset, model, rng) for model in models]
    differences = [
        _difference(a, b, figure, rng)
        for nth, a in enumerate(made)
        for b in made[nth + 1 :]
        for figure in ("segm/AP", "segm/AP50", "segm/AP75", "bbox/AP", "prompted/NoC20@85")
    ]
    return Figures(
        dataset.name,
        dataset.sha256,
        len(dataset.pictures),
        sum(len(each.truths) for each in dataset.pictures),
        tuple(made),
        tuple(differences),
        (Refused("scene-000.png", models[0], "instances", "the picture has 1 x 20000 pixels"),),
        ("annotation 17 has no area: that of its mask was taken",),
        {"seed": 0, "bootstrap": 1000, "clicks": [1, 3, 5]},
        {
            model: {
                "weights": "demo",
                "weights_sha256": "ab" * 32,
                "tier": "exact",
                "software": "diptych 0.1.0",
            }
            for model in models
        },
        {
            models[0]: {
                "mask AP, COCO val2017": {
                    "name": "mask AP",
                    "value": 37.0,
                    "unit": "%",
                    "dataset": "COCO val2017",
                    "source": "https://example.org/models",
                }
            }
        }
        if models
        else {},
    )


def _model(dataset: Dataset, model: str, rng: np.random.Generator) -> ModelFigures:
    values = {
        f"{family}/{name}": _share(rng, len(dataset.pictures))
        for family, names in SHARES.items()
        for name in names
    }
    values |= {
        "prompted/NoC20@85": Value(float(rng.uniform(1, 6)), 40),
        "prompted/failures20@85": Value(float(rng.uniform(0, 0.2)), 40),
        "keypoints/AP": Value(None, 0, "the data set labels no key points"),
        "cost/service-p50-s": Value(float(rng.uniform(0.1, 0.4)), 40),
        "cost/wall-p95-s": Value(float(rng.uniform(0.5, 0.9)), 40),
        "cost/reply-bytes": Value(float(rng.uniform(4e3, 4e4)), 40),
    }
    per_class = {
        each.name: {"segm/AP": _share(rng, 9), "bbox/AP": _share(rng, 9)}
        for each in dataset.categories
    }
    if dataset.categories:
        last = dataset.categories[-1].name
        per_class[last]["segm/AP"] = Value(None, 0, "no object of this class is labelled")
    names = [each.name for each in dataset.pictures]
    return ModelFigures(
        model,
        values,
        per_class,
        tuple(_curves(rng)),
        tuple(_tables([each.name for each in dataset.categories], rng)),
        {
            figure: {name: float(rng.uniform(0.3, 1)) for name in names}
            for figure in ("segm/PQ", "prompted/box-mIoU")
        },
        ("DAVIS: masks do not overlap",),
    )


def _share(rng: np.random.Generator, count: int) -> Value:
    value = float(rng.uniform(0.5, 0.9))
    return Value(value, count, low=value - 0.04, high=value + 0.03)


def _curves(rng: np.random.Generator) -> list[Curve]:
    x = tuple(np.linspace(0, 1, 101).tolist())
    bend = float(rng.uniform(2, 6))
    f1 = tuple(4 * each * (1 - each) * 0.8 for each in x)
    return [
        Curve("Precision and recall at IoU .50", "recall", "precision", x,
              tuple(1 - each**bend for each in x)),
        Curve("F1 over score", "score", "F1", x, f1, ((0.5, 0.8, "best F1 .80 at score .50"),)),
        Curve("Calibration", "score", "share right", x[::10], tuple(v**1.3 for v in x[::10])),
    ]  # fmt: skip


def _tables(classes: Sequence[str], rng: np.random.Generator) -> list[Table]:
    ends = (*classes, "background")
    confusion = tuple(
        (
            truth,
            tuple(
                float(rng.integers(8, 40)) if truth == answer else float(rng.integers(0, 3))
                for answer in ends
            ),
        )
        for truth in ends
    )
    errors = ("class", "location", "both", "duplicate", "background", "missed")
    bins = tuple(
        (f".{n}0 to .{n + 2}0", (float(rng.integers(5, 60)), n / 10 + 0.1)) for n in range(0, 8, 2)
    )
    return [
        Table("confusion", ends, confusion, "At IoU .5 and the score of the best F1."),
        Table("TIDE errors", ("AP50 gained", "count"),
              tuple((each, (float(rng.uniform(0, 0.1)), 7.0)) for each in errors)),
        Table("agreement by bin", ("answers", "share right"), bins),
    ]  # fmt: skip


def _difference(
    a: ModelFigures, b: ModelFigures, figure: str, rng: np.random.Generator
) -> Difference:
    first, second = (each.values[figure].value or 0.0 for each in (a, b))
    by = second - first
    reach = abs(by) * float(rng.uniform(0.2, 1.8))
    wins = int(rng.integers(0, 20))
    return Difference(
        a.model_id, b.model_id, figure, by, by - reach, by + reach, wins, 3, 20 - wins, 1000,
        higher_is_better="NoC" not in figure,
    )  # fmt: skip


def renamed(figures: Figures, dataset: Dataset, name: str) -> tuple[Figures, Dataset]:
    """Give the first picture and the first class another name."""
    picture, category = dataset.pictures[0], dataset.categories[0]
    models = tuple(
        replace(
            model,
            per_picture={
                figure: {name if key == picture.name else key: v for key, v in known.items()}
                for figure, known in model.per_picture.items()
            },
            per_class={
                name if key == category.name else key: v for key, v in model.per_class.items()
            },
        )
        for model in figures.models
    )
    changed = replace(
        dataset,
        pictures=(replace(picture, name=name), *dataset.pictures[1:]),
        categories=(replace(category, name=name), *dataset.categories[1:]),
    )
    return replace(figures, models=models), changed


def drawn_clip(folder: Path, *, frames: int = 5, size: tuple[int, int] = (90, 120)) -> Clip:
    """Draw a clip in which two objects move."""
    labels, paths = {}, []
    for index in range(frames):
        objects = {key: ellipse((10 + 8 * index, 20 * key, 30, 15), size) for key in (1, 2)}
        image = Image.new("RGB", (size[1], size[0]), (200, 210, 220))
        for key, mask in objects.items():
            image.paste((90 * key, 60, 120), mask=Image.fromarray(mask.to_array()))
        path = folder / f"{index:05}.jpg"
        image.save(path)
        paths.append(path)
        labels[index] = objects
    return Clip("walk", tuple(paths), size[0], size[1], labels)
