"""Prompted segmentation with a model that was not made for prompts.

A box is handed to the box head and the mask head as if the network had found it: its class, that
class's score and the mask inside that very box. Points choose among what the network finds: the
detections whose mask has every foreground point and no background point.
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
    matches = yield from find_covering(network, pyramid, prompts, allowed(found, job.output))
    answers: Candidates = {}
    for index, matching in zip(indices, matches, strict=True):
        chosen = matching if job.output.all_candidates else matching[:1]
        answers[index] = _segments(network, pyramid, found, chosen, index)
        yield
    return answers


def find_covering(
    network: Network, pyramid: Pyramid, prompts: Sequence[Prompt], eligible: Sequence[int]
) -> Generator[None, None, list[list[int]]]:
    """Find for each prompt the detections, among the eligible ones and in their order, whose mask
    has every foreground point and no background point."""
    found = detect(network.module, pyramid)
    # The map's side is the same for all; with no map yet, the pool says what it will be.
    side = 2 * network.module.roi_heads.mask_roi_pool.output_size[0]
    placed = placements(found.boxes_px, side)
    near = [[i for i in eligible if _may_cover(placed[i], prompt)] for prompt in prompts]
    yield from fill_masks(network.module, pyramid, sorted({i for some in near for i in some}))
    return [
        [i for i in some if _matches(pyramid, placed[i], i, prompt)]
        for some, prompt in zip(near, prompts, strict=True)
    ]


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


def _pixel(x: float, y: float, size: tuple[int, int]) -> tuple[int, int]:
    """Find column and row of the pixel that holds a point; the far edges belong to the last one."""
    return min(math.floor(x), size[1] - 1), min(math.floor(y), size[0] - 1)


def _may_cover(placement: np.ndarray, prompt: Prompt) -> bool:
    """Tell whether every foreground point is in the box; else no mask need be computed."""
    left, top, right, bottom = placement
    return all(
        left - 1 <= point.x <= right + 2 and top - 1 <= point.y <= bottom + 2
        for point in prompt.points
        if point.positive
    )


def _matches(pyramid: Pyramid, placement: np.ndarray, index: int, prompt: Prompt) -> bool:
    return all(
        covers(pyramid.masks[index], placement, *_pixel(point.x, point.y, pyramid.size))
        == point.positive
        for point in prompt.points
    )


def _no_match(pyramid: Pyramid, prompt: int) -> Segment:
    height, width = pyramid.size
    empty = Mask.from_counts([height * width], pyramid.size)
    return Segment(score=0.0, mask=empty, prompt_index=prompt, candidate_index=0)
