"""Agreement as evidence: shares and AUROC are what is counted pair by pair."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
import pytest
from drawn_shapes import Answers, Shapes, answer, shapes

from diptych import Mask
from diptych_eval.figures.agreement import agreement_figures
from diptych_eval.figures.instances import SIMILARITIES, Kind
from diptych_eval.figures.matches.outcomes import outcome
from diptych_eval.figures.matches.overlaps import Overlaps, overlaps


@pytest.fixture(scope="module")
def drawn() -> Shapes:
    return shapes(2)


def counted(drawn: Shapes, answers: Answers, kind: Kind) -> list[tuple[Overlaps, int, bool]]:
    """Give the segments that count: picture, index, right."""
    return [
        (picture, index, bool(found.right[index]))
        for picture in overlaps(drawn.dataset, answers, SIMILARITIES[kind])
        for found in [outcome(picture)]
        for index in np.flatnonzero(~found.ignored)
    ]


def pairs(evidence: list[tuple[float, bool]]) -> float:
    rights = [value for value, right in evidence if right]
    wrongs = [value for value, right in evidence if not right]
    above = sum((a > b) + (a == b) / 2 for a, b in product(rights, wrongs))
    return above / len(rights) / len(wrongs)


def test_a_cascade_s_own_agreement(drawn: Shapes) -> None:
    found = agreement_figures(drawn.dataset, drawn.a)
    segments = [
        (p.segments[index]["score"], p.segments[index]["source_iou"], right)
        for p, index, right in counted(drawn, drawn.a, "segm")
    ]
    values = found.values
    auroc = pairs([(score * iou, right) for score, iou, right in segments])
    assert values["agreement/AUROC"].value == pytest.approx(auroc)
    alone = pairs([(score, right) for score, _, right in segments])
    assert values["agreement/AUROC-score"].value == pytest.approx(alone)
    for name, matched in (("matched", True), ("unmatched", False)):
        rights = [right for _, iou, right in segments if (iou >= 0.5) == matched]
        each = values[f"agreement/right-{name}"]
        assert (each.value, each.count) == (np.mean(rights), len(rights))
    (table,) = found.tables
    row = dict(table.rows)["0.3 to 0.4"]
    rights = [right for _, iou, right in segments if 0.3 <= iou < 0.4]
    assert row == (len(rights), np.mean(rights))


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_agreement_with_another_model_s_segments(drawn: Shapes, kind: Kind) -> None:
    bare = {
        name: answer(
            name,
            [
                {key: value for key, value in segment.items() if key != "source_iou"}
                for segment in each.value["segments"]
            ],
        )
        for name, each in drawn.a.items()
    }
    values = agreement_figures(drawn.dataset, bare, other=drawn.b, kind=kind).values
    evidence = []
    for picture, index, right in counted(drawn, bare, kind):
        segment = picture.segments[index]
        others = [
            iou(segment, each, kind)
            for each in drawn.b[picture.picture.name].value["segments"]
            if each["score"] >= 0.5
        ]
        evidence.append((segment["score"] * max(others, default=0.0), right))
    assert values["agreement/AUROC"].value == pytest.approx(pairs(evidence))
    for each in agreement_figures(drawn.dataset, bare, kind=kind).values.values():
        assert each.value is None
        assert "no source_iou" in each.why


def iou(a: dict, b: dict, kind: Kind) -> float:  # type: ignore[type-arg]
    if kind == "segm":
        masks = (
            Mask.from_coco(each["segmentation"]["counts"], tuple(each["segmentation"]["size"]))
            for each in (a, b)
        )
        return next(masks).iou(next(masks))
    (x, y, width, height), (left, top, across, down) = a["bbox"], b["bbox"]
    both_x = max(0.0, min(x + width, left + across) - max(x, left))
    both = both_x * max(0.0, min(y + height, top + down) - max(y, top))
    return both / (width * height + across * down - both)


def test_what_cannot_be_computed_says_why(drawn: Shapes) -> None:
    silent = {name: answer(name, []) for name in drawn.a}
    for answers, other in ((silent, drawn.b), ({}, drawn.b)):
        for each in agreement_figures(drawn.dataset, answers, other=other).values.values():
            assert each.value is None
            assert each.why
    no_truths = dataclasses.replace(
        drawn.dataset,
        pictures=tuple(dataclasses.replace(each, truths=()) for each in drawn.dataset.pictures),
    )
    values = agreement_figures(no_truths, drawn.a).values
    assert values["agreement/AUROC"].value is None
    assert values["agreement/AUROC"].why == "no segment is right"
    assert values["agreement/right-matched"].value == 0.0
