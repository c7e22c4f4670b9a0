"""Masks as PNG files: one for each object, or one picture of all, with a table of what is what."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._types.segment import Segment
from ..masks import png
from .categories import Categories
from .names import beside, one_step, unique_names
from .picture import Files, Options, Picture
from .tables import lines

TABLE = "objects.csv"
_MOST_COLOURS = 255


def write_masks(pictures: Sequence[Picture], options: Options) -> Files:
    """Write a PNG for each mask, 0 or 255, in a folder for each picture."""
    categories = Categories(pictures, options.categories)
    rows = []
    names = unique_names((picture.name for picture in pictures), by_stem=True)
    for picture, name in zip(pictures, names, strict=True):
        for number, segment in enumerate(picture.segments, start=1):
            if segment.mask is None:
                continue
            label = one_step(categories.name(segment))
            file = f"{beside(name, '')}/{number:03}-{label}.png"
            yield file, png.encode(segment.mask.to_array())
            rows.append([file, name, categories.name(segment), *_numbers(categories, segment)])
    head = ["file", "picture", "label", "category_id", "score", "area"]
    yield TABLE, lines([head, *rows])


def write_indexed(pictures: Sequence[Picture], options: Options) -> Files:
    """Write a PNG for each picture, whose pixels have the number of their object, 0 being none.

    Of objects that overlap, the smaller one is on top. There are 255 colours; a picture with more
    objects is a PNG of 16 bits without.
    """
    categories = Categories(pictures, options.categories)
    rows = []
    names = unique_names((picture.name for picture in pictures), by_stem=True)
    for picture, name in zip(pictures, names, strict=True):
        masks = [(n, s.mask) for n, s in enumerate(picture.segments, start=1) if s.mask]
        numbers = np.zeros((picture.height, picture.width), np.uint16)
        for number, mask in sorted(masks, key=lambda one: -one[1].area):
            crop, x, y = mask.to_crop()
            rows_of_it, columns = crop.shape
            numbers[y : y + rows_of_it, x : x + columns][crop] = number
        file = beside(name, ".png")
        yield file, _indexed(numbers, len(picture.segments))
        for number, _ in masks:
            segment = picture.segments[number - 1]
            of_it = [number, categories.name(segment), *_numbers(categories, segment)]
            rows.append([file, name, *of_it])
    head = ["file", "picture", "value", "label", "category_id", "score", "area"]
    yield TABLE, lines([head, *rows])


def _numbers(categories: Categories, segment: Segment) -> list[object]:
    return [categories.id(segment), round(segment.score, 6), segment.area]


def _indexed(numbers: NDArray[np.uint16], most: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    if most > _MOST_COLOURS:
        Image.fromarray(numbers).save(buffer, "PNG")
    else:
        image = Image.fromarray(numbers.astype(np.uint8))
        image.putpalette(_palette())
        image.save(buffer, "PNG")
    return buffer.getvalue()


def _palette() -> list[int]:
    """The colours of Pascal VOC: the bits of a number, lowest first, are the high bits of red,
    green and blue in turn."""
    colours = []
    for number in range(_MOST_COLOURS + 1):
        for channel in range(3):
            bits = [number >> (3 * place + channel) & 1 for place in range(3)]
            colours.append(sum(bit << (7 - place) for place, bit in enumerate(bits)))
    return colours
