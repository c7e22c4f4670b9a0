"""OKS AP equals pycocotools to the last digit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_oracle import coco_results, coco_truth, pycocotools_eval
from drawn_shapes import Answers, answer

from diptych_eval.figures.keypoints import keypoint_figures
from diptych_eval.model import Category, Dataset, EvaluationTask, Picture, Truth
from diptych_eval.results import Value

POINTS = tuple(f"point {each}" for each in range(17))
STATISTICS = ("AP", "AP50", "AP75", "AP-medium", "AP-large", "AR20")


def people(seed: int) -> tuple[Dataset, Answers]:
    """Draw bodies among other objects: some unlabelled, some crowds, more than 20 answers."""
    random = np.random.default_rng(seed)
    pictures, answers = [], {}
    for index in range(10):
        truths, segments = [], []
        for number in range(int(random.integers(0, 5))):
            left, top = random.uniform(0, 200, 2)
            width, height = random.uniform(20, 150, 2)
            seen = random.choice([0, 1, 2], 17) * (random.random() > 0.15)
            x, y = random.uniform(0, 1, (2, 17)) * [[width], [height]] + [[left], [top]]
            points = np.stack([x, y, seen], axis=1)
            truths.append(
                Truth(
                    id=100 * index + number + 1,
                    category_id=2 if number < 3 else 1,
                    box=(left, top, width, height),
                    area=width * height * 0.6,
                    crowd=random.random() < 0.1,
                    keypoints=tuple(points.ravel().tolist()) if number < 3 else (),
                )
            )
            for _ in range(int(random.integers(0, 4))):
                moved = points + random.normal(0, 0.05, points.shape) * [width, height, 0]
                segments.append(body(moved, float(round(random.random(), 1))))
        for _ in range(25 if index == 4 else 1):
            far = random.uniform(0, 300, (17, 3))
            segments.append(body(far, float(round(random.random(), 1))))
        name = f"{index}.png"
        pictures.append(Picture(index + 1, name, Path(name), 300, 300, tuple(truths)))
        answers[name] = answer(name, segments)
    categories = (Category(1, "chair"), Category(2, "person", POINTS))
    tasks = frozenset({EvaluationTask.KEYPOINTS})
    dataset = Dataset("people", "coco", Path(), tasks, categories, tuple(pictures))
    return dataset, answers


def body(points: Any, score: float) -> dict[str, Any]:
    return {"category_id": 2, "score": score, "keypoints": points.ravel().tolist()}


@pytest.mark.parametrize("seed", [1, 2])
def test_oks_ap_is_that_of_pycocotools(seed: int) -> None:
    dataset, answers = people(seed)
    truth = coco_truth(dataset.pictures, dataset)
    truth["categories"] = [each for each in truth["categories"] if each["id"] == 2]
    truth["annotations"] = [each for each in truth["annotations"] if each["category_id"] == 2]
    reference = pycocotools_eval(
        truth, coco_results(dataset.pictures, answers, "keypoints"), "keypoints"
    ).stats
    figures = keypoint_figures(dataset, answers)
    for name, index in zip(STATISTICS, (0, 1, 2, 3, 4, 5), strict=True):
        assert figures.values[f"keypoints/{name}"].value == reference[index]
    for name, index in (("AR-medium", 8), ("AR-large", 9)):
        assert figures.values[f"keypoints/{name}"].value == reference[index]
    assert figures.per_class["person"] == figures.values
    labelled = [
        each
        for picture in dataset.pictures
        for each in picture.truths
        if each.visible_keypoints and not each.crowd
    ]
    assert figures.values["keypoints/AP"].count == len(labelled)


def test_bodies_that_are_not_coco_s_say_why() -> None:
    dataset, answers = people(1)
    for points, why in ((("nose", "tail"), "has 2 key points"), ((), "no class")):
        other = dataclasses.replace(dataset, categories=(Category(2, "dog", points),))
        for each in keypoint_figures(other, answers).values.values():
            assert each.value is None
            assert why in each.why
    empty = dataclasses.replace(dataset, pictures=())
    values = keypoint_figures(empty, {}).values
    assert {each.value for each in values.values()} == {None}
    silent = {name: answer(name, []) for name in answers}
    found = keypoint_figures(dataset, silent).values["keypoints/AP"]
    assert found == Value(0.0, found.count)


def test_answers_of_another_body_are_refused() -> None:
    dataset, answers = people(1)
    short = {"category_id": 2, "score": 0.5, "keypoints": [1.0, 2.0, 2.0]}
    with pytest.raises(ValueError, match=r"3\.png: an answer has 1 key points, expected 17"):
        keypoint_figures(dataset, {**answers, "3.png": answer("3.png", [short])})
