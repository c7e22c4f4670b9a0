"""Boundary AP: AP with the smaller of mask IoU and IoU of the outlines' inner bands.

Cheng et al., "Boundary IoU", CVPR 2021 (https://arxiv.org/abs/2103.16562); a band is the mask less
its erosion by 2 % of the picture's diagonal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..model import Dataset, Truth
from ..results import Answer
from . import hot
from .instances import InstanceFigures, ap_values
from .matches.matching import accumulate, matches
from .matches.overlaps import Segment, answered, overlaps

BAND = 0.02
"""Width of the band, of the picture's diagonal."""


def boundary_figures(dataset: Dataset, answers: Mapping[str, Answer]) -> InstanceFigures:
    """Give ``boundary/AP``, ``AP50``, ``AP75``, AR and sizes, of all and by class.

    As ``instance_figures`` for which pictures count, and for errors.
    """
    pictures = answered(dataset, answers)
    compared = overlaps(dataset, answers, boundary_iou)
    found = matches(compared, [each.id for each in dataset.categories], hot.mask_area)
    arrays = accumulate(found)
    per_class = {
        category.name: ap_values(arrays, "boundary", pictures, (index, category))
        for index, category in enumerate(dataset.categories)
    }
    return InstanceFigures(values=ap_values(arrays, "boundary", pictures), per_class=per_class)


def boundary_iou(segments: Sequence[Segment], truths: Sequence[Truth]) -> NDArray[np.float64]:
    """Give the smaller of mask and band IoU, ``(segments, truths)``; mask overlap for crowds.

    Bands are compared only where masks overlap by half: elsewhere the smaller one is under .5, the
    least that any figure asks for, and the mask's IoU stands in its place.
    """
    iou = hot.mask_iou(segments, truths)
    near = (iou >= 0.5) & ~np.array([each.crowd for each in truths])
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if rows.size:
        bands = [band(segments[row]["segmentation"]) for row in rows.tolist()]
        theirs = [truths[column] for column in columns.tolist()]
        their_bands = [band(hot.to_rle(each)) for each in theirs]
        where = np.ix_(rows, columns)
        of_bands = hot.rle_iou(bands, their_bands, [False] * len(theirs))
        iou[where] = np.minimum(iou[where], of_bands)
    return iou


def band(rle: Mapping[str, Any]) -> dict[str, Any]:
    """Give the pixels of a mask that are within 2 % of the diagonal of its outline, as run lengths.

    Pixels outside the picture are not of the mask: its edge is an outline.
    """
    mask = hot.decode(rle)
    height, width = mask.shape
    reach = max(1, round(BAND * float(np.hypot(height, width))))
    left, top, across, down = hot.edges(rle)
    crop = mask[top : top + down, left : left + across]
    inner = crop
    for axis in (0, 1) if crop.size else ():
        inner = ndimage.minimum_filter1d(inner, 2 * reach + 1, axis=axis, mode="constant", cval=0)
    crop -= inner
    return hot.encode(mask)
