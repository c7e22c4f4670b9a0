"""Prompted segmentation with a model that was not made for prompts.

A box is handed to the box head and the mask head as if the network had found it: its class, that
class's score and the mask inside that very box. Points choose among what the network finds: the
detection that agrees best with them.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.transform import resize_boxes

from diptych import Box, Mask, OutputOptions, Prompt, Segment
from diptych_runtime.engine import Answer, Job, Reason, ServiceError, Steps, Violation
from diptych_torch.faults import guarded_step

from .network.detect import batches, classify, detect, fill_masks, mask_probabilities
from .network.pyramid import Detections, Pyramid
from .paste import covers, placements
from .segments import DEFAULT_MAX_SEGMENTS, Network, allowed, mask_segment, pasted

Candidates = dict[int, list[Segment]]
"""Segments for each prompt, best first, by the prompt's index."""


def refuse_masks(prompts: Sequence[Prompt]) -> None:
    """Raise ``PROMPT_UNSUPPORTED``, naming each of them, if any prompt has a mask."""
    violations = [
        Violation(f"prompts[{index}].mask", "this model takes points and boxes, not masks")
        for index, prompt in enumerate(prompts)
        if prompt.mask is not None
    ]
    if violations:
        raise ServiceError(
            Reason.PROMPT_UNSUPPORTED,
            f"{violations[0].field}: {violations[0].description}",
            violations=violations,
        )


def answer_prompts(network: Network, pyramid: Pyramid, job: Job) -> Steps[Answer]:
    """Answer every prompt, in order; a prompt without a match gets an empty mask and score 0."""
    refuse_masks(job.prompts)
    boxes = [index for index, prompt in enumerate(job.prompts) if prompt.box is not None]
    points = [index for index, prompt in enumerate(job.prompts) if prompt.box is None]
    candidates: Candidates = {}
    for batch in batches(boxes):
        candidates.update(_answer_boxes(network, pyramid, job, batch))
        yield
    if points:
        candidates.update((yield from _answer_points(network, pyramid, job, points)))
    most = job.output.max_segments
    most = DEFAULT_MAX_SEGMENTS if most is None else most
    return Answer.of_prompts([candidates[index] for index in range(len(job.prompts))], most)


def _answer_boxes(
    network: Network, pyramid: Pyramid, job: Job, indices: Sequence[int]
) -> Candidates:
    boxes = [box for index in indices if (box := job.prompts[index].box)]
    segments = segment_boxes(network, pyramid, boxes, job.output)
    if not segments:
        return {index: [_no_match(pyramid, index)] for index in indices}
    return {
        index: [replace(segment, prompt_index=index, candidate_index=0)]
        for index, segment in zip(indices, segments, strict=True)
    }


def segment_boxes(
    network: Network, pyramid: Pyramid, boxes: Sequence[Box], output: OutputOptions
) -> list[Segment]:
    """Segment what each box holds: the best of the wanted classes, its score, and its mask in
    that very box. At most ``HEAD_BATCH`` boxes; none is answered if none of the wanted classes
    exists."""
    choice = [
        label
        for label in network.categories
        if not output.category_ids or label in output.category_ids
    ]
    if not choice:
        return []
    corners = np.array([box.xyxy for box in boxes], dtype=np.float32)
    rescaled = _rescaled(network, pyramid, corners)
    labels, scores = classify(network.module, pyramid, rescaled, choice)
    maps = mask_probabilities(network.module, pyramid, rescaled, labels)
    segments = []
    for row, label in enumerate(labels.tolist()):
        mask = pasted(maps[row], corners[row], pyramid.size)
        segments.append(
            Segment(
                score=float(scores[row]),
                box=mask.box,
                mask=mask,
                label=network.categories[label],
                category_id=label,
                area=mask.area,
            )
        )
    return segments


@guarded_step
def _rescaled(network: Network, pyramid: Pyramid, corners: np.ndarray) -> Tensor:
    device = next(network.module.parameters()).device
    boxes: Tensor = resize_boxes(
        torch.from_numpy(corners).to(device), pyramid.size, pyramid.resized
    )
    return boxes


def _answer_points(
    network: Network, pyramid: Pyramid, job: Job, indices: Sequence[int]
) -> Generator[None, None, Candidates]:
    found = detect(network.module, pyramid)
    yield
    prompts = [job.prompts[index] for index in indices]
    matches = yield from find_pointed_at(network, pyramid, prompts, allowed(found, job.output))
    answers: Candidates = {}
    for index, matching in zip(indices, matches, strict=True):
        chosen = matching if job.output.all_candidates else matching[:1]
        answers[index] = _segments(network, pyramid, found, chosen, index)
        yield
    return answers


def find_pointed_at(
    network: Network, pyramid: Pyramid, prompts: Sequence[Prompt], eligible: Sequence[int]
) -> Generator[None, None, list[list[int]]]:
    """Find for each prompt the detections that agree best with its points.

    The first foreground point says which object is meant: detections that have it go before those
    that do not. Among them most points decide: a foreground point in the mask agrees, and so does
    a background point outside. A detection without any foreground point is never chosen.

    Args:
        network: Mask R-CNN.
        pyramid: Of the image.
        prompts: With a foreground point, and without a box.
        eligible: Detections to choose among, best first.

    Returns:
        For each prompt those that agree best and equally well, in the order of ``eligible``; none
        if no mask has a foreground point.
    """
    found = detect(network.module, pyramid)
    # The map's side is the same for all; with no map yet, the pool says what it will be.
    side = 2 * network.module.roi_heads.mask_roi_pool.output_size[0]
    placed = placements(found.boxes_px, side)
    near = [[i for i in eligible if _may_have(placed[i], prompt)] for prompt in prompts]
    yield from fill_masks(network.module, pyramid, sorted({i for some in near for i in some}))
    chosen = []
    for some, prompt in zip(near, prompts, strict=True):
        ranks = {i: _rank(pyramid, placed[i], i, prompt) for i in some}
        best = max(filter(None, ranks.values()), default=None)
        chosen.append([i for i in some if best and ranks[i] == best])
        yield
    return chosen


def _segments(
    network: Network, pyramid: Pyramid, found: Detections, matches: Sequence[int], prompt: int
) -> list[Segment]:
    if not matches:
        return [_no_match(pyramid, prompt)]
    return [
        replace(
            mask_segment(network, pyramid, found, index),
            prompt_index=prompt,
            candidate_index=candidate,
        )
        for candidate, index in enumerate(matches)
    ]


def _may_have(placement: np.ndarray, prompt: Prompt) -> bool:
    """Tell whether a foreground point is in the box; else no mask need be computed."""
    left, top, right, bottom = placement
    return any(
        left - 1 <= point.x <= right + 2 and top - 1 <= point.y <= bottom + 2
        for point in prompt.points
        if point.positive
    )


def _rank(
    pyramid: Pyramid, placement: np.ndarray, index: int, prompt: Prompt
) -> tuple[bool, int] | None:
    """Tell whether the mask has the first foreground point and with how many points it agrees;
    ``None`` if it has no foreground point."""
    height, width = pyramid.size
    positive = np.array([point.positive for point in prompt.points])
    # A point on a far edge belongs to the last pixel.
    columns = np.array([min(math.floor(point.x), width - 1) for point in prompt.points])
    rows = np.array([min(math.floor(point.y), height - 1) for point in prompt.points])
    inside = covers(pyramid.masks[index], placement, columns, rows)
    wanted = inside[positive]
    if not wanted.any():
        return None
    return bool(wanted[0]), int((inside == positive).sum())


def _no_match(pyramid: Pyramid, prompt: int) -> Segment:
    height, width = pyramid.size
    empty = Mask.from_counts([height * width], pyramid.size)
    return Segment(score=0.0, mask=empty, prompt_index=prompt, candidate_index=0)
