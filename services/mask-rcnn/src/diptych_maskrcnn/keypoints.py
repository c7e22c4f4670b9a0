"""Named points of people, by torchvision's Keypoint R-CNN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torchvision.models.detection.roi_heads import keypointrcnn_inference
from torchvision.models.detection.transform import resize_keypoints

from diptych import Keypoint
from diptych_runtime.engine import Answer, Job, Steps
from diptych_torch.faults import guarded_step

from .categories import KEYPOINT_NAMES
from .network.detect import batches, detect, rows
from .network.pyramid import Detections, Pyramid
from .segments import Network, box_segment, select


def answer_keypoints(
    network: Network, pyramid: Pyramid, job: Job, *, category_id: int
) -> Steps[Answer]:
    """Find the people above the score floor with their points, best first.

    ``category_id`` is what a person is called in answers: the number in the categories of the mask
    network beside it.
    """
    if job.output.category_ids and category_id not in job.output.category_ids:
        return Answer(())
    found = detect(network.module, pyramid)
    yield
    chosen, omitted = select(found, replace(job.output, category_ids=()))
    segments = []
    for batch in batches(chosen):
        points, logits = _locate(network.module, pyramid, found, batch)
        for row, index in enumerate(batch):
            person = box_segment(network, found, index, pyramid.size)
            keypoints = _named(points[row], logits[row])
            segments.append(replace(person, category_id=category_id, keypoints=keypoints))
        yield
    return Answer(tuple(segments), omitted)


@guarded_step
def _locate(
    module: Any, pyramid: Pyramid, found: Detections, indices: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x and y ``(N, 17, 2)`` in pixels of the image as sent, and heat-map logits
    ``(N, 17)``."""
    heads = module.roi_heads
    boxes = rows(found.boxes, indices)
    crops = heads.keypoint_roi_pool(pyramid.levels, [boxes], [pyramid.resized])
    heat_maps = heads.keypoint_predictor(heads.keypoint_head(crops))
    points, logits = keypointrcnn_inference(heat_maps, [boxes])
    in_image = resize_keypoints(points[0], pyramid.resized, pyramid.size)
    return in_image[..., :2].cpu().numpy(), logits[0].cpu().numpy()


def _named(points: NDArray[np.float32], logits: NDArray[np.float32]) -> tuple[Keypoint, ...]:
    return tuple(
        Keypoint(name, float(x), float(y), float(logit))
        for name, (x, y), logit in zip(KEYPOINT_NAMES, points, logits, strict=True)
    )
