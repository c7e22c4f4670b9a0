"""Where the next click goes: the simulated user of RITM (Sofiiuk et al., 2021, ``Clicker``)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    raise NotImplementedError
