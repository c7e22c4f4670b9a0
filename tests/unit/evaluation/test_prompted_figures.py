"""Means over objects of what clicks gave, computed by hand, and what does not apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from diptych_eval.figures.prompted import clicks_to, prompted_figures
from diptych_eval.model import Category, Dataset, Picture, Truth
from diptych_eval.results import Answer, Cost

LOST = [0.5] * 20
LATE = [0.5] * 19 + [0.91]


def picture(number: int, *truths: Truth) -> Picture:
    return Picture(number, f"{number}.png", Path(f"{number}.png"), 10, 10, truths)


def truth(number: int, category: int) -> Truth:
    return Truth(number, category, (0, 0, 5, 5), 25)


DATASET = Dataset(
    "hand",
    "coco",
    Path(),
    frozenset(),
    categories=(Category(1, "cat"), Category(2, "dog")),
    pictures=(picture(1, truth(1, 1), truth(2, 2)), picture(2, truth(3, 2)), picture(3)),
)


def answer(name: str, objects: dict[str, Any], corrected: bool = True) -> Answer:
    return Answer(name, "", {"corrected": corrected, "objects": objects}, Cost(0, 0, 0))


ANSWERS = {
    "1.png": answer(
        "1.png",
        {
            "1": {"box": 0.8, "clicks": [0.7, 0.86, 1.0]},
            "2": {"box": 0.9, "clicks": [0.9, 0.95, 0.8, 0.7, 0.6]},
        },
    ),
    "2.png": answer("2.png", {"3": {"box": 0.4, "clicks": LOST}}),
    "3.png": answer("3.png", {}),
}


def test_means_are_over_objects() -> None:
    figures = prompted_figures(DATASET, ANSWERS)
    values = {name: (each.value, each.count) for name, each in figures.values.items()}
    assert values == {
        "prompted/box-mIoU": (pytest.approx(0.7), 3),
        "prompted/mIoU@1": (pytest.approx((0.7 + 0.9 + 0.5) / 3), 3),
        "prompted/mIoU@3": (pytest.approx((1.0 + 0.8 + 0.5) / 3), 3),
        # The first needed no more clicks, so it is as it was after the third.
        "prompted/mIoU@5": (pytest.approx((1.0 + 0.6 + 0.5) / 3), 3),
        "prompted/NoC20@85": (pytest.approx((2 + 1 + 20) / 3), 3),
        "prompted/NoC20@90": (pytest.approx((3 + 1 + 20) / 3), 3),
        "prompted/failures20@90": (pytest.approx(1 / 3), 3),
    }
    assert figures.values["prompted/failures20@90"].why == "1 of 3 objects never come to IoU 0.9"
    assert figures.per_class["dog"]["prompted/box-mIoU"].value == pytest.approx(0.65)
    assert figures.per_picture["prompted/box-mIoU"] == pytest.approx({"1.png": 0.85, "2.png": 0.4})
    assert figures.shares["prompted/NoC20@85"]["1.png"] == ((3.0,), (2,))
    assert figures.lower_is_better == {
        "prompted/NoC20@85",
        "prompted/NoC20@90",
        "prompted/failures20@90",
    }


def test_a_target_that_the_last_click_reaches_is_no_failure() -> None:
    answers = {"2.png": answer("2.png", {"3": {"box": None, "clicks": LATE}})}
    figures = prompted_figures(DATASET, answers).values
    assert figures["prompted/NoC20@90"].value == 20
    assert figures["prompted/failures20@90"].value == 0
    assert clicks_to(LATE, 0.9, 20) == clicks_to(LOST, 0.9, 20) == 20


def test_further_clicks_do_not_apply_to_a_model_that_takes_one() -> None:
    objects = {"3": {"box": 0.4, "clicks": [0.6]}}
    figures = prompted_figures(DATASET, {"2.png": answer("2.png", objects, corrected=False)})
    assert figures.values["prompted/box-mIoU"].value == 0.4
    assert figures.values["prompted/mIoU@1"].value == 0.6
    for name in ("mIoU@3", "mIoU@5", "NoC20@85", "NoC20@90", "failures20@90"):
        value = figures.values[f"prompted/{name}"]
        assert value.value is None
        assert "not applicable: the model takes one click" in value.why
        assert f"prompted/{name}" not in figures.shares


def test_a_model_without_boxes_or_without_clicks_says_so() -> None:
    boxes = {"2.png": answer("2.png", {"3": {"box": 0.4, "clicks": None}}, corrected=False)}
    clicks = {"2.png": answer("2.png", {"3": {"box": None, "clicks": [0.4]}}, corrected=False)}
    assert "no clicks" in prompted_figures(DATASET, boxes).values["prompted/mIoU@1"].why
    assert "no boxes" in prompted_figures(DATASET, clicks).values["prompted/box-mIoU"].why


def test_refused_pictures_and_none_at_all() -> None:
    refused = Answer("1.png", "", {}, Cost(0, 0, 0), error="broken")
    for answers in ({}, {"1.png": refused}, {"3.png": answer("3.png", {})}):
        for value in prompted_figures(DATASET, answers).values.values():
            assert value.value is None
            assert value.why == "no object with a mask was asked for"
