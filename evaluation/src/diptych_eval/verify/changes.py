"""What differs between two answers to one request."""

from __future__ import annotations

import enum
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from diptych import Segment, SegmentResult

_SAME_OBJECT_IOU = 0.5
_SAME_CLASS_BONUS = 0.01  # of two detections with one mask, each is paired with its own class


class Kind(str, enum.Enum):
    """How a segment changed."""

    MOVED = "moved"
    VANISHED = "vanished"
    APPEARED = "appeared"
    LABEL = "label"
    SCORE = "score"
    KEYPOINTS = "keypoints"
    SIZE = "size"
    """Of the picture, so that nothing can be compared."""


@dataclass(frozen=True)
class Tolerance:
    """What is not taken for a change."""

    min_iou: float = 0.995
    """Of masks, or of boxes where there are no masks. Range [0, 1]."""
    score: float = 0.005
    keypoint: float = 0.005
    """Distance as a share of the diagonal of the object's box; a pixel is always allowed."""


@dataclass(frozen=True)
class Change:
    """One change of one segment."""

    kind: Kind
    text: str
    """In a few words, with figures."""
    before: Segment | None = None
    after: Segment | None = None
    iou: float | None = None


def changes_between(
    before: SegmentResult, after: SegmentResult, tolerance: Tolerance
) -> list[Change]:
    """Everything that changed.

    Answers to prompts are compared prompt by prompt and candidate by candidate. Others are paired
    so that the summed overlap is greatest; a pair needs an IoU of 0.5.
    """
    if before.image_size != after.image_size:
        sizes = " to ".join(f"{w}x{h}" for h, w in (before.image_size, after.image_size))
        return [Change(Kind.SIZE, f"the picture's size went from {sizes}")]
    pairs, lost, new = _paired(before.segments, after.segments)
    found = [change for a, b in pairs for change in _of_pair(a, b, tolerance)]
    found += [Change(Kind.VANISHED, f"{_name(one)} vanished", before=one) for one in lost]
    found += [Change(Kind.APPEARED, f"{_name(one)} appeared", after=one) for one in new]
    return found


Pair = tuple[Segment, Segment]


def _paired(
    before: Sequence[Segment], after: Sequence[Segment]
) -> tuple[list[Pair], list[Segment], list[Segment]]:
    """Pairs, and those without a partner."""
    if any(segment.prompt_index is not None for segment in (*before, *after)):
        first = {(one.prompt_index, one.candidate_index or 0): one for one in before}
        second = {(one.prompt_index, one.candidate_index or 0): one for one in after}
        return (
            [(one, second[key]) for key, one in first.items() if key in second],
            [one for key, one in first.items() if key not in second],
            [one for key, one in second.items() if key not in first],
        )
    pairs, lost, new = _identical(before, after)
    overlaps = np.array([[_pairing_value(a, b) for b in new] for a in lost]).reshape(
        len(lost), len(new)
    )
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    matched = [(i, j) for i, j in zip(rows, columns, strict=True) if overlaps[i, j] > 0]
    pairs += [(lost[i], new[j]) for i, j in matched]
    used_a, used_b = {i for i, _ in matched}, {j for _, j in matched}
    return (
        pairs,
        [one for i, one in enumerate(lost) if i not in used_a],
        [one for j, one in enumerate(new) if j not in used_b],
    )


def _identical(
    before: Sequence[Segment], after: Sequence[Segment]
) -> tuple[list[Pair], list[Segment], list[Segment]]:
    """Those that are in the same place with the same label: nearly all, in next to no time."""
    places = defaultdict(list)
    for one in after:
        places[_place(one)].append(one)
    pairs, lost = [], []
    for one in before:
        same = places[_place(one)]
        if same:
            pairs.append((one, same.pop(0)))
        else:
            lost.append(one)
    return pairs, lost, [one for same in places.values() for one in same]


def _place(segment: Segment) -> object:
    return (segment.category_id, segment.label, segment.mask or segment.box)


def _pairing_value(a: Segment, b: Segment) -> float:
    """What pairing two segments is worth; 0 for those that cannot be the same object."""
    if a.box is not None and b.box is not None and a.box.iou(b.box) <= 0:
        return 0.0
    iou = overlap(a, b)
    if iou < _SAME_OBJECT_IOU:
        return 0.0
    return iou + _SAME_CLASS_BONUS * (a.category_id == b.category_id and a.label == b.label)


def overlap(a: Segment, b: Segment) -> float:
    """IoU of the masks, or of the boxes where there are none; 1 if both have nothing."""
    if a.mask is not None and b.mask is not None:
        return 1.0 if a.mask == b.mask else a.mask.iou(b.mask)
    if (a.mask is None) != (b.mask is None) or (a.box is None) != (b.box is None):
        return 0.0
    if a.box is None or b.box is None:
        return 1.0
    return 1.0 if a.box == b.box else a.box.iou(b.box)


def _of_pair(a: Segment, b: Segment, tolerance: Tolerance) -> list[Change]:
    found = []
    iou = overlap(a, b)
    if iou < tolerance.min_iou:
        found.append(Change(Kind.MOVED, f"{_name(a)}: IoU {shown_iou(iou)}", a, b, iou))
    if (a.category_id, a.label) != (b.category_id, b.label):
        found.append(Change(Kind.LABEL, f"{_name(a)} is {_class(b)} now", a, b, iou))
    if abs(a.score - b.score) > tolerance.score:
        text = f"{_name(a)}: score {a.score:.4f}, now {b.score:.4f}"
        found.append(Change(Kind.SCORE, text, a, b, iou))
    text = _keypoints(a, b, tolerance)
    if text:
        found.append(Change(Kind.KEYPOINTS, f"{_name(a)}: {text}", a, b, iou))
    return found


def _keypoints(a: Segment, b: Segment, tolerance: Tolerance) -> str:
    if [point.name for point in a.keypoints] != [point.name for point in b.keypoints]:
        return "other key points"
    diagonal = math.dist(a.box.xyxy[:2], a.box.xyxy[2:]) if a.box else 0.0
    allowed = max(1.0, tolerance.keypoint * diagonal)
    moved = [
        (math.dist((one.x, one.y), (other.x, other.y)), one.name)
        for one, other in zip(a.keypoints, b.keypoints, strict=True)
    ]
    far, name = max(moved, default=(0.0, ""))
    return f"{name} moved by {far:.1f} px" if far > allowed else ""


def _name(segment: Segment) -> str:
    """Which segment it is, for people."""
    if segment.prompt_index is not None:
        candidate = f".{segment.candidate_index}" if segment.candidate_index else ""
        return f"prompt {segment.prompt_index}{candidate}"
    at = f" at {segment.box.x_min:.0f},{segment.box.y_min:.0f}" if segment.box else ""
    return f"{_class(segment)}{at} (score {segment.score:.3f})"


def _class(segment: Segment) -> str:
    return segment.label or (f"class {segment.category_id}" if segment.category_id else "segment")


def shown_iou(iou: float) -> str:
    """An IoU for people, rounded down: .99496 is no .995."""
    return f"{math.floor(iou * 1e4) / 1e4:.4f}"
