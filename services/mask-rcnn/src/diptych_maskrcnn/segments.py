"""From detections and probability maps to the contract's segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diptych import Box, Mask, OutputOptions, Segment
from diptych_runtime.engine import Fact
from diptych_torch.weights import ChosenWeights

from .network.pyramid import Detections, Pyramid
from .paste import paste, placements

DEFAULT_MIN_SCORE = 0.5
DEFAULT_MAX_SEGMENTS = 100


@dataclass(frozen=True)
class Network:
    """A loaded torchvision R-CNN, its weights and the names of its labels."""

    module: Any
    weights: ChosenWeights
    categories: Mapping[int, str]
    facts: tuple[Fact, ...] = ()
    keypoint_names: tuple[str, ...] = ()
    keypoint_edges: tuple[tuple[int, int], ...] = ()


def select(found: Detections, output: OutputOptions) -> tuple[list[int], int]:
    """Choose the detections of an answer: indices, best first, and how many did not fit in."""
    floor = DEFAULT_MIN_SCORE if output.min_score is None else output.min_score
    most = DEFAULT_MAX_SEGMENTS if output.max_segments is None else output.max_segments
    chosen = [index for index in allowed(found, output) if found.scores[index] >= floor]
    return chosen[:most], max(len(chosen) - most, 0)


def allowed(found: Detections, output: OutputOptions) -> list[int]:
    """List the detections of the wanted categories, best first, whatever their score."""
    wanted = frozenset(output.category_ids)
    return [index for index, label in enumerate(found.labels) if not wanted or int(label) in wanted]


def detection_box(found: Detections, index: int, size: tuple[int, int]) -> Box:
    """Return a detection's box in the image as sent, whose ``size`` is (height, width).

    Rescaling can put an edge a rounding error outside; it is moved back, so that the box of an
    answer is always a box that a prompt may have.
    """
    x_min, y_min, x_max, y_max = (float(edge) for edge in found.boxes_px[index])
    return Box(x_min, y_min, min(x_max, float(size[1])), min(y_max, float(size[0])))


def box_segment(network: Network, found: Detections, index: int, size: tuple[int, int]) -> Segment:
    """Make the segment of a detection without its mask, in an image of ``size`` (height, width)."""
    label = int(found.labels[index])
    return Segment(
        score=float(found.scores[index]),
        box=detection_box(found, index, size),
        label=network.categories.get(label, ""),
        category_id=label,
    )


def mask_segment(network: Network, pyramid: Pyramid, found: Detections, index: int) -> Segment:
    """Make the segment of a detection whose probability map is in ``pyramid.masks``; its box is
    the one that was found, also where the mask is empty."""
    mask = pasted(pyramid.masks[index], found.boxes_px[index], pyramid.size)
    # Without a pixel of the mask above one half the object is found all the same.
    return replace(box_segment(network, found, index, pyramid.size), mask=mask, area=mask.area)


def pasted(
    probabilities: NDArray[np.float32], box_px: NDArray[np.float32], size: tuple[int, int]
) -> Mask:
    """Paste the mask of one box ``(4,)`` in pixels; the rest is as for ``paste``."""
    placement = placements(box_px[None], probabilities.shape[-1])[0]
    return paste(probabilities, placement, size)
