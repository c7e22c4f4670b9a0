"""The clicker of RITM: where somebody who knows the truth would click next."""

from __future__ import annotations

import numpy as np
from common import Bools
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

Click = tuple[NDArray[np.float64], bool]
"""The x, y of a pixel's centre, and whether the pixel belongs to the object."""


def deepest(region: Bools, free: Bools) -> tuple[float, int, int]:
    """Distance to the outline, row and column of the innermost free pixel of a region.

    The picture's border is an outline. The distance is 0 where no pixel is left.
    """
    rows, columns = region.any(1).nonzero()[0], region.any(0).nonzero()[0]
    if not len(rows):
        return 0.0, 0, 0
    top, left = int(rows[0]), int(columns[0])
    window = np.s_[top : rows[-1] + 1, left : columns[-1] + 1]
    depth = distance_transform_edt(np.pad(region[window], 1))[1:-1, 1:-1] * free[window]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(depth[y, x]), top + int(y), left + int(x)


def next_click(answer: Bools, truth: Bools, free: Bools) -> Click | None:
    """The centre of the larger of the missed and the wrong region; None if nothing is wrong.

    Takes the pixel off ``free``, so that none is clicked twice. Of equals the wrong region is the
    larger one, as in RITM.
    """
    missed, wrong = deepest(truth & ~answer, free), deepest(answer & ~truth, free)
    distance, y, x = missed if missed[0] > wrong[0] else wrong
    if not distance:
        return None
    free[y, x] = False
    return np.array([x + 0.5, y + 0.5]), bool(truth[y, x])
