"""Masks as PNG pictures and as outlines."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from diptych import Mask
from diptych.masks.rings import parts, simple
from diptych.masks.simplify import crosses, simplify

Array = NDArray[np.bool_]

arrays = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14))


def signed_area(ring: NDArray[np.float32]) -> float:
    """Shoelace formula with y down: negative for what a person sees as anticlockwise."""
    x, y = ring.astype(np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def png(array: NDArray[Any], mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(buffer, "PNG")
    return buffer.getvalue()


@given(arrays)
def test_png_round_trip(array: Array) -> None:
    data = Mask.from_array(array).to_png()
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.mode == "L"
        assert np.array_equal(np.asarray(picture), array * np.uint8(255))
    mask = Mask.from_png(data)
    assert mask.size == array.shape
    assert mask == Mask.from_array(array)
    assert mask.to_png() == data


def test_png_of_a_user() -> None:
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    assert Mask.from_png(png(grey)).to_array().tolist() == [[False, False, True, True]]
    one_bit = Mask.from_png(png(grey > 127, "1"))
    assert one_bit.to_array().tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "I;16"])
def test_png_with_other_channels_is_refused(mode: str) -> None:
    with pytest.raises(ValueError, match="one channel of up to 8 bits"):
        Mask.from_png(png(np.zeros((3, 4), np.uint8), mode))


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" * 10, b"\xff\xd8\xff" * 20])
def test_what_is_no_png_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected a PNG"):
        Mask.from_png(data)


def test_broken_png_is_refused_on_first_use() -> None:
    whole = Mask.from_array(np.random.default_rng(0).random((30, 40)) < 0.5).to_png()
    for cut in range(33, len(whole) - 16, 7):
        mask = Mask.from_png(whole[:cut])
        assert mask.size == (30, 40)
        with pytest.raises(ValueError, match="expected a whole PNG") as caught:
            _ = mask.area
        assert "0x" not in str(caught.value)


def test_png_size_is_known_before_pixels_are_drawn() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    data += struct.pack(">I", zlib.crc32(chunk))
    assert Mask.from_png(data).size == (60_000, 60_000)


@given(arrays)
def test_polygons_round_trip(array: Array) -> None:
    mask = Mask.from_array(array)
    rings = mask.to_polygons()
    assert Mask.from_polygons(rings, mask.size) == mask
    assert sum(signed_area(ring) for ring in rings) == -mask.area
    flat = [ring.ravel().tolist() for ring in rings]
    assert Mask.from_polygons(flat, mask.size) == mask


@given(arrays)
def test_polygons_are_corners_of_axis_parallel_rings(array: Array) -> None:
    for ring in Mask.from_array(array).to_polygons():
        assert ring.dtype == np.float32
        assert ring.shape[1] == 2
        assert len(ring) >= 4
        steps = np.roll(ring, -1, axis=0) - ring
        horizontal = steps[:, 1] == 0
        assert ((steps != 0).sum(axis=1) == 1).all()
        # Two steps the same way would mean a point on a straight line.
        assert (horizontal != np.roll(horizontal, 1)).all()


def test_square_goes_anticlockwise_as_seen() -> None:
    square = np.zeros((5, 6), np.bool_)
    square[1:3, 2:5] = True
    (ring,) = Mask.from_array(square).to_polygons()
    assert ring.tolist() == [[2, 1], [2, 3], [5, 3], [5, 1]]


def test_holes_and_parts_are_kept() -> None:
    array = np.zeros((9, 12), np.bool_)
    array[1:8, 1:8] = True
    array[3:6, 3:6] = False
    array[4, 4] = True  # an island in the hole
    array[2:4, 9:11] = True
    areas = [signed_area(ring) for ring in Mask.from_array(array).to_polygons()]
    assert areas == [-49, -4, 9, -1]


def test_pixels_that_touch_at_a_corner_are_separate() -> None:
    for array in (np.eye(2, dtype=np.bool_), np.eye(2, dtype=np.bool_)[::-1]):
        rings = Mask.from_array(array).to_polygons()
        assert [signed_area(ring) for ring in rings] == [-1, -1]


def test_empty_mask_has_no_rings() -> None:
    assert Mask.from_array(np.zeros((3, 4))).to_polygons() == []
    assert Mask.from_polygons([], (3, 4)).area == 0


def test_large_mask_with_holes_round_trip() -> None:
    y, x = np.ogrid[:1080, :1920]
    array = (np.sin(x / 31) + np.cos(y / 23) > 0.2) & (np.hypot(y - 540, x - 960) < 500)
    mask = Mask.from_array(array)
    assert Mask.from_polygons(mask.to_polygons(), mask.size) == mask


coordinates = st.floats(-5, 20, allow_nan=False).map(lambda value: round(value * 8) / 8 + 1 / 16)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=7))
def test_foreign_polygon_holds_the_centres_it_winds_round(ring: list[tuple[float, float]]) -> None:
    # Offsets of 1/16 keep centres off the points; centres on an edge may fall either way.
    height, width = 11, 13
    filled = Mask.from_polygons([ring], (height, width)).to_array()
    points = np.array(ring)
    following = np.roll(points, -1, axis=0)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            # Winding by angles: another way than the one under test.
            a, b = points - (x, y), following - (x, y)
            cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
            dot = (a * b).sum(axis=1)
            if ((np.abs(cross) < 1e-9) & (dot <= 0)).any():
                continue
            winding = round(float(np.arctan2(cross, dot).sum()) / (2 * np.pi))
            assert filled[row, column] == (winding != 0)


def test_foreign_polygons_are_cut_at_the_border() -> None:
    ring = [-1e6, -1e6, -1e6, 1e6, 1e6, 1e6, 1e6, -1e6]
    assert Mask.from_polygons([ring], (5, 7)).area == 35
    assert Mask.from_polygons([[20, 20, 20, 30, 30, 30]], (5, 7)).area == 0


def test_overlapping_rings_add_up_and_reversed_ones_cut() -> None:
    outer, inner = [0, 0, 0, 6, 6, 6, 6, 0], [1, 1, 1, 3, 3, 3, 3, 1]
    assert Mask.from_polygons([outer, inner], (6, 6)).area == 36
    hole = np.array(inner).reshape(-1, 2)[::-1]
    assert Mask.from_polygons([outer, hole], (6, 6)).area == 32


def test_degenerate_rings_hold_nothing() -> None:
    rings = [[], [1, 1], [1, 1, 4, 4], [2, 2, 2, 2, 2, 2]]
    assert Mask.from_polygons(rings, (6, 6)).area == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_coordinates_must_be_finite(value: float) -> None:
    with pytest.raises(ValueError, match=r"finite coordinates .* ring 1"):
        Mask.from_polygons([[0, 0, 0, 1, 1, 1], [0, 0, 0, value, 1, 1]], (4, 4))


def test_coordinates_come_in_pairs() -> None:
    with pytest.raises(ValueError, match="ring 0 has an odd number"):
        Mask.from_polygons([[0, 0, 1]], (4, 4))


def test_absurdly_tangled_outlines_are_refused() -> None:
    zigzag = np.zeros((100_000, 2))
    zigzag[::2, 0] = 500
    with pytest.raises(ValueError, match="crossings"):
        _ = Mask.from_polygons([zigzag], (500, 500)).counts


def test_many_crossings_are_worked_off_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = Mask.from_array(np.random.default_rng(1).random((40, 50)) < 0.5)
    rings = mask.to_polygons()
    monkeypatch.setattr("diptych.masks.polygons._BLOCK_CROSSINGS", 64)
    assert Mask.from_polygons(rings, mask.size) == mask


def test_no_mask_has_more_rings_than_its_runs_say() -> None:
    rng = np.random.default_rng(4)
    for share in (0.1, 0.5, 0.9):
        for _ in range(30):
            mask = Mask.from_array(rng.random(tuple(rng.integers(1, 20, 2))) < share)
            assert len(mask.to_polygons()) <= mask.rings_at_most
    assert Mask.from_array(np.ones((300, 300))).rings_at_most < 5


def test_simplified_outlines_are_near_and_cross_nothing() -> None:
    rng = np.random.default_rng(5)
    y, x = np.indices((200, 240))
    disc = Mask.from_array(np.hypot(y - 100, x - 120) < 80)
    ring = Mask.from_array((np.hypot(y - 100, x - 120) < 80) & (np.hypot(y - 100, x - 120) > 74))
    noise = Mask.from_array(rng.random((40, 40)) < 0.7)
    for mask in (disc, ring, noise, Mask.from_array(np.zeros((3, 3)))):
        exact = mask.to_polygons()
        assert sum(map(len, mask.to_polygons(tolerance=0.0))) == sum(map(len, exact))
        fewer = mask.to_polygons(tolerance=1.0)
        corners = {tuple(point) for one in exact for point in one.tolist()}
        assert all(tuple(point) in corners for one in fewer for point in one.tolist())
        for part in parts(simple(exact)):
            assert not crosses(simplify(part, 1.0)) or noise is mask
    assert sum(map(len, disc.to_polygons(tolerance=1.0))) < 40
    near = Mask.from_polygons(disc.to_polygons(tolerance=1.0), disc.size)
    assert 0.97 < near.iou(disc) < 1.0
    holed = Mask.from_polygons(ring.to_polygons(tolerance=1.0), ring.size)
    assert not holed.to_array()[100, 120]
    assert holed.iou(ring) > 0.6


def test_what_crosses_is_told() -> None:
    square = np.array([[0, 0], [0, 9], [9, 9], [9, 0]], np.float32)
    bow = np.array([[0, 0], [9, 9], [9, 0], [0, 9]], np.float32)
    spike = np.array([[0, 0], [9, 0], [4, 0], [4, 5]], np.float32)
    touches = np.array([[0, 3], [4, 4], [4, 6]], np.float32)
    inside = np.array([[2, 2], [4, 2], [4, 4]], np.float32)
    assert not crosses([square])
    assert not crosses([square, inside])
    assert crosses([bow])
    assert crosses([spike])
    assert crosses([square, touches])
