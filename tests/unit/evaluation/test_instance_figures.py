"""AP and AR equal pycocotools to the last digit; what cannot be computed says why."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from coco_oracle import coco_results, coco_truth, pycocotools_eval
from drawn_shapes import Answers, Shapes, answer, segment, shapes

from diptych import Mask
from diptych_eval.figures import hot
from diptych_eval.figures.instances import Kind, instance_figures, one_class
from diptych_eval.figures.matches.matching import accumulate, matches
from diptych_eval.figures.matches.overlaps import overlaps
from diptych_eval.model import Dataset
from diptych_eval.results import Value

NAMES = ("AP", "AP50", "AP75", "AP-small", "AP-medium", "AP-large")
RECALLS = ("AR1", "AR10", "AR100", "AR-small", "AR-medium", "AR-large")
KINDS: tuple[Kind, ...] = ("segm", "bbox")


@pytest.fixture(scope="module", params=[1, 3])
def drawn(request: pytest.FixtureRequest) -> Shapes:
    return shapes(request.param)


def oracle(dataset: Dataset, answers: Answers, kind: str, **options: Any) -> Any:
    truth = coco_truth(dataset.pictures, dataset)
    return pycocotools_eval(truth, coco_results(dataset.pictures, answers, kind), kind, **options)


def same(figure: Value, reference: float) -> None:
    if reference == -1:
        assert figure.value is None
        assert figure.why
    else:
        assert figure.value == reference


@pytest.mark.parametrize("kind", KINDS)
def test_twelve_statistics_are_those_of_pycocotools(drawn: Shapes, kind: Kind) -> None:
    for answers in (drawn.a, drawn.b):
        reference = oracle(drawn.dataset, answers, kind)
        figures = instance_figures(drawn.dataset, answers, kind=kind).values
        for name, expected in zip(NAMES + RECALLS, reference.stats, strict=True):
            same(figures[f"{kind}/{name}"], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_and_classes_are_those_of_pycocotools(drawn: Shapes, kind: Kind) -> None:
    reference = oracle(drawn.dataset, drawn.b, kind).eval
    arrays = hot.evaluate(drawn.dataset, drawn.b, kind)
    for name in ("precision", "recall", "scores"):
        assert np.array_equal(getattr(arrays, name), reference[name])
    per_class = instance_figures(drawn.dataset, drawn.b, kind=kind).per_class
    for index, category in enumerate(drawn.dataset.categories):
        of_class = reference["precision"][:, :, index, 0, -1]
        expected = of_class[of_class > -1]
        same(per_class[category.name][f"{kind}/AP"], expected.mean() if expected.size else -1)
    nothing = per_class["nothing"][f"{kind}/AP"]
    assert nothing.value is None
    assert "no object of class 'nothing'" in nothing.why


@pytest.mark.parametrize("kind", KINDS)
def test_own_matching_is_that_of_pycocotools(drawn: Shapes, kind: Kind) -> None:
    """Everything but AP is made of these matches."""
    reference = oracle(drawn.dataset, drawn.a, kind).eval
    similarity, area = {
        "segm": (hot.mask_iou, hot.mask_area),
        "bbox": (hot.box_iou, hot.box_area),
    }[kind]
    compared = overlaps(drawn.dataset, drawn.a, similarity)
    arrays = accumulate(matches(compared, [each.id for each in drawn.dataset.categories], area))
    assert np.array_equal(arrays.precision[..., 0], reference["precision"][..., 2])
    assert np.array_equal(arrays.recall[..., 0], reference["recall"][..., 2])
    assert np.array_equal(arrays.scores[..., 0], reference["scores"][..., 2])


@pytest.mark.parametrize("kind", KINDS)
def test_class_agnostic_recall_is_that_of_pycocotools(drawn: Shapes, kind: Kind) -> None:
    merged = one_class(drawn.dataset, drawn.a)
    reference = oracle(
        drawn.dataset, merged, kind, class_agnostic=True, max_answers=(10, 100, 1000)
    ).eval["recall"]
    unnamed = {
        name: answer(name, [{**s, "category_id": 0} for s in each.value["segments"]])
        for name, each in drawn.a.items()
    }
    found = instance_figures(drawn.dataset, unnamed, kind=kind, class_agnostic=True)
    figures = found.values
    prefix = {"segm": "agnostic", "bbox": "agnostic-bbox"}[kind]
    for index, most in enumerate((10, 100, 1000)):
        recall = reference[:, :, 0, index]
        assert figures[f"{prefix}/AR{most}"].value == recall[recall > -1].mean()
    assert figures[f"{prefix}/AR100"].value > 0
    assert figures[f"{prefix}/AP"].value is None
    assert "background" in figures[f"{prefix}/AP"].why
    pictures = found.per_picture[f"{prefix}/AR100"]
    assert "000.png" not in pictures  # has no object
    for picture in drawn.dataset.pictures[3:6]:
        alone = dataclasses.replace(drawn.dataset, pictures=(picture,))
        recall = oracle(alone, merged, kind, class_agnostic=True).stats[8]
        assert pictures[picture.name] == pytest.approx(recall)


def test_sizes_of_answers_are_those_of_masks_though_they_have_boxes() -> None:
    """A thin ring is small, its box is not: with a box beside it, COCO takes the box's area."""
    ring = np.zeros((200, 200), bool)
    ring[20:120, 20:120] = True
    ring[22:118, 22:118] = False
    drawn = shapes(1, pictures=3)
    wrong = segment(Mask.from_array(np.pad(ring, ((0, 20), (0, 60)))), 1, 0.99)
    answers = {
        name: answer(name, [wrong, *each.value["segments"]]) for name, each in drawn.a.items()
    }
    reference = oracle(drawn.dataset, answers, "segm").stats
    figures = instance_figures(drawn.dataset, answers, kind="segm").values
    for name, expected in zip(NAMES, reference, strict=False):
        same(figures[f"segm/{name}"], expected)


def test_no_answers_are_zero_and_no_truths_are_none() -> None:
    drawn = shapes(1, pictures=4)
    silent = {name: answer(name, []) for name in drawn.a}
    figures = instance_figures(drawn.dataset, silent, kind="segm")
    assert figures.values["segm/AP"] == Value(0.0, figures.values["segm/AP"].count)
    assert figures.values["segm/AP"].count > 0
    crowds = only(drawn.dataset, crowd=True)
    for dataset in (crowds, dataclasses.replace(drawn.dataset, pictures=())):
        values = instance_figures(dataset, drawn.a, kind="segm").values
        for name in ("AP", "AP-small", "AR100", "F1", "F1-threshold", "TIDE-AP50"):
            assert values[f"segm/{name}"].value is None
            assert "no object" in values[f"segm/{name}"].why
    empty = dataclasses.replace(drawn.dataset, pictures=(), categories=())
    for agnostic in (False, True):
        values = instance_figures(empty, {}, kind="bbox", class_agnostic=agnostic).values
        assert {each.value for each in values.values()} == {None}


def test_pictures_without_an_answer_leave_the_figures() -> None:
    drawn = shapes(2)
    refused = {
        **drawn.a,
        "004.png": dataclasses.replace(drawn.a["004.png"], value={}, error="too large"),
    }
    del refused["005.png"]
    rest = dataclasses.replace(
        drawn.dataset,
        pictures=tuple(p for p in drawn.dataset.pictures if p.name not in ("004.png", "005.png")),
    )
    found = instance_figures(drawn.dataset, refused, kind="segm")
    assert found.values == instance_figures(rest, drawn.a, kind="segm").values
    assert "2 of 14 pictures have no answer" in " ".join(found.notes)


def test_classes_that_the_data_set_lacks_are_named() -> None:
    drawn = shapes(2)
    assert "14 segments have a class that the data set lacks (77)" in " ".join(
        instance_figures(drawn.dataset, drawn.a, kind="segm").notes
    )


def test_masks_that_cannot_be_compared_are_refused_by_name() -> None:
    drawn = shapes(2, pictures=3)
    small = segment(Mask.from_array(np.ones((10, 10), bool)), 1, 0.5)
    with pytest.raises(ValueError, match=r"002.png.*10 high and 10 wide.*220 and 260"):
        instance_figures(
            drawn.dataset, {**drawn.a, "002.png": answer("002.png", [small])}, kind="segm"
        )
    boxes = dataclasses.replace(
        drawn.dataset,
        pictures=tuple(
            dataclasses.replace(
                each, truths=tuple(dataclasses.replace(t, mask=None) for t in each.truths)
            )
            for each in drawn.dataset.pictures
        ),
    )
    with pytest.raises(ValueError, match="has no mask"):
        instance_figures(boxes, drawn.a, kind="segm")
    assert instance_figures(boxes, drawn.a, kind="bbox").values["bbox/AP50"].value is not None


def only(dataset: Dataset, *, crowd: bool) -> Dataset:
    return dataclasses.replace(
        dataset,
        pictures=tuple(
            dataclasses.replace(each, truths=tuple(t for t in each.truths if t.crowd == crowd))
            for each in dataset.pictures
        ),
    )
