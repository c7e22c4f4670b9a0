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
    """The people above the score floor with their points, best first.

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
        places, scores = _locate(network.module, pyramid, found, batch)
        for row, index in enumerate(batch):
            person = box_segment(network, found, index, pyramid.size)
            points = _named(places[row], scores[row])
            segments.append(replace(person, category_id=category_id, keypoints=points))
        yield
    return Answer(tuple(segments), omitted)


@guarded_step
def _locate(
    module: Any, pyramid: Pyramid, found: Detections, indices: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Places ``(N, 17, 2)`` in pixels of the picture as sent, and heat-map logits ``(N, 17)``."""
    heads = module.roi_heads
    boxes = rows(found.boxes, indices)
    crops = heads.keypoint_roi_pool(pyramid.levels, [boxes], [pyramid.resized])
    heat_maps = heads.keypoint_predictor(heads.keypoint_head(crops))
    places, scores = keypointrcnn_inference(heat_maps, [boxes])
    in_picture = resize_keypoints(places[0], pyramid.resized, pyramid.size)
    return in_picture[..., :2].cpu().numpy(), scores[0].cpu().numpy()


def _named(places: NDArray[np.float32], scores: NDArray[np.float32]) -> tuple[Keypoint, ...]:
    return tuple(
        Keypoint(name, float(x), float(y), float(score))
        for name, (x, y), score in zip(KEYPOINT_NAMES, places, scores, strict=True)
    )
