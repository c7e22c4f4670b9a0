"""Classes of pixels, against hotcoco's evaluator of mmsegmentation's protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hotcoco.semantic import SemanticEval
from numpy.typing import NDArray
from PIL import Image

from diptych import Mask
from diptych_eval.figures.semantic import answer_labels, semantic_figures, truth_labels
from diptych_eval.model import Category, Dataset, Picture, Truth
from diptych_eval.results import Answer, Cost

SIZE = (24, 30)
FILE_VALUES = {0: 0, 7: 1, 11: 2, 26: 3}
CATEGORIES = (Category(1, "road"), Category(2, "house"), Category(3, "car"), Category(4, "never"))


def box(left: int, top: int, width: int, height: int) -> Mask:
    return Mask.from_crop(np.ones((height, width), bool), left, top, SIZE)


def segment(mask: Mask, category: int, score: float) -> dict[str, object]:
    rle = {"size": list(SIZE), "counts": mask.to_coco().decode()}
    return {"category_id": category, "score": score, "bbox": [0, 0, 1, 1], "segmentation": rle}


def answer(name: str, *segments: dict[str, object]) -> Answer:
    return Answer(name, "", {"segments": list(segments)}, Cost(0, 0, 0))


def drawn(folder: Path, background: bool) -> tuple[Dataset, dict[str, Answer]]:
    """Pictures with noisy labels and answers of boxes."""
    random = np.random.default_rng(3)
    values = np.array([*FILE_VALUES, 255, 30], np.uint8)  # 30 is of a class that does not count
    pictures, answers = [], {}
    for number in range(1, 5):
        coarse = values[random.integers(len(values), size=(4, 5))]
        file = folder / f"{number}.png"
        Image.fromarray(np.kron(coarse, np.ones((6, 6), np.uint8))).save(file)
        name = f"{number}.jpg"
        pictures.append(Picture(number, name, folder / name, *SIZE, semantic=file))
        segments = [
            segment(
                box(*random.integers(0, 12, size=2), *random.integers(2, 12, size=2)),
                int(random.integers(1, 4)),
                float(random.random()),
            )
            for _ in range(12)
        ]
        answers[name] = answer(name, *segments)
    classes = FILE_VALUES if background else {k: v for k, v in FILE_VALUES.items() if k}
    dataset = Dataset(
        "drawn",
        "cityscapes",
        folder,
        frozenset(),
        categories=CATEGORIES,
        pictures=tuple(pictures),
        semantic_classes=classes,
    )
    return dataset, answers


def oracle(dataset: Dataset, answers: dict[str, Answer]) -> SemanticEval:
    """Every class 0 to 4, and what has none ignored; what is painted comes from here."""
    evaluator = SemanticEval(["background", *(each.name for each in CATEGORIES)])
    for picture in dataset.pictures:
        assert picture.semantic
        wanted: NDArray[np.uint8] = np.full(SIZE, 255, np.uint8)
        values = np.asarray(Image.open(picture.semantic))
        for value, category in dataset.semantic_classes.items():
            wanted[values == value] = category
        found = np.zeros(SIZE, np.uint8)
        for each in sorted(answers[picture.name].value["segments"], key=lambda s: s["score"]):
            if each["score"] >= 0.5:
                mask = Mask.from_coco(each["segmentation"]["counts"], SIZE)
                found[mask.to_array()] = each["category_id"]
        evaluator.update(wanted, found)
    return evaluator


def test_classes_are_those_of_mmsegmentation(tmp_path: Path) -> None:
    dataset, answers = drawn(tmp_path, background=True)
    figures = semantic_figures(dataset, answers)
    expected = oracle(dataset, answers).results()
    for each in expected["per_class"]:
        value = figures.per_class[each["name"]]["semantic/mIoU"]
        assert value.value == (None if each["IoU"] == -1 else pytest.approx(each["IoU"], abs=1e-15))
    assert figures.per_class["never"]["semantic/mIoU"].why
    assert figures.values["semantic/mIoU"].value == pytest.approx(expected["mIoU"], abs=1e-15)
    assert figures.values["semantic/mIoU"].count == 4  # classes
    assert set(figures.shares["semantic/mIoU"]) == set(answers)


def test_background_counts_only_where_it_is_a_class(tmp_path: Path) -> None:
    dataset, answers = drawn(tmp_path, background=False)
    figures = semantic_figures(dataset, answers)
    assert "background" not in figures.per_class
    expected = [each for each in oracle(dataset, answers).results()["per_class"][1:]]
    mean = np.mean([each["IoU"] for each in expected if each["IoU"] >= 0])
    assert figures.values["semantic/mIoU"].value == pytest.approx(mean, abs=1e-15)


def test_the_most_certain_is_on_top_and_uncertain_ones_are_not_painted() -> None:
    picture = Picture(1, "1.jpg", Path("1.jpg"), *SIZE)
    whole, part = box(0, 0, 20, 20), box(5, 5, 5, 5)
    labels = answer_labels(
        picture,
        answer("1.jpg", segment(part, 1, 0.9), segment(whole, 2, 0.5), segment(whole, 3, 0.49)),
        0.5,
    )
    assert set(np.unique(labels)) == {0, 1, 2}
    assert labels[6, 6] == 1
    tied = answer("1.jpg", segment(part, 1, 0.7), segment(part, 2, 0.7))
    assert answer_labels(picture, tied, 0.5)[6, 6] == 1


def test_truth_is_painted_from_objects_where_no_pixels_are_labelled() -> None:
    small, large = box(5, 5, 5, 5), box(0, 0, 20, 20)
    truths = (Truth(1, 1, (5, 5, 5, 5), 25, small), Truth(2, 2, (0, 0, 20, 20), 400, large, True))
    picture = Picture(1, "1.jpg", Path("1.jpg"), *SIZE, truths)
    dataset = Dataset(
        "objects", "coco", Path(), frozenset(), categories=CATEGORIES, pictures=(picture,)
    )
    labels = truth_labels(dataset, picture)
    assert (labels == 1).sum() == 25
    assert (labels == 2).sum() == 375
    found = answer("1.jpg", segment(small, 1, 0.9), segment(box(0, 0, 30, 24), 2, 0.8))
    figures = semantic_figures(dataset, {"1.jpg": found})
    assert figures.per_class["road"]["semantic/mIoU"].value == 1.0
    assert figures.per_class["house"]["semantic/mIoU"].value == 375 / (24 * 30 - 25)
    assert any("labels no pixels" in note for note in figures.notes)


def test_labels_of_another_size_are_named(tmp_path: Path) -> None:
    dataset, answers = drawn(tmp_path, background=True)
    wrong = replace(dataset.pictures[0], height=25)
    with pytest.raises(ValueError, match=r"1\.png: expected one value for each of 25 x 30 pixels"):
        semantic_figures(replace(dataset, pictures=(wrong,)), answers)


def test_nothing_answered_says_why(tmp_path: Path) -> None:
    dataset, _ = drawn(tmp_path, background=True)
    value = semantic_figures(dataset, {}).values["semantic/mIoU"]
    assert value.value is None
    assert value.why
