"""TIDE equals tidecv; F1, calibration, confusion and PQ equal what is counted one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from coco_oracle import coco_results, coco_truth, pycocotools_eval, tidecv_errors
from drawn_shapes import Shapes, answer, segment, shapes

from diptych import Mask
from diptych_eval.figures.instances import SIMILARITIES, Kind, instance_figures
from diptych_eval.figures.matches.confusion import confusion_matrix
from diptych_eval.figures.matches.outcomes import outcome, quality
from diptych_eval.figures.matches.overlaps import Overlaps, overlaps
from diptych_eval.figures.matches.scores import calibration, f1_over_score
from diptych_eval.figures.matches.tide import tide_errors
from diptych_eval.results import Table

KINDS: tuple[Kind, ...] = ("segm", "bbox")
SPECIAL = {"FalsePos": "FP", "FalseNeg": "FN"}


@pytest.fixture(scope="module", params=[1, 3])
def drawn(request: pytest.FixtureRequest) -> Shapes:
    return shapes(request.param)


def compared(drawn: Shapes, kind: Kind) -> list[Overlaps]:
    return list(overlaps(drawn.dataset, drawn.b, SIMILARITIES[kind]))


def table(tables: tuple[Table, ...], name: str) -> Table:
    return next(each for each in tables if each.name == name)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_those_of_tidecv(drawn: Shapes, kind: Kind) -> None:
    for answers in (drawn.a, drawn.b):
        ap, gains, counts = tidecv_errors(drawn.dataset, answers, kind)
        found = tide_errors(overlaps(drawn.dataset, answers, SIMILARITIES[kind]))
        assert found is not None
        assert found.ap == pytest.approx(ap / 100, abs=1e-9)
        assert found.counts == counts
        named = {SPECIAL.get(name, name): gain / 100 for name, gain in gains.items()}
        assert found.gained == pytest.approx(named, abs=1e-9)
        figures = instance_figures(drawn.dataset, answers, kind=kind)
        assert figures.values[f"{kind}/TIDE-AP50"].value == found.ap
        rows = dict(table(figures.tables, f"{kind} TIDE errors").rows)
        assert rows["Loc"] == (found.gained["Loc"], counts["Loc"])


def test_every_kind_of_error_occurs_in_the_drawn_answers() -> None:
    found = tide_errors(compared(shapes(1), "segm"))
    assert found is not None
    assert min(found.counts.values()) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_right_answers_are_those_of_pycocotools(drawn: Shapes, kind: Kind) -> None:
    pictures = drawn.dataset.pictures
    results = coco_results(pictures, drawn.b, kind)
    reference = pycocotools_eval(coco_truth(pictures, drawn.dataset), results, kind)
    right: dict[int, list[float]] = {}
    for each in reference.evalImgs:
        if each is not None and each["aRng"] == [0, 1e5**2]:
            takes = (each["dtMatches"][0] > 0) & ~each["dtIgnore"][0].astype(bool)
            right.setdefault(each["image_id"], []).extend(np.array(each["dtScores"])[takes])
    for index, picture in enumerate(compared(drawn, kind), start=1):
        found = outcome(picture)
        assert sorted(found.scores[found.right]) == sorted(right.get(index, []))


@pytest.mark.parametrize("kind", KINDS)
def test_confusion_is_what_is_counted_one_by_one(drawn: Shapes, kind: Kind) -> None:
    pictures = compared(drawn, kind)
    ids = [each.id for each in drawn.dataset.categories]
    for least in (0.0, 0.6):
        expected = np.zeros((6, 6), int)
        for picture in pictures:
            for truth, called in pairs(picture, least):
                expected[truth, called] += 1
        assert np.array_equal(confusion_matrix(pictures, ids, least), expected)


def pairs(picture: Overlaps, least: float) -> Iterator[tuple[int, int]]:
    """Walk through the answers of one picture; class 5 is nothing."""
    truths = picture.picture.truths
    free = {index for index, truth in enumerate(truths) if not truth.crowd}
    for number in np.flatnonzero(picture.scores >= least)[:100]:
        called = int(picture.categories[number]) - 1
        near = [index for index in sorted(free) if picture.iou[number, index] >= 0.5]
        if near:
            # The last of equals, as pycocotools has it.
            best = max(near, key=lambda index: (picture.iou[number, index], index))
            free.remove(best)
            yield truths[best].category_id - 1, called
        elif not any(
            truth.crowd and picture.iou[number, index] >= 0.5 for index, truth in enumerate(truths)
        ):
            yield 5, called
    for index in free:
        yield truths[index].category_id - 1, 5


def test_f1_is_the_best_of_all_thresholds(drawn: Shapes) -> None:
    pictures = compared(drawn, "segm")
    found = f1_over_score([outcome(each) for each in pictures])
    assert found is not None

    def alone(least: float) -> tuple[float, float, float]:
        """Match again with only what is kept."""
        kept = {
            name: answer(name, [s for s in each.value["segments"] if s["score"] >= least])
            for name, each in drawn.b.items()
        }
        again = map(outcome, overlaps(drawn.dataset, kept, SIMILARITIES["segm"]))
        counts = [(each.right.sum(), (~each.ignored).sum(), each.wanted) for each in again]
        right, said, wanted = map(int, np.sum(counts, axis=0))
        return 2 * right / (said + wanted), right / said if said else 1.0, right / wanted

    thresholds = sorted({float(s) for each in pictures for s in each.scores})
    assert found.best == max(alone(each)[0] for each in thresholds)
    assert alone(found.threshold)[0] == found.best
    for index in (0, 33, 50, 100):
        line = found.f1[index], found.precision[index], found.recall[index]
        assert line == pytest.approx(alone(index / 100))


def test_calibration_is_what_is_counted_one_by_one(drawn: Shapes) -> None:
    found = [outcome(each) for each in compared(drawn, "segm")]
    calibrated = calibration(found)
    assert calibrated is not None
    bins: dict[int, list[tuple[float, bool]]] = {}
    for picture in found:
        for score, right, ignored in zip(
            picture.scores, picture.right, picture.ignored, strict=True
        ):
            if not ignored:
                bins.setdefault(min(int(score * 10), 9), []).append((score, bool(right)))
    total = sum(map(len, bins.values()))
    error = sum(
        len(each) * abs(np.mean([s for s, _ in each]) - np.mean([r for _, r in each]))
        for each in bins.values()
    )
    assert calibrated.error == pytest.approx(error / total)
    assert calibrated.counts == tuple(len(bins[each]) for each in sorted(bins))


def test_pq_of_a_picture_by_hand() -> None:
    """Two of three found, one of them moved by a quarter; one answer is wrong, one too unsure."""
    drawn = shapes(4)
    square = np.zeros((220, 260), bool)
    square[:40, :40] = True
    masks = [Mask.from_array(np.roll(square, 60 * index, axis=1)) for index in range(4)]
    picture = drawn.dataset.pictures[5]
    truth = picture.truths[0]
    truths = tuple(dataclasses.replace(truth, mask=mask, crowd=False) for mask in masks[:3])
    picture = dataclasses.replace(picture, truths=truths)
    dataset = dataclasses.replace(drawn.dataset, pictures=(picture,))
    found = answer(
        picture.name,
        [
            segment(masks[0], truth.category_id, 0.9),
            segment(masks[1].shifted(10, 0), truth.category_id, 0.8),
            segment(masks[3], truth.category_id, 0.7),
            segment(masks[3], truth.category_id, 0.2),
        ],
    )
    each = outcome(next(overlaps(dataset, {picture.name: found}, SIMILARITIES["segm"])))
    assert quality(each, 0.5) == pytest.approx((1 + 30 / 50) / (2 + 0.5 * 1 + 0.5 * 1))
    nothing = dataclasses.replace(each, scores=np.zeros(0), wanted=0)
    empty = dict.fromkeys(("right", "ignored", "iou"), np.zeros(0, bool))
    assert quality(dataclasses.replace(nothing, **empty), 0.5) == 1.0


def test_figures_without_answers_or_truths_say_why() -> None:
    drawn = shapes(1)
    silent = {name: answer(name, []) for name in drawn.a}
    values = instance_figures(drawn.dataset, silent, kind="segm").values
    assert values["segm/F1"].value == 0.0
    assert values["segm/TIDE-AP50"].value == 0.0
    assert values["segm/ECE"].value is None
    assert values["segm/ECE"].why
    assert values["segm/F1-threshold"].value is None
    empty = dataclasses.replace(drawn.dataset, pictures=())
    values = instance_figures(empty, {}, kind="segm").values
    assert all(each.value is None and each.why for each in values.values())
