"""Paired bootstrap: every resample equals pycocotools on the pictures drawn."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import numpy as np
import pytest
from coco_oracle import coco_results, coco_truth, pycocotools_eval
from drawn_shapes import Answers, Shapes, answer, shapes

from diptych_eval.figures import differences, hot
from diptych_eval.figures.boundary import boundary_figures
from diptych_eval.figures.differences import Compared, ap_difference, ap_differences
from diptych_eval.figures.instances import instance_figures
from diptych_eval.figures.matches.matching import matches
from diptych_eval.figures.matches.overlaps import overlaps
from diptych_eval.figures.matches.resampled import FIGURES, draw, resampled
from diptych_eval.model import Dataset

STATISTICS = (0, 1, 2, 3, 4, 5, 8)


def untied(answers: Answers) -> Answers:
    """Copies of a picture may lie in any order among equal scores: give each score once."""
    random = np.random.default_rng(0)
    return {
        name: answer(
            name,
            [{**s, "score": float(random.random())} for s in each.value["segments"]],
        )
        for name, each in answers.items()
    }


def copied(dataset: Dataset, weights: Any, answers: Answers) -> tuple[Dataset, Answers]:
    """Write out a data set with as many copies of each picture as were drawn."""
    pictures, copies = [], {}
    for picture, count in zip(dataset.pictures, weights, strict=True):
        for copy in range(count):
            name = f"{copy}-{picture.name}"
            truths = tuple(
                dataclasses.replace(each, id=10_000 * len(pictures) + each.id)
                for each in picture.truths
            )
            pictures.append(
                dataclasses.replace(picture, id=len(pictures) + 1, name=name, truths=truths)
            )
            copies[name] = dataclasses.replace(answers[picture.name], name=name)
    return dataclasses.replace(dataset, pictures=tuple(pictures)), copies


@pytest.mark.parametrize("seed", [1, 3])
def test_resamples_are_what_pycocotools_says_of_the_pictures_drawn(seed: int) -> None:
    drawn = shapes(seed)
    answers = untied(drawn.a)
    compared = overlaps(drawn.dataset, answers, hot.mask_iou)
    found = matches(compared, [each.id for each in drawn.dataset.categories], hot.mask_area)
    weights = draw(len(drawn.dataset.pictures), 8, seed=7)
    assert weights.sum(axis=1).tolist() == [14] * 8
    weights[0] = 1
    weights[1] = [14] + [0] * 13  # the empty picture alone
    figures = resampled(found, weights)
    for row, counts in enumerate(weights):
        dataset, copies = copied(drawn.dataset, counts, answers)
        reference = pycocotools_eval(
            coco_truth(dataset.pictures, dataset),
            coco_results(dataset.pictures, copies, "segm"),
            "segm",
        ).stats
        for name, index in zip(FIGURES, STATISTICS, strict=True):
            expected = reference[index] if reference[index] >= 0 else np.nan
            assert figures[name][row] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def difference(drawn: Shapes, kind: Compared = "segm", **options: Any) -> dict[str, Any]:
    found = ap_difference(
        drawn.dataset, drawn.a, drawn.b, model_a="a", model_b="b", kind=kind, **options
    )
    return {each.figure: each for each in found}


@pytest.mark.parametrize("kind", get_args(Compared))
def test_value_is_the_difference_of_the_two_models_figures(
    kind: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differences, "MIN_PICTURES", 1)
    drawn = shapes(2)
    found = difference(drawn, kind, resamples=20)

    def figures(answers: Answers) -> Any:
        if kind == "boundary":
            return boundary_figures(drawn.dataset, answers).values
        box = kind.endswith("bbox")
        return instance_figures(
            drawn.dataset,
            answers,
            kind="bbox" if box else "segm",
            class_agnostic=kind.startswith("agnostic"),
        ).values

    a, b = figures(drawn.a), figures(drawn.b)
    for name, each in found.items():
        assert each.value == pytest.approx(b[name].value - a[name].value, abs=1e-12)
        assert each.wins + each.ties + each.losses == 14
    names = ("AR10", "AR100", "AR1000") if kind.startswith("agnostic") else FIGURES
    assert set(found) == {f"{kind}/{name}" for name in names}


def test_a_size_that_few_pictures_show_has_no_interval() -> None:
    """Drawn again and again, one picture gives the same difference each time: a point."""
    drawn = shapes(2, pictures=8)
    assert set(difference(drawn, resamples=2)) == {
        f"segm/{name}" for name in ("AP", "AP50", "AP75", "AR100")
    }


def test_interval_is_of_the_resamples_and_of_the_seed() -> None:
    drawn = shapes(2)
    assert difference(drawn, resamples=50) == difference(drawn, resamples=50)
    assert difference(drawn, resamples=50) != difference(drawn, resamples=50, seed=1)
    each = difference(drawn, resamples=200)["segm/AP"]
    assert each.low < each.value < each.high
    assert each.resamples == 200


def test_wins_are_pictures_with_the_higher_pq() -> None:
    drawn = shapes(2)
    a, b = (
        instance_figures(drawn.dataset, each, kind="segm").per_picture["segm/PQ"]
        for each in (drawn.a, drawn.b)
    )
    each = difference(drawn, resamples=2)["segm/AP"]
    assert each.wins == sum(b[name] > a[name] + 1e-12 for name in a)
    assert each.losses == sum(b[name] < a[name] - 1e-12 for name in a)


def test_wins_without_classes_are_pictures_with_the_higher_recall() -> None:
    drawn = shapes(2)
    a, b = (
        instance_figures(drawn.dataset, each, kind="segm", class_agnostic=True).per_picture[
            "agnostic/AR100"
        ]
        for each in (drawn.a, drawn.b)
    )
    each = difference(drawn, "agnostic", resamples=2)["agnostic/AR100"]
    assert each.wins == sum(b[name] > a[name] + 1e-12 for name in a)
    assert each.losses == sum(b[name] < a[name] - 1e-12 for name in a)
    assert each.ties == 14 - each.wins - each.losses


def test_a_model_against_itself_shows_no_difference() -> None:
    drawn = shapes(2)
    same = Shapes(drawn.dataset, drawn.a, drawn.a)
    for each in difference(same, resamples=20).values():
        assert (each.value, each.low, each.high, each.ties) == (0, 0, 0, 14)
        assert not each.shown


def test_far_better_is_shown() -> None:
    drawn = shapes(2)
    silent = {name: answer(name, []) for name in drawn.a}
    each = difference(Shapes(drawn.dataset, silent, drawn.b), resamples=100)["segm/AP"]
    assert each.low > 0
    assert each.shown


def test_only_pictures_that_both_answered_count() -> None:
    drawn = shapes(2)
    some = {name: each for name, each in drawn.b.items() if name != "004.png"}
    each = difference(Shapes(drawn.dataset, drawn.a, some), resamples=2)["segm/AP"]
    assert each.wins + each.ties + each.losses == 13
    assert difference(Shapes(drawn.dataset, drawn.a, {}), resamples=2) == {}


def test_a_figure_without_a_resample_is_left_out_and_none_is_refused() -> None:
    drawn = shapes(2)
    lone = dataclasses.replace(
        drawn.dataset,
        pictures=tuple(
            dataclasses.replace(each, truths=each.truths if index == 5 else ())
            for index, each in enumerate(drawn.dataset.pictures)
        ),
    )
    answers = {"a": drawn.a, "b": drawn.b}
    seeds = [seed for seed in range(20) if draw(14, 1, seed)[0, 5] == 0]
    assert ap_differences(lone, answers, kind="segm", resamples=1, seed=seeds[0]) == []
    with pytest.raises(ValueError, match="at least 1"):
        ap_differences(lone, answers, kind="segm", resamples=0)


def test_every_pair_of_models_is_compared_on_the_same_pictures() -> None:
    drawn = shapes(2)
    answers = {"a": drawn.a, "b": drawn.b, "c": drawn.a}
    found = ap_differences(drawn.dataset, answers, kind="segm", resamples=20)
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    ap = {(e.model_a, e.model_b): e for e in found if e.figure == "segm/AP"}
    assert list(ap) == pairs
    first, last = ap["a", "b"], ap["b", "c"]
    assert (first.value, first.low, first.high) == (-last.value, -last.high, -last.low)
    assert (first.wins, first.losses) == (last.losses, last.wins)
