"""The measure behind the gates of the tiers: what counts as the same; nothing is left out."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import Agreement, Floors, partners, without_partner

from diptych import Mask


def square(left: int, width: int = 10) -> Mask:
    """A mask of ten rows in a picture of 20 x 100."""
    pixels = np.zeros((20, 100), np.bool_)
    pixels[5:15, left : left + width] = True
    return Mask.from_array(pixels)


NOTHING = Mask.from_array(np.zeros((20, 100), np.bool_))


def test_a_mask_has_one_partner_the_closest() -> None:
    ours = [(None, square(0)), (None, square(1))]
    assert partners(ours, [(None, square(1))]) == [1.0]
    assert partners(ours, [(None, square(2)), (None, square(1))]) == [1.0, pytest.approx(8 / 12)]


def test_less_than_half_is_no_partner() -> None:
    assert partners([(None, square(0))], [(None, square(3, 10))]) == [pytest.approx(7 / 13)]
    assert partners([(None, square(0))], [(None, square(4, 10))]) == []


def test_other_labels_are_no_partners() -> None:
    assert partners([("cat", square(0))], [("dog", square(0))]) == []


def test_names_those_that_the_other_has_not() -> None:
    ours = [("cat", square(0)), ("cat", square(1)), ("dog", square(50))]
    assert without_partner(ours, [("cat", square(1)), ("cat", square(50))]) == [ours[0], ours[2]]
    assert without_partner(ours, ours) == []


def test_every_picture_counts() -> None:
    found = Agreement()
    found.add([(None, square(0))], [(None, square(0)), (None, square(50))])
    found.add([(None, square(0)), (None, square(30)), (None, square(60))], [(None, square(0))])
    found.add([], [])
    assert found.matched_iou == 1.0
    assert found.recall == pytest.approx(2 / 3)
    assert found.precision == pytest.approx(2 / 4)
    assert found.same_count == pytest.approx(1 / 3)
    assert found.count_difference == pytest.approx(3 / 3)


def test_an_empty_mask_is_none() -> None:
    found = Agreement()
    found.add([(1, NOTHING), (2, square(0))], [(1, NOTHING), (2, NOTHING)])
    assert (found.ours, found.theirs) == (1, 0)
    assert found.precision == 0.0


@pytest.mark.parametrize(
    ("ours", "met"),
    [
        ([square(0), square(50)], True),
        ([square(0), square(54)], False),  # a pair is 6 / 14: none
        ([square(0), square(51)], False),  # mean IoU (1 + 9 / 11) / 2
        ([square(0), square(50), square(80)], False),
    ],
)
def test_a_gate_looks_at_overlap_recall_and_precision(ours: list[Mask], met: bool) -> None:
    found = Agreement()
    found.add([(None, one) for one in ours], [(None, square(0)), (None, square(50))])
    assert found.meets(Floors(matched_iou=0.98, share=0.97)) is met
