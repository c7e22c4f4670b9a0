"""Masks are pasted inside their box alone, with torchvision's numbers."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import paste_masks_in_image

from diptych import Mask
from diptych_maskrcnn.paste import covers, paste, placements


def stock(probabilities: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """torchvision's whole float pictures, ``(N, H, W)``."""
    pasted = paste_masks_in_image(
        torch.from_numpy(probabilities)[:, None], torch.from_numpy(boxes), size
    )
    values: np.ndarray = pasted[:, 0].numpy()
    return values


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """A map, a box somewhere in a picture, also at its edges, and the picture's size."""
    height, width = draw(st.integers(1, 150)), draw(st.integers(1, 150))
    share = st.floats(0, 1, width=32)
    x = np.sort(np.array([draw(share), draw(share)]) * width)
    y = np.sort(np.array([draw(share), draw(share)]) * height)
    seed = draw(st.integers(0, 2**32 - 1))
    cells = draw(st.sampled_from([14, 28]))
    probabilities = np.random.default_rng(seed).random((cells, cells), dtype=np.float32)
    return probabilities, np.array([x[0], y[0], x[1], y[1]], np.float32), (height, width)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_equals_torchvision(case: tuple[np.ndarray, np.ndarray, tuple[int, int]]) -> None:
    probabilities, box, size = case
    whole = stock(probabilities[None], box[None], size)[0]
    place = placements(box[None], probabilities.shape[0])[0]
    ours = paste(probabilities, place, size).to_array()
    # Where the value is one half to the last bit, either side is right.
    clear = np.abs(whole - 0.5) > 1e-6
    np.testing.assert_array_equal(ours[clear], (whole > 0.5)[clear])


@settings(max_examples=60, deadline=None)
@given(cases())
def test_point_test_equals_the_mask(
    case: tuple[np.ndarray, np.ndarray, tuple[int, int]],
) -> None:
    probabilities, box, size = case
    place = placements(box[None], probabilities.shape[0])[0]
    mask = paste(probabilities, place, size).to_array()
    picked = np.random.default_rng(0).integers(0, [size[0], size[1]], (50, 2))
    rows, columns = picked.T
    np.testing.assert_array_equal(covers(probabilities, place, columns, rows), mask[rows, columns])


@pytest.mark.parametrize(
    "box", [(0, 0, 1200, 900), (-30, 200, 700, 1000), (3.4, 5.6, 3.5, 5.7), (1100, 850, 1200, 900)]
)
def test_large_small_and_overhanging_boxes(box: tuple[float, ...]) -> None:
    size = (900, 1200)
    grid = np.linspace(-1, 1, 28, dtype=np.float32)
    disc = 1 / (1 + np.exp(8 * (grid[:, None] ** 2 + grid**2 - 0.6)))
    corners = np.array([box], np.float32)
    whole = stock(disc[None].astype(np.float32), corners, size)[0] > 0.5
    ours = paste(disc.astype(np.float32), placements(corners, 28)[0], size)
    if whole.any():
        assert ours.iou(Mask.from_array(whole)) >= 0.999
    else:
        assert ours.area == 0


def test_memory_is_less_than_a_float_per_pixel_of_the_box() -> None:
    """A float picture of the whole would take 192 MB."""
    size, box = (6000, 8000), np.array([[100, 100, 2100, 2100]], np.float32)
    place = placements(box, 28)[0]
    probabilities = np.full((28, 28), 0.9, np.float32)
    paste(probabilities, place, size)
    tracemalloc.start()
    mask = paste(probabilities, place, size)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert mask.area > 2000 * 2000 * 0.9
    assert peak < 4 * 2000 * 2000


def test_box_outside_is_empty() -> None:
    box = np.array([[50, 60, 55, 65]], np.float32)
    mask = paste(np.ones((28, 28), np.float32), placements(box, 28)[0], (40, 50))
    assert mask.area == 0
    assert mask.size == (40, 50)
