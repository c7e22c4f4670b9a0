"""Masks against numpy and pycocotools, on every kind of small mask and on some large ones."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pycocotools import mask as coco

from diptych import Box, Mask

Array = NDArray[np.bool_]

shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=14)
arrays = hnp.arrays(np.bool_, shapes) | st.builds(
    np.full, shapes, st.booleans()
)  # full and empty ones are rare among the first


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Array, Array]:
    shape = draw(shapes)
    one = hnp.arrays(np.bool_, st.just(shape))
    return draw(one), draw(one)


def coco_string(array: Array) -> bytes:
    counts = coco.encode(np.asfortranarray(array.astype(np.uint8)))["counts"]
    assert isinstance(counts, bytes)
    return counts


def blob(height: int, width: int) -> Array:
    """A wavy disc with a hole and a second part."""
    y, x = np.ogrid[:height, :width]
    r = np.hypot((y - height / 2) / height, (x - width / 2) / width)
    disc = r + 0.02 * np.sin(x / 9) + 0.02 * np.cos(y / 7) < 0.4
    return (disc & (r > 0.1)) | ((y < height // 20) & (x < width // 20))


@given(arrays)
@example(np.ones((1, 1), np.bool_))
@example(np.zeros((1, 1), np.bool_))
@example(np.eye(9, dtype=np.bool_)[:1])
@example(np.eye(9, dtype=np.bool_)[:, :1])
def test_coco_string_is_that_of_pycocotools(array: Array) -> None:
    theirs = coco_string(array)
    assert Mask.from_array(array).to_coco() == theirs
    assert Mask.from_coco(theirs, array.shape) == Mask.from_array(array)
    assert Mask.from_coco(theirs.decode(), array.shape).to_coco() == theirs


@pytest.mark.parametrize(
    "array",
    [
        blob(1080, 1920),
        np.indices((700, 900)).sum(axis=0) % 2 == 0,
        np.random.default_rng(0).random((640, 480)) < 0.3,
        np.arange(3_000_000).reshape(3000, 1000) == 1_234_567,
        np.ones((3000, 4000), np.bool_),
    ],
    ids=["blob", "checkers", "noise", "one pixel", "full"],
)
def test_large_masks(array: Array) -> None:
    mask = Mask.from_array(array)
    theirs = coco.encode(np.asfortranarray(array.astype(np.uint8)))
    assert mask.to_coco() == theirs["counts"]
    assert np.array_equal(Mask.from_coco(theirs["counts"], mask.size).to_array(), array)
    assert mask.area == int(array.sum())
    assert mask.box is not None
    assert list(mask.box.xywh) == coco.toBbox(theirs).tolist()


@given(arrays)
def test_array_round_trip(array: Array) -> None:
    mask = Mask.from_array(array)
    back = mask.to_array()
    assert back.dtype == np.bool_
    assert back.flags.c_contiguous
    assert np.array_equal(back, array)
    assert Mask.from_array(np.asfortranarray(array)) == mask
    assert Mask.from_array(array.astype(np.float32) * 0.5) == mask


@given(arrays)
def test_counts_round_trip(array: Array) -> None:
    mask = Mask.from_array(array)
    assert mask.counts.dtype == np.uint32
    assert (mask.counts[1:] > 0).all()
    assert Mask.from_counts(mask.counts, mask.size) == mask
    drawn = np.repeat(np.arange(len(mask.counts)) % 2 == 1, mask.counts)
    assert np.array_equal(drawn.reshape(array.shape[::-1]).T, array)


@given(arrays, st.tuples(*[st.integers(0, 4)] * 4))
def test_crop_is_embedded(crop: Array, margins: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = margins
    array = np.pad(crop, ((top, bottom), (left, right)))
    assert Mask.from_crop(crop, left, top, array.shape) == Mask.from_array(array)


def test_crop_without_pixels_is_empty() -> None:
    assert Mask.from_crop(np.zeros((0, 3), np.bool_), 1, 2, (4, 5)).area == 0
    assert Mask.from_crop(np.zeros((3, 0), np.bool_), 1, 1, (4, 5)).area == 0


@pytest.mark.parametrize(("x0", "y0"), [(-1, 0), (0, -1), (3, 0), (0, 2)])
def test_crop_must_lie_inside(x0: int, y0: int) -> None:
    with pytest.raises(ValueError, match="inside 4 x 5, got 3 x 3 at"):
        Mask.from_crop(np.ones((3, 3)), x0, y0, (4, 5))


@given(arrays)
def test_area_and_box(array: Array) -> None:
    mask = Mask.from_array(array)
    assert mask.area == int(array.sum())
    y, x = np.nonzero(array)
    if len(y):
        assert mask.box == Box(x.min(), y.min(), x.max() + 1, y.max() + 1)
    else:
        assert mask.box is None


@given(pairs())
def test_intersection_and_iou(pair: tuple[Array, Array]) -> None:
    a, b = pair
    mask, other = Mask.from_array(a), Mask.from_array(b)
    both, either = int((a & b).sum()), int((a | b).sum())
    assert mask.intersection(other) == other.intersection(mask) == both
    assert mask.iou(other) == (both / either if either else 0.0)
    assert mask.iou(mask) == (1.0 if a.any() else 0.0)


@given(shapes.flatmap(lambda shape: st.lists(hnp.arrays(np.bool_, st.just(shape)), max_size=4)))
def test_union(parts: list[Array]) -> None:
    size = parts[0].shape if parts else (3, 4)
    expected = np.any(parts, axis=0) if parts else np.zeros(size, np.bool_)
    assert Mask.union((Mask.from_array(part) for part in parts), size) == Mask.from_array(expected)


@given(arrays, st.integers(-16, 16), st.integers(-16, 16))
@example(np.ones((3, 4), np.bool_), 1, -1)
@example(np.ones((3, 4), np.bool_), 0, 0)
def test_shifted_moves_every_pixel(array: Array, dx: int, dy: int) -> None:
    ys, xs = np.nonzero(array)
    ys, xs = ys + dy, xs + dx
    inside = (ys >= 0) & (ys < array.shape[0]) & (xs >= 0) & (xs < array.shape[1])
    moved = np.zeros_like(array)
    moved[ys[inside], xs[inside]] = True
    shifted = Mask.from_array(array).shifted(dx, dy)
    assert shifted == Mask.from_array(moved)
    assert shifted.counts[1:].all()


def test_sizes_must_match() -> None:
    small, large = Mask.from_array(np.ones((2, 3))), Mask.from_array(np.ones((3, 2)))
    with pytest.raises(ValueError, match="same size, got 2 x 3 and 3 x 2"):
        small.intersection(large)
    with pytest.raises(ValueError, match="same size"):
        small.iou(large)
    with pytest.raises(ValueError, match="same size"):
        Mask.union([small, large], (2, 3))


@given(pairs())
def test_equality_and_hash_go_by_pixels(pair: tuple[Array, Array]) -> None:
    a, b = pair
    assert (Mask.from_array(a) == Mask.from_array(b)) == np.array_equal(a, b)
    assert hash(Mask.from_array(a)) == hash(Mask.from_coco(coco_string(a), a.shape))


def test_equality_looks_at_the_size() -> None:
    assert Mask.from_array(np.zeros((2, 3))) != Mask.from_array(np.zeros((3, 2)))
    assert Mask.from_array(np.zeros((2, 3))) != "mask"


def test_cannot_be_changed() -> None:
    mask = Mask.from_array(np.eye(3))
    with pytest.raises(ValueError, match="read-only"):
        mask.counts[0] = 7
    with pytest.raises(AttributeError):
        mask.size = (1, 1)  # type: ignore[misc]
    mask.to_array()[:] = False
    assert mask.area == 3


def test_does_not_follow_its_source() -> None:
    counts = np.array([1, 2, 1], np.uint32)
    mask = Mask.from_counts(counts, (2, 2))
    counts[:] = 9
    assert mask.counts.tolist() == [1, 2, 1]


def test_can_be_copied_and_sent_to_another_process() -> None:
    made = Mask.from_array(np.eye(3))
    lazy = Mask.from_png(made.to_png())
    for mask in (made, lazy):
        assert pickle.loads(pickle.dumps(mask)) == copy.deepcopy(mask) == made


def test_runs_of_no_length_are_merged() -> None:
    expected = Mask.from_array(np.array([[1, 1], [1, 0]]))
    for counts in ([0, 3, 1], [0, 1, 0, 2, 1], [0, 3, 0, 0, 1], [0, 3, 1, 0]):
        mask = Mask.from_counts(counts, (2, 2))
        assert mask == expected
        assert mask.to_coco() == expected.to_coco()


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([3, 2], "sum of 6 pixels, got 5"),
        ([3, 4], "got 7"),
        ([-1, 7], "0 or more, got -1"),
        ([2**40, 2**40], "sum of 6"),
        ([], "integers|no runs"),
        (np.zeros(0, np.int64), "no runs"),
        ([1.0, 5.0], "integers"),
        ([[1, 5]], "flat array"),
        (np.full(2**16, 2**63 - 1), "sum of 6"),
    ],
)
def test_wrong_counts_are_refused(counts: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mask.from_counts(counts, (2, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-3, 2), (2**16, 2**16), (2**40, 2**40)])
def test_absurd_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="mask size"):
        Mask.from_coco(b"0", size)
    with pytest.raises(ValueError, match="mask size"):
        Mask.from_polygons([], size)


@pytest.mark.parametrize("shape", [(4,), (2, 2, 2), (0, 4)])
def test_arrays_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mask"):
        Mask.from_array(np.zeros(shape))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (b"", "nothing"),
        (b"6V", "breaks off"),
        (b"5", "sum of 6 pixels, got 5"),
        (b"O7", "0 or more, got -1"),
        (b"6 ", "'0' to 'o'"),
        (b"6\x00", "'0' to 'o'"),
        (b"6\xff", "'0' to 'o'"),
        (b"P" * 7 + b"0", "35 bits"),
        (b"oooooo?", "sum of 6"),
        (b"0" * 8 + b"6", "too many"),
        (b"P" * 100_000, "breaks off"),
    ],
)
def test_hostile_coco_strings_are_refused(counts: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mask.from_coco(counts, (2, 3))


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda b: bytes(48 + c % 64 for c in b)))
def test_any_bytes_make_a_mask_or_a_value_error(data: bytes) -> None:
    try:
        mask = Mask.from_coco(data, (5, 7))
    except ValueError:
        return
    assert int(mask.counts.sum()) == 35
    assert mask.to_array().sum() == mask.area


@given(arrays, st.data())
def test_a_truncated_string_is_never_the_same_mask(array: Array, data: st.DataObject) -> None:
    counts = coco_string(array)
    cut = counts[: data.draw(st.integers(0, len(counts) - 1))]
    with pytest.raises(ValueError, match="run lengths"):
        Mask.from_coco(cut, array.shape)


def test_has_no_constructor() -> None:
    with pytest.raises(TypeError, match="from_array"):
        Mask()


def test_repr_does_not_decode() -> None:
    assert repr(Mask.from_array(np.zeros((2, 3)))) == "Mask(size=(2, 3))"


def test_import_loads_no_pillow() -> None:
    code = "import sys, diptych; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
