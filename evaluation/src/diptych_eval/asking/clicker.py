"""Where the next click goes: the simulated user of RITM (Sofiiuk et al., 2021, ``Clicker``)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from diptych import Point


@dataclass(frozen=True)
class Click:
    """One click of the simulated user."""

    row: int
    column: int
    positive: bool
    """On what is missed; else on what is wrong."""

    @property
    def point(self) -> Point:
        """The centre of the pixel, as a prompt takes it."""
        return Point(self.column + 0.5, self.row + 0.5, self.positive)


def next_click(
    prediction: NDArray[np.bool_], truth: NDArray[np.bool_], taken: Collection[Click]
) -> Click | None:
    """Find where a user would click next to make the prediction the truth.

    Args:
        prediction: ``(height, width)``; all ``False`` before the first click.
        truth: ``(height, width)``.
        taken: earlier clicks on the object; no pixel is clicked twice.

    Returns:
        The pixel farthest from the outline of what is missed, or of what is wrong if that distance
        is at least as large; the first in row order of several. ``None`` where nothing is left.
    """
    missed, missed_at = _farthest(truth & ~prediction, taken)
    wrong, wrong_at = _farthest(prediction & ~truth, taken)
    if not missed and not wrong:
        return None
    positive = missed > wrong
    return Click(*(missed_at if positive else wrong_at), positive)


def _farthest(region: NDArray[np.bool_], taken: Collection[Click]) -> tuple[float, tuple[int, int]]:
    """Find the distance to the outline, and the row and column, of a region's innermost pixel.

    What is beyond the picture's edge is outside the region.
    """
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not len(rows):
        return 0.0, (0, 0)
    top, left = int(rows[0]), int(columns[0])
    # All pixels next to this part are outside the region, so that no distance needs more of it.
    part = np.pad(region[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    distances = ndimage.distance_transform_edt(part)[1:-1, 1:-1]
    height, width = distances.shape
    for click in taken:
        if 0 <= click.row - top < height and 0 <= click.column - left < width:
            distances[click.row - top, click.column - left] = 0
    row, column = divmod(int(distances.argmax()), width)
    return float(distances[row, column]), (top + row, left + column)
