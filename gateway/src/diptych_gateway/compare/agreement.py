"""How far two answers about one image agree, without ground truth.

Works on run lengths: no mask is ever decoded to pixels.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diptych import Box, Mask, Match

from .assignment import assign


class Basis(enum.Enum):
    """What is matched: masks, boxes, or the best answers to the same prompt."""

    MASK = "mask"
    BOX = "box"
    PROMPT = "prompt"


@dataclass(frozen=True)
class Found:
    """One segment, as far as it is compared."""

    mask: Mask | None = None
    box: Box | None = None
    prompt_index: int | None = None
    candidate_index: int | None = None


@dataclass(frozen=True)
class Answer:
    """What one model found; ``size`` is height and width of the image."""

    size: tuple[int, int]
    found: tuple[Found, ...]


@dataclass(frozen=True)
class Agreement:
    """Matches sorted by ``index_a``, and the segments that have none.

    For prompts only the best answer to each counts; other candidates are alternatives to it.
    ``mean_match_iou`` is ``None`` without matches; ``foreground_iou`` is ``None`` if neither model
    found a pixel, and without masks.
    """

    matches: tuple[Match, ...]
    only_a: tuple[int, ...]
    only_b: tuple[int, ...]
    mean_match_iou: float | None
    foreground_iou: float | None


class StoppedError(Exception):
    """Nobody waits for the result any more."""


def agree(
    a: Answer,
    b: Answer,
    *,
    basis: Basis,
    match_iou: float,
    stopped: Callable[[], bool] = lambda: False,
) -> Agreement:
    """Compare two answers; ``match_iou`` in (0, 1] is not used for prompts.

    ``stopped`` is asked between short steps.

    Raises:
        ValueError: the answers are about images of different sizes.
        StoppedError: ``stopped`` said yes.
    """
    if a.size != b.size:
        raise ValueError(f"sizes differ: {a.size} and {b.size}")
    chosen_a: Sequence[int]
    chosen_b: Sequence[int]
    if basis is Basis.PROMPT:
        chosen_a, chosen_b = _best(a.found), _best(b.found)
        matches = _by_prompt(a.found, b.found, chosen_a, chosen_b, stopped)
    else:
        chosen_a, chosen_b = range(len(a.found)), range(len(b.found))
        overlaps = _mask_overlaps if basis is Basis.MASK else _box_overlaps
        matches = _one_to_one(overlaps(a.found, b.found, match_iou, stopped), stopped)
    taken_a, taken_b = {m.index_a for m in matches}, {m.index_b for m in matches}
    return Agreement(
        matches=tuple(matches),
        only_a=tuple(i for i in chosen_a if i not in taken_a),
        only_b=tuple(j for j in chosen_b if j not in taken_b),
        mean_match_iou=sum(m.iou for m in matches) / len(matches) if matches else None,
        foreground_iou=_foreground_iou(
            [a.found[i].mask for i in chosen_a],
            [b.found[j].mask for j in chosen_b],
            a.size,
            stopped,
        ),
    )


def _best(found: Sequence[Found]) -> list[int]:
    """Find the indices of the best candidate for each prompt."""
    return [i for i, f in enumerate(found) if f.prompt_index is not None and not f.candidate_index]


def _by_prompt(
    a: Sequence[Found],
    b: Sequence[Found],
    chosen_a: Sequence[int],
    chosen_b: Sequence[int],
    stopped: Callable[[], bool],
) -> list[Match]:
    partners = {b[j].prompt_index: j for j in reversed(chosen_b)}
    matches = []
    for i in chosen_a:
        _raise_if_stopped(stopped)
        j = partners.pop(a[i].prompt_index, None)
        if j is not None:
            matches.append(Match(i, j, _overlap(a[i], b[j])))
    return matches


def _overlap(a: Found, b: Found) -> float:
    if a.mask is not None and b.mask is not None:
        return a.mask.iou(b.mask)
    return a.box.iou(b.box) if a.box and b.box else 0.0


def _one_to_one(
    overlaps: Mapping[tuple[int, int], float], stopped: Callable[[], bool]
) -> list[Match]:
    pairs = assign(overlaps, stopped=stopped)
    _raise_if_stopped(stopped)
    return [Match(i, j, overlaps[i, j]) for i, j in pairs]


def _box_overlaps(
    a: Sequence[Found], b: Sequence[Found], match_iou: float, stopped: Callable[[], bool]
) -> dict[tuple[int, int], float]:
    """Compute the IoU of every two boxes that match."""
    _raise_if_stopped(stopped)
    boxes_a, boxes_b = _edges([f.box for f in a]), _edges([f.box for f in b])
    both = _intersections(boxes_a, boxes_b)
    either = _areas(boxes_a)[:, None] + _areas(boxes_b)[None, :] - both
    iou = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return {(int(i), int(j)): float(iou[i, j]) for i, j in np.argwhere(iou >= match_iou)}


def _mask_overlaps(
    a: Sequence[Found], b: Sequence[Found], match_iou: float, stopped: Callable[[], bool]
) -> dict[tuple[int, int], float]:
    """Compute the IoU of every two masks that match.

    Two masks share at most the smaller of them, and at most where their boxes overlap. Only pairs
    that could match by that bound are looked at run by run.
    """
    masks_a, masks_b = [f.mask for f in a], [f.mask for f in b]
    areas_a = np.array([m.area if m else 0 for m in masks_a], dtype=float)
    areas_b = np.array([m.area if m else 0 for m in masks_b], dtype=float)
    boxes_a = _edges([m.box if m else None for m in masks_a])
    boxes_b = _edges([m.box if m else None for m in masks_b])
    total = areas_a[:, None] + areas_b[None, :]
    shared = np.minimum(_intersections(boxes_a, boxes_b), np.minimum.outer(areas_a, areas_b))
    bound = np.divide(shared, total - shared, out=np.zeros_like(shared), where=total > shared)
    overlaps = {}
    for i, j in np.argwhere((bound >= match_iou - 1e-9) & (bound > 0)):
        _raise_if_stopped(stopped)
        mask_a, mask_b = masks_a[i], masks_b[j]
        if mask_a is None or mask_b is None:
            continue
        both = mask_a.intersection(mask_b)
        iou = both / (total[i, j] - both)
        if iou >= match_iou:
            overlaps[int(i), int(j)] = float(iou)
    return overlaps


def _foreground_iou(
    a: Sequence[Mask | None],
    b: Sequence[Mask | None],
    size: tuple[int, int],
    stopped: Callable[[], bool],
) -> float | None:
    _raise_if_stopped(stopped)
    union_a = Mask.union([m for m in a if m is not None], size)
    _raise_if_stopped(stopped)
    union_b = Mask.union([m for m in b if m is not None], size)
    if not union_a.area and not union_b.area:
        return None
    return union_a.iou(union_b)


def _edges(boxes: Sequence[Box | None]) -> NDArray[np.float64]:
    """Stack boxes to ``(n, 4)`` edges xyxy; a missing box has no inside."""
    rows = [box.xyxy if box else (0.0, 0.0, 0.0, 0.0) for box in boxes]
    return np.array(rows, dtype=float).reshape(-1, 4)


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the ``(n,)`` areas of ``(n, 4)`` boxes xyxy; a box that is inverted has none."""
    """Compute the ``(n,)`` areas of ``(n, 4)`` boxes xyxy; a box that is inverted has none."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    areas: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return areas


def _intersections(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the ``(n, m)`` areas that two sets of ``(n, 4)`` and ``(m, 4)`` boxes share."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    areas: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    return areas


def _raise_if_stopped(stopped: Callable[[], bool]) -> None:
    if stopped():
        raise StoppedError
