"""Binary masks as run lengths: the form in which they are made, sent, compared and kept."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .._types.geometry import Box
from . import png, polygons, runs

_MAX_PIXELS = 2**32 - 1  # a run length is a uint32


class Mask:
    """Which pixels of an image belong to an object. Immutable; equal by size and pixels.

    Kept as run lengths, so a mask costs by its outline and not by the image's size. One made
    from a PNG or from polygons keeps its source and is decoded on first use; until then only
    ``size`` is known, so a size that is too large can be refused before any pixel is drawn.
    """

    __slots__ = ("_counts", "_png", "_rings", "_size")

    _counts: runs.Counts | None
    _png: bytes | None
    _rings: tuple[polygons.Points, ...] | None
    _size: tuple[int, int]

    def __init__(self) -> None:
        raise TypeError("Mask has no constructor; use Mask.from_array or another from_ method")

    @classmethod
    def from_array(cls, array: ArrayLike) -> Mask:
        """From ``(height, width)`` values; all but 0 and False are the object."""
        values = _as_bool(array)
        return cls._made(values.shape, counts=runs.from_crop(values, 0, 0, values.shape))

    @classmethod
    def from_crop(cls, crop: ArrayLike, x0: int, y0: int, size: tuple[int, int]) -> Mask:
        """From the part of a mask that holds its object, at a cost that depends on that part only.

        ``crop`` is ``(rows, columns)`` with its top left pixel at ``(x0, y0)`` in a mask of
        ``size`` (height, width); it must lie inside.
        """
        values = _as_bool(crop)
        height, width = _checked(size)
        rows, columns = values.shape
        x0, y0 = operator.index(x0), operator.index(y0)
        if x0 < 0 or y0 < 0 or x0 + columns > width or y0 + rows > height:
            raise ValueError(
                f"crop: expected to lie inside {height} x {width}, "
                f"got {rows} x {columns} at x={x0}, y={y0}"
            )
        counts = runs.from_crop(values, x0, y0, (height, width))
        return cls._made((height, width), counts=counts)

    @classmethod
    def from_counts(cls, counts: ArrayLike, size: tuple[int, int]) -> Mask:
        """From ``(runs,)`` lengths, column by column, background first, 0 if there is none.

        Raises ``ValueError`` for lengths that do not add up to a mask of ``size`` (height, width).
        """
        height, width = _checked(size)
        return cls._made(size, counts=runs.check(np.asarray(counts), height * width))

    @classmethod
    def from_coco(
        cls,
        counts: bytes | str | Mapping[str, Any],
        size: tuple[int, int] | None = None,
    ) -> Mask:
        """From a COCO compressed string, for a mask of ``size`` (height, width).

        Or from COCO's dict of both, ``{"size": [height, width], "counts": ...}``, whose counts may
        be a list, too. Raises ``ValueError`` for a string that no mask of this size has.
        """
        if isinstance(counts, Mapping):
            size, inner = tuple(counts["size"]), counts["counts"]
            if not isinstance(inner, (bytes, str)):
                return cls.from_counts(inner, size)
            counts = inner
        if size is None:
            raise TypeError("size: expected (height, width) for a string of counts, got none")
        height, width = _checked(size)
        data = counts.encode() if isinstance(counts, str) else counts
        return cls._made(size, counts=runs.decode(data, height * width))

    @classmethod
    def from_png(cls, data: bytes) -> Mask:
        """From a PNG with one channel; values over 127 are the object.

        Raises ``ValueError`` for anything else; broken pixels are noticed on first use.
        """
        return cls._made(png.read_size(data), png=bytes(data))

    @classmethod
    def from_polygons(cls, rings: Iterable[ArrayLike], size: tuple[int, int]) -> Mask:
        """From outlines: the pixels whose centre lies inside, by the non-zero winding rule.

        Each ring is ``(points, 2)`` or x and y in turn. Rings that turn the other way cut holes,
        rings that turn the same way add up. Raises ``ValueError`` for coordinates that are not
        finite; outlines that cross themselves absurdly often are noticed on first use.
        """
        return cls._made(size, rings=polygons.checked(rings))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self._size

    @property
    def counts(self) -> NDArray[np.uint32]:
        """Run lengths ``(runs,)``, column by column, background first, 0 if there is none.

        Read-only. Raises ``ValueError`` if the source turns out to be broken, as everything does
        that looks at pixels.
        """
        if self._counts is None:
            self._counts = self._decoded()
        return self._counts

    @property
    def area(self) -> int:
        """Object pixels."""
        return runs.area(self.counts)

    @property
    def box(self) -> Box | None:
        """The smallest box around the object, half-open; ``None`` for an empty mask."""
        edges = runs.box(self.counts, self._size[0])
        return None if edges is None else Box(*map(float, edges))

    @property
    def rings_at_most(self) -> int:
        """How many polygons ``to_polygons`` gives at most, without drawing; of noise there are many
        thousands."""
        return runs.rings_at_most(self.counts, self._size[0])

    def to_coco(self) -> bytes:
        """The COCO compressed string, byte for byte that of pycocotools."""
        return runs.encode(self.counts)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """What ``np.asarray(mask)`` takes: ``to_array``, which is always a copy."""
        if copy is False:
            raise ValueError("mask: expected that a copy may be made, got copy=False")
        return self.to_array() if dtype is None else self.to_array().astype(dtype)

    def _repr_png_(self) -> bytes:
        from .._drawing.shown import mask_png

        return mask_png(self)

    def to_array(self) -> NDArray[np.bool_]:
        """``(height, width)`` bool, a fresh array."""
        return runs.to_array(self.counts, self._size)

    def to_crop(self) -> tuple[NDArray[np.bool_], int, int]:
        """The smallest part of the mask that holds its object, and where that is.

        ``(rows, columns)`` bool and the x and y of its top left pixel, as ``from_crop`` takes them;
        of an empty mask no pixels at all.
        """
        edges = runs.box(self.counts, self._size[0])
        if edges is None:
            return np.zeros((0, 0), np.bool_), 0, 0
        return runs.to_crop(self.counts, self._size[0], edges), edges[0], edges[1]

    @property
    def undecoded_png(self) -> bytes | None:
        """The PNG that it was made from, while none of its pixels were looked at."""
        return self._png if self._counts is None else None

    def to_png(self) -> bytes:
        """A single-channel 8-bit PNG, 0 or 255."""
        return self._png if self._png is not None else png.encode(self.to_array())

    def to_polygons(self, *, tolerance: float = 0.0) -> list[NDArray[np.float32]]:
        """Outlines along pixel edges, ``(points, 2)`` each: x and y of the corners.

        The last point is joined to the first. As a person sees the image (y down), outer rings
        are anticlockwise and holes clockwise. ``from_polygons`` gives the same mask back.

        With a ``tolerance`` in pixels corners are left away, so that the outline is nowhere
        further from the exact one; no ring then crosses itself or another of its part.
        ``Mask.from_polygons(rings, mask.size).iou(mask)`` says how near that is.
        """
        if not tolerance > 0:
            return polygons.trace(*self.to_crop())
        from .rings import parts, simple
        from .simplify import simplify

        found = parts(simple(polygons.trace(*self.to_crop())))
        return [ring for part in found for ring in simplify(part, tolerance)]

    def intersection(self, other: Mask) -> int:
        """Pixels in both masks, without decoding; ``ValueError`` if the sizes differ."""
        _same_size(self._size, other._size)
        return runs.intersection(self.counts, other.counts)

    def iou(self, other: Mask) -> float:
        """Intersection over union, 0 if both are empty; ``ValueError`` if the sizes differ."""
        both = self.intersection(other)
        either = self.area + other.area - both
        return both / either if either else 0.0

    def shifted(self, dx: int, dy: int) -> Mask:
        """The same object ``dx`` pixels to the right and ``dy`` down, without decoding.

        What leaves the image is lost.
        """
        counts = runs.shifted(self.counts, operator.index(dx), operator.index(dy), self._size)
        return Mask._made(self._size, counts=counts)

    @staticmethod
    def union(masks: Iterable[Mask], size: tuple[int, int]) -> Mask:
        """The pixels of any of the masks, all of ``size``; the empty mask if there are none."""
        height, width = _checked(size)
        parts = list(masks)
        for mask in parts:
            _same_size((height, width), mask._size)
        counts = runs.union([mask.counts for mask in parts], height * width)
        return Mask._made(size, counts=counts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return self._size == other._size and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash((self._size, self.counts.tobytes()))

    def __repr__(self) -> str:
        height, width = self._size
        return f"Mask(size=({height}, {width}))"

    @classmethod
    def _made(
        cls,
        size: tuple[int, int],
        *,
        counts: runs.Counts | None = None,
        png: bytes | None = None,
        rings: tuple[polygons.Points, ...] | None = None,
    ) -> Mask:
        mask = object.__new__(cls)
        mask._size = _checked(size)
        mask._counts, mask._png, mask._rings = counts, png, rings
        return mask

    def _decoded(self) -> runs.Counts:
        if self._png is not None:
            return runs.from_crop(png.decode(self._png, self._size), 0, 0, self._size)
        if self._rings is not None:
            return polygons.fill(self._rings, self._size)
        raise AssertionError("a mask has run lengths or a source")


def _checked(size: tuple[int, int]) -> tuple[int, int]:
    height, width = (operator.index(side) for side in size)
    if height < 1 or width < 1 or height * width > _MAX_PIXELS:
        raise ValueError(
            f"mask size: expected height and width from 1, up to {_MAX_PIXELS} pixels, "
            f"got {height} x {width}"
        )
    return height, width


def _as_bool(array: ArrayLike) -> NDArray[np.bool_]:
    values = np.asarray(array)
    if values.ndim != 2:
        raise ValueError(f"mask: expected (height, width), got shape {values.shape}")
    return values if values.dtype == np.bool_ else values != 0


def _same_size(a: tuple[int, int], b: tuple[int, int]) -> None:
    if a != b:
        raise ValueError(f"masks: expected the same size, got {a[0]} x {a[1]} and {b[0]} x {b[1]}")
