from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diptych import Box, Mask
from diptych_gateway.compare.agreement import Agreement, Answer, Basis, Found, StoppedError, agree

SIZE = (24, 32)
Rectangle = tuple[int, int, int, int]


def mask(*rectangles: Rectangle) -> Mask:
    pixels = np.zeros(SIZE, bool)
    for x0, y0, x1, y1 in rectangles:
        pixels[y0:y1, x0:x1] = True
    return Mask.from_array(pixels)


def masks(*rectangles: Rectangle) -> Answer:
    return Answer(SIZE, tuple(Found(mask=mask(r)) for r in rectangles))


def boxes(*edges: tuple[float, float, float, float]) -> Answer:
    return Answer(SIZE, tuple(Found(box=Box(*e)) for e in edges))


def pairs(agreement: Agreement) -> list[tuple[int, int, float]]:
    return [(m.index_a, m.index_b, m.iou) for m in agreement.matches]


def by_mask(a: Answer, b: Answer, match_iou: float = 0.5) -> Agreement:
    return agree(a, b, basis=Basis.MASK, match_iou=match_iou)


def test_masks_that_overlap_enough_match() -> None:
    a = masks((0, 0, 4, 4), (10, 10, 20, 20), (28, 0, 32, 4))
    b = masks((10, 10, 20, 15), (0, 0, 4, 4))
    agreement = by_mask(a, b)
    assert pairs(agreement) == [(0, 1, 1.0), (1, 0, 0.5)]
    assert (agreement.only_a, agreement.only_b) == ((2,), ())
    assert agreement.mean_match_iou == 0.75
    assert agreement.foreground_iou == pytest.approx((16 + 50) / (16 + 100 + 16))


def test_the_threshold_itself_matches_and_below_it_nothing_does() -> None:
    a, b = masks((0, 0, 10, 10)), masks((0, 0, 10, 5))
    assert len(by_mask(a, b, 0.5).matches) == 1
    agreement = by_mask(a, b, 0.5000001)
    assert agreement.matches == ()
    assert (agreement.only_a, agreement.only_b) == ((0,), (0,))
    assert agreement.mean_match_iou is None
    assert agreement.foreground_iou == 0.5


def test_the_summed_overlap_is_greatest() -> None:
    # Both of a overlap both of b; taking the single best pair first would lose the other.
    a = masks((0, 0, 10, 10), (0, 2, 10, 12))
    b = masks((0, 1, 10, 11), (0, 0, 10, 8))
    agreement = by_mask(a, b, 0.1)
    assert [(i, j) for i, j, _ in pairs(agreement)] == [(0, 1), (1, 0)]


def test_nothing_found_by_either() -> None:
    agreement = by_mask(masks(), masks())
    assert agreement == Agreement((), (), (), None, None)


def test_empty_and_missing_masks_never_match() -> None:
    empty = Answer(SIZE, (Found(mask=mask()), Found()))
    agreement = by_mask(empty, empty)
    assert agreement.matches == ()
    assert agreement.only_a == agreement.only_b == (0, 1)
    assert agreement.foreground_iou is None
    assert by_mask(empty, masks((0, 0, 2, 2))).foreground_iou == 0.0


def test_boxes() -> None:
    a = boxes((0, 0, 10, 10), (20, 0, 24, 4))
    b = boxes((20, 0, 24, 4), (0.5, 0, 10.5, 10), (5, 5, 5, 9))
    agreement = agree(a, b, basis=Basis.BOX, match_iou=0.5)
    assert [(i, j) for i, j, _ in pairs(agreement)] == [(0, 1), (1, 0)]
    assert agreement.matches[0].iou == pytest.approx(95 / 105)
    assert agreement.only_b == (2,)
    assert agreement.foreground_iou is None


def prompted(*answers: tuple[int, int, Rectangle]) -> Answer:
    return Answer(SIZE, tuple(Found(mask(r), None, p, c) for p, c, r in answers))


def test_best_answers_to_one_prompt_are_paired_whatever_their_overlap() -> None:
    a = prompted((0, 0, (0, 0, 4, 4)), (0, 1, (0, 0, 9, 9)), (1, 0, (10, 0, 14, 4)))
    b = prompted((1, 0, (20, 0, 24, 4)), (0, 0, (0, 0, 4, 2)), (2, 0, (0, 9, 9, 12)))
    agreement = agree(a, b, basis=Basis.PROMPT, match_iou=0.9)
    assert pairs(agreement) == [(0, 1, 0.5), (2, 0, 0.0)]
    # The second candidate is an alternative to a matched answer, not one that lacks a partner.
    assert (agreement.only_a, agreement.only_b) == ((), (2,))
    assert agreement.mean_match_iou == 0.25
    assert agreement.foreground_iou == pytest.approx(8 / (16 + 16 + 16 + 27))


def test_prompted_answers_without_masks_go_by_box() -> None:
    a = Answer(SIZE, (Found(None, Box(0, 0, 4, 4), 0, 0),))
    b = Answer(SIZE, (Found(None, Box(0, 0, 4, 2), 0, 0),))
    agreement = agree(a, b, basis=Basis.PROMPT, match_iou=0.5)
    assert pairs(agreement) == [(0, 0, 0.5)]
    assert agreement.foreground_iou is None


def test_different_images_are_refused() -> None:
    other = Answer((SIZE[1], SIZE[0]), ())
    with pytest.raises(ValueError, match=r"\(24, 32\) and \(32, 24\)"):
        by_mask(masks(), other)


@pytest.mark.parametrize("basis", list(Basis))
def test_stops_when_nobody_waits(basis: Basis) -> None:
    a = Answer(SIZE, (Found(mask((0, 0, 4, 4)), Box(0, 0, 4, 4), 0, 0),))
    with pytest.raises(StoppedError):
        agree(a, a, basis=basis, match_iou=0.5, stopped=lambda: True)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    found = []
    for _ in range(draw(st.integers(0, 6))):
        x, y = draw(st.integers(0, 28)), draw(st.integers(0, 20))
        w, h = draw(st.integers(0, 32 - x)), draw(st.integers(0, 24 - y))
        hole = draw(st.booleans()) and w > 2 and h > 2
        pixels = np.zeros(SIZE, bool)
        pixels[y : y + h, x : x + w] = True
        if hole:
            pixels[y + 1 : y + h - 1, x + 1 : x + w - 1] = False
        found.append(Found(mask=Mask.from_array(pixels)))
    return Answer(SIZE, tuple(found))


def decoded(answer: Answer) -> list[np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    return [f.mask.to_array() for f in answer.found if f.mask is not None]


@given(answers(), answers(), st.sampled_from([0.05, 0.3, 0.5, 0.9, 1.0]))
def test_as_computed_on_pixels(a: Answer, b: Answer, match_iou: float) -> None:
    pixels_a, pixels_b = decoded(a), decoded(b)
    agreement = by_mask(a, b, match_iou)
    for m in agreement.matches:
        both = (pixels_a[m.index_a] & pixels_b[m.index_b]).sum()
        either = (pixels_a[m.index_a] | pixels_b[m.index_b]).sum()
        assert m.iou == pytest.approx(both / either)
        assert m.iou >= match_iou
    left = [*agreement.only_a, *(m.index_a for m in agreement.matches)]
    right = [*agreement.only_b, *(m.index_b for m in agreement.matches)]
    assert sorted(left) == list(range(len(a.found)))
    assert sorted(right) == list(range(len(b.found)))
    # No two that were left over would have matched.
    for i in agreement.only_a:
        for j in agreement.only_b:
            either = (pixels_a[i] | pixels_b[j]).sum()
            assert either == 0 or (pixels_a[i] & pixels_b[j]).sum() / either < match_iou
    blank = np.zeros(SIZE, bool)
    all_a, all_b = (np.any([blank, *p], axis=0) for p in (pixels_a, pixels_b))
    if (all_a | all_b).any():
        assert agreement.foreground_iou == pytest.approx(
            (all_a & all_b).sum() / (all_a | all_b).sum()
        )
    else:
        assert agreement.foreground_iou is None


@given(answers(), answers())
def test_either_way_round_it_is_the_same(a: Answer, b: Answer) -> None:
    there, back = by_mask(a, b, 0.3), by_mask(b, a, 0.3)
    assert sum(m.iou for m in there.matches) == pytest.approx(sum(m.iou for m in back.matches))
    assert there.foreground_iou == back.foreground_iou


@given(answers())
def test_with_itself_it_is_perfect(a: Answer) -> None:
    agreement = by_mask(a, a, 1.0)
    assert all(m.iou == 1.0 for m in agreement.matches)
    whole: Callable[[Found], bool] = lambda f: f.mask is not None and f.mask.area > 0  # noqa: E731
    assert len(agreement.matches) == sum(map(whole, a.found))
