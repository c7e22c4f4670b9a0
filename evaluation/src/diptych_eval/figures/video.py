"""J, F and J&F of objects followed through clips, as SA-V's ``sav_evaluator`` counts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from diptych import Mask

from ..model import Clip, Dataset
from ..results import Answer, Value
from .task import Measured, TaskFigures, means_over_objects, of_pictures

FIGURES = ("video/J", "video/F", "video/J&F")
BOUNDARY = 0.008
"""How far outlines may be apart, as a share of the frame's diagonal, rounded up to pixels."""

DAVIS_NOTE = (
    "DAVIS has one label a pixel: where objects overlap, the one with the lower id has the pixel, "
    "as sam2's vos_inference.py paints them. SAM 2's published DAVIS figures were made with "
    "non_overlap_masks=true, which gives a pixel to the most certain object instead."
)

_REFUSED_NOTE = "Objects whose prompt the model refused count as never found: {count}."

Pixels = NDArray[np.bool_]


def video_figures(
    dataset: Dataset, answers: Mapping[str, Answer], *, skip_first_and_last: bool = True
) -> TaskFigures:
    """Compute ``video/J``, ``video/F`` and ``video/J&F``, range [0, 1], over all objects.

    Args:
        dataset: its clips are counted; objects of DAVIS have no pixel in common.
        answers: of one model, by clip's name; clips without one are left out.
        skip_first_and_last: leave out the first and the last labelled frame, as SA-V's and DAVIS's
            semi-supervised protocols do.
    """
    apart = dataset.format == "davis"
    measured, refused = [], 0
    for clip in dataset.clips:
        answer = answers.get(clip.name)
        if answer is None or answer.error:
            continue
        refused += len(answer.value["refused"])
        scores = jf(clip, answer.value["frames"], apart=apart, skip=skip_first_and_last)
        for j, f in scores.values():
            both = zip(FIGURES, (j, f, (j + f) / 2), strict=True)
            measured += [Measured(figure, clip.name, "", value / 100) for figure, value in both]
    values, _, shares = means_over_objects(measured)
    notes = [DAVIS_NOTE] if apart else []
    if refused:
        notes.append(_REFUSED_NOTE.format(count=refused))
    nothing = Value(None, why="no object is seen in a labelled frame that counts")
    return TaskFigures(
        values={name: values.get(name, nothing) for name in FIGURES},
        per_picture=of_pictures(shares),
        shares=shares,
        notes=tuple(notes),
    )


def jf(
    clip: Clip, frames: Mapping[str, Mapping[str, Any]], *, apart: bool, skip: bool = True
) -> dict[int, tuple[float, float]]:
    """Compute J and F, in percent, of each object that is seen in the truth.

    An object counts from the first frame on in which truth or answer has it.

    Args:
        clip: its labelled frames are counted.
        frames: an answer's: frame index to object id to COCO run lengths, both as text.
        apart: give each pixel to the object with the lowest id of those that have it.
        skip: leave out the first and the last labelled frame.
    """
    labelled = sorted(clip.labels)
    if skip:
        labelled = labelled[1:-1]
    size = (clip.height, clip.width)
    reach = float(np.ceil(BOUNDARY * np.linalg.norm(size)))
    scores: dict[int, list[tuple[float, float]]] = {each: [] for each in clip.object_ids}
    seen: set[int] = set()
    for index in labelled:
        truths = clip.labels[index]
        found = _decoded(frames.get(str(index), {}), size, apart)
        for object_id, numbers in scores.items():
            truth = truths[object_id].to_array() if object_id in truths else np.zeros(size, bool)
            answer = found.get(object_id, np.zeros(size, bool))
            if truth.any():
                seen.add(object_id)
            if numbers or truth.any() or answer.any():
                numbers.append((_region(answer, truth), _contour(answer, truth, reach)))
    return {each: _mean_percent(scores[each]) for each in scores if each in seen}


def boundary(mask: Pixels) -> Pixels:
    """Mark the pixels whose right, lower or lower right neighbour is on the other side.

    ``(height, width)``, as DAVIS's ``seg2bmap``: beyond the right and lower edge there is none.
    """
    marked = np.zeros_like(mask)
    marked[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    marked[:-1] |= mask[:-1] ^ mask[1:]
    marked[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return marked


def _region(answer: Pixels, truth: Pixels) -> float:
    """Intersection over union; 1 if both are empty."""
    both = np.count_nonzero(answer & truth)
    either = np.count_nonzero(answer | truth)
    return both / either if either else 1.0


def _contour(answer: Pixels, truth: Pixels, reach: float) -> float:
    """F measure of two outlines, whose points match within ``reach`` pixels."""
    own, wanted = np.argwhere(boundary(answer)), np.argwhere(boundary(truth))
    if not len(own) or not len(wanted):
        return float(len(own) == len(wanted))
    precision = _near(own, wanted, reach) / float(len(own))
    recall = _near(wanted, own, reach) / float(len(wanted))
    if precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def _near(points: NDArray[np.int64], others: NDArray[np.int64], reach: float) -> int:
    """Count the points that have one of the others within ``reach``, as dilation by a disk does."""
    # Squares of whole pixels are exact, so half a pixel more admits nothing that is farther.
    bound = np.sqrt(reach * reach + 0.5)
    distances, _ = cKDTree(others).query(points, distance_upper_bound=bound)
    return int(np.count_nonzero(np.isfinite(distances)))


def _decoded(found: Mapping[str, Any], size: tuple[int, int], apart: bool) -> dict[int, Pixels]:
    """Decode an answer's masks on a frame, by object id."""
    masks = {int(key): Mask.from_coco(rle["counts"], size).to_array() for key, rle in found.items()}
    if apart:
        free = np.ones(size, bool)
        for object_id in sorted(masks):
            masks[object_id] &= free
            free &= ~masks[object_id]
    return masks


def _mean_percent(numbers: Sequence[tuple[float, float]]) -> tuple[float, float]:
    j, f = zip(*numbers, strict=True)
    return float(np.mean(j) * 100), float(np.mean(f) * 100)
