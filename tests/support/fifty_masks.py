"""Masks that formats find hard: holes, parts, edges of the picture, single pixels, noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diptych import Mask, Segment
from diptych.formats import Picture

SIZE = (72, 96)
LABELS = ("cat", "dog & <cat>", "=1+1", "żółw")


def arrays() -> Iterator[NDArray[np.bool_]]:
    """Fifty, none of them empty."""
    height, width = SIZE
    for y, x in ((0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1), (30, 40)):
        one = np.zeros(SIZE, bool)
        one[y, x] = True  # single pixels, of which four are corners of the picture
        yield one
    yield np.ones(SIZE, bool)
    framed = np.ones(SIZE, bool)
    framed[1:-1, 1:-1] = False
    yield framed
    for step in (2, 3):  # lines, and points that touch at corners only
        lines = np.zeros(SIZE, bool)
        lines[::step, 3:-3] = True
        yield lines
        yield lines & lines[:, ::-1].T[: SIZE[0], : SIZE[0]].repeat(2, axis=1)[:, :width]
    yield np.indices(SIZE).sum(axis=0) % 7 == 0  # diagonals
    y, x = np.indices(SIZE)
    for radius in (3, 8, 20, 33):
        away = np.hypot(y - 36, x - 48)
        yield away < radius
        yield (away < radius) & (away > radius / 2)
        rings = (away < radius) & (away % 5 < 3)
        rings[:, 48] &= radius % 2 == 0
        yield rings
    rng = np.random.default_rng(20)
    for share in (0.05, 0.3, 0.5, 0.7, 0.95):
        yield rng.random(SIZE) < share
    for smooth in (1.5, 3.0, 6.0):
        for level in (0.45, 0.5, 0.55):
            values = ndimage.gaussian_filter(rng.random(SIZE), smooth)
            yield values > np.quantile(values, level)
    for _ in range(12):
        part = np.zeros(SIZE, bool)
        for _ in range(3):
            top, left = rng.integers(0, 60), rng.integers(0, 80)
            part[top : top + rng.integers(1, 20), left : left + rng.integers(1, 30)] ^= True
        yield part if part.any() else ~part


def picture(name: str = "fifty.png", model_id: str = "model") -> Picture:
    """All of them in one picture, where they overlap."""
    segments = []
    for number, array in enumerate(arrays()):
        mask = Mask.from_array(array)
        label = LABELS[number % len(LABELS)]
        score = (number + 1) / 64
        segments.append(Segment(score, mask.box, mask, label, number % len(LABELS) + 1, mask.area))
    return Picture(name, SIZE[1], SIZE[0], segments, model_id)
