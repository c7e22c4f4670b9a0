"""Segments that no sound engine finds in an image: each is wrong in one way, which is its key."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from diptych import Box, Keypoint, LowResLogits, Mask, Segment

_NAN, _FAR = float("nan"), 1e6


def _masked(array_size: tuple[int, int], area: int | None = None) -> Segment:
    mask = Mask.from_array(np.ones(array_size, bool))
    return Segment(0.5, mask=mask, area=mask.area if area is None else area)


def _logits(values: np.ndarray) -> Segment:
    return Segment(0.5, low_res_logits=LowResLogits.from_numpy(values))


def _point(x: float, y: float, score: float = 0.5) -> Segment:
    return Segment(0.5, keypoints=(Keypoint("nose", x, y, score),))


IMPOSSIBLE: dict[str, Callable[[tuple[int, int]], Segment]] = {
    "score": lambda size: Segment(_NAN),
    "box not a number": lambda size: Segment(0.5, box=Box(0, 0, float("inf"), 1)),
    "stability": lambda size: Segment(0.5, stability_score=_NAN),
    "logits not numbers": lambda size: _logits(np.full((8, 8), _NAN)),
    "mask smaller": lambda size: _masked((3, 5)),
    "mask larger": lambda size: _masked((size[0] + 1, size[1])),
    "mask transposed": lambda size: _masked((size[1], size[0])),
    "area of another mask": lambda size: _masked(size, 1),
    "area below nothing": lambda size: Segment(0.5, area=-1),
    "box inside out": lambda size: Segment(0.5, box=Box(9, 2, 4, 8)),
    "box upside down": lambda size: Segment(0.5, box=Box(4, 8, 9, 2)),
    "box to the left": lambda size: Segment(0.5, box=Box(-_FAR, 2, 9, 8)),
    "box below": lambda size: Segment(0.5, box=Box(4, 2, 9, size[0] + 2.5)),
    "logits of other sides": lambda size: _logits(np.zeros((8, 9))),
    "logits of too few bytes": lambda size: Segment(
        0.5, low_res_logits=LowResLogits(8, 8, bytes(2))
    ),
    "category": lambda size: Segment(0.5, label="thing", category_id=4711),
    "category below nothing": lambda size: Segment(0.5, category_id=-1),
    "prompt": lambda size: Segment(0.5, prompt_index=3),
    "keypoint not a number": lambda size: _point(1, _NAN),
    "keypoint outside": lambda size: _point(_FAR, 1),
    "keypoint's score": lambda size: _point(1, 1, _NAN),
    "keypoints": lambda size: Segment(0.5, keypoints=(Keypoint("nose", 1, 1, 1),) * 2),
}


def impossible(number: int, size: tuple[int, int]) -> Segment:
    """Make the ``number``-th of them, from 1, for an image of ``size`` (height, width)."""
    return list(IMPOSSIBLE.values())[number - 1](size)
