"""Boundary AP equals faster-coco-eval's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coco_oracle import faster_coco_boundary
from drawn_shapes import answer, segment, shapes
from numpy.typing import NDArray

from diptych import Mask
from diptych_eval.figures import hot
from diptych_eval.figures.boundary import band, boundary_figures
from diptych_eval.results import Value

NAMES = ("AP", "AP50", "AP75", "AP-small", "AP-medium", "AP-large")


@pytest.mark.parametrize("seed", [1, 3])
def test_boundary_ap_is_that_of_faster_coco_eval(seed: int) -> None:
    drawn = shapes(seed)
    for answers in (drawn.a, drawn.b):
        reference = faster_coco_boundary(drawn.dataset, answers)
        figures = boundary_figures(drawn.dataset, answers)
        for name, expected in zip(NAMES, reference.stats, strict=False):
            found = figures.values[f"boundary/{name}"].value
            assert found == pytest.approx(expected if expected >= 0 else None, abs=1e-6)
        precision = reference.eval["precision"][:, :, :, 0, -1]
        for index, category in enumerate(drawn.dataset.categories):
            of_class = precision[:, :, index][precision[:, :, index] > -1]
            found = figures.per_class[category.name]["boundary/AP"].value
            expected = of_class.mean() if of_class.size else None
            assert found == pytest.approx(expected, abs=1e-6)


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    return {"size": list(mask.shape), "counts": Mask.from_array(mask).to_coco()}


def test_band_is_what_lies_near_the_outline_and_the_picture_s_edge() -> None:
    mask = np.zeros((300, 400), bool)
    mask[:100, 50:150] = True
    expected = mask.copy()
    expected[10:90, 60:140] = False
    found = band(run_lengths(mask))
    assert np.array_equal(hot.decode(found), expected)
    empty = band(run_lengths(np.zeros((30, 40), bool)))
    assert hot.decode(empty).sum() == 0


def test_perfect_outlines_have_all_of_it() -> None:
    drawn = shapes(5)
    perfect = {
        picture.name: answer(
            picture.name, [segment(t.mask, t.category_id, 0.9) for t in picture.truths if t.mask]
        )
        for picture in drawn.dataset.pictures
    }
    values = boundary_figures(drawn.dataset, perfect).values
    assert values["boundary/AP"] == Value(1.0, values["boundary/AP"].count)
