"""Small holes and islands, against a labelling of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from skimage import measure

from diptych import Mask
from diptych_sam2.regions import without_small_regions

Bools = NDArray[np.bool_]
label: Any = measure.label


def reference(mask: Bools, min_area: int) -> Bools:
    holes = _small(~mask, min_area)
    filled: Bools = mask | holes
    islands = _small(filled, min_area)
    if filled.any() and (islands == filled).all():
        regions = label(filled, connectivity=2)
        islands = filled & (regions != np.bincount(regions[filled]).argmax())
    return filled & ~islands


def _small(mask: Bools, min_area: int) -> Bools:
    regions = label(mask, connectivity=2)
    areas = np.bincount(regions.ravel())
    small: Bools = mask & (areas[regions] < min_area)
    return small


def areas_of(mask: Bools) -> list[int]:
    regions = label(mask, connectivity=2)
    return sorted(np.bincount(regions.ravel())[1:].tolist())


masks = st.tuples(st.integers(1, 14), st.integers(1, 14)).flatmap(
    lambda shape: arrays(np.bool_, shape)
)


@settings(deadline=None, max_examples=300)
@given(masks, st.integers(0, 30))
def test_same_as_labelling_pixels(mask: Bools, min_area: int) -> None:
    cleaned, changed = without_small_regions(Mask.from_array(mask), min_area)
    ours, expected = cleaned.to_array(), reference(mask, min_area)
    if areas_of(ours) != areas_of(expected) or not _tie(mask, min_area):
        np.testing.assert_array_equal(ours, expected)
    assert changed == (cleaned != Mask.from_array(mask))


def _tie(mask: Bools, min_area: int) -> bool:
    """Whether all islands are too small and the two largest equally large: either may stay."""
    areas = areas_of(mask | _small(~mask, min_area))
    return len(areas) > 1 and areas[-1] < min_area and areas[-1] == areas[-2]


@pytest.mark.parametrize("seed", range(4))
def test_large_ragged_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((180, 240)) < 0.2 + 0.2 * seed
    cleaned, changed = without_small_regions(Mask.from_array(mask), 25)
    assert changed
    np.testing.assert_array_equal(cleaned.to_array(), reference(mask, 25))


def test_a_spiral_is_one_region() -> None:
    size = 41
    mask = np.zeros((size, size), bool)
    low, high = 0, size - 1
    while low < high:
        mask[low, max(low - 2, 0) : high + 1] = True
        mask[low : high + 1, high] = True
        mask[high, low : high + 1] = True
        mask[low + 2 : high + 1, low] = True
        low, high = low + 2, high - 2
    assert areas_of(mask) == [int(mask.sum())]
    cleaned, changed = without_small_regions(Mask.from_array(mask), int(mask.sum()))
    assert cleaned.area >= mask.sum()
    assert not changed or cleaned.area > mask.sum()


def test_a_ring_keeps_a_large_hole_and_loses_a_small_one() -> None:
    ring = np.ones((20, 20), bool)
    ring[8:12, 8:12] = False
    mask = Mask.from_array(np.pad(ring, 20))
    assert without_small_regions(mask, 16) == (mask, False)
    cleaned, changed = without_small_regions(mask, 17)
    assert changed
    assert cleaned.area == 400


def test_an_empty_and_a_full_mask_stay() -> None:
    for values in (np.zeros((9, 7), bool), np.ones((9, 7), bool)):
        mask = Mask.from_array(values)
        assert without_small_regions(mask, 60) == (mask, False)
