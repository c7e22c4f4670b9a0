"""Labels of stored pixels made labels of the turned picture, without loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from diptych import Mask

from ..model import Truth
from .pictures import Frame

_TRANSPOSED = (5, 6, 7, 8)
_FLIPPED_X = (2, 3, 7, 8)  # of the stored pixels, before they are transposed
_FLIPPED_Y = (3, 4, 6, 7)


def turned_truth(truth: Truth, frame: Frame) -> Truth:
    """The truth in pixels of the picture that services see."""
    if frame.turn == 1:
        return truth
    x, y, width, height = truth.box
    ends = [_point(x, y, frame), _point(x + width, y + height, frame)]
    left, top = (min(each) for each in zip(*ends, strict=True))
    right, bottom = (max(each) for each in zip(*ends, strict=True))
    return replace(
        truth,
        box=(left, top, right - left, bottom - top),
        mask=None if truth.mask is None else turned_mask(truth.mask, frame.turn),
        keypoints=_keypoints(truth.keypoints, frame),
    )


def turned_mask(mask: Mask, turn: int) -> Mask:
    """A mask of stored pixels, turned as EXIF's orientation ``turn`` turns the picture."""
    array: NDArray[np.bool_] = mask.to_array()
    if turn in _FLIPPED_X:
        array = array[:, ::-1]
    if turn in _FLIPPED_Y:
        array = array[::-1]
    return Mask.from_array(array.T if turn in _TRANSPOSED else array)


def _point(x: float, y: float, frame: Frame) -> tuple[float, float]:
    if frame.turn in _FLIPPED_X:
        x = frame.width - x
    if frame.turn in _FLIPPED_Y:
        y = frame.height - y
    return (y, x) if frame.turn in _TRANSPOSED else (x, y)


def _keypoints(keypoints: tuple[float, ...], frame: Frame) -> tuple[float, ...]:
    made: list[float] = []
    for x, y, seen in zip(*(keypoints[start::3] for start in range(3)), strict=True):
        made += [*(_point(x, y, frame) if seen else (0.0, 0.0)), seen]
    return tuple(made)
