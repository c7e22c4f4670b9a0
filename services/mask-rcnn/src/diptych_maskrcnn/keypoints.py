"""Named points of people, by torchvision's Keypoint R-CNN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torchvision.models.detection.roi_heads import keypointrcnn_inference
from torchvision.models.detection.transform import resize_keypoints

from diptych import Keypoint
from diptych_runtime.engine import Answer, Job, Steps
from diptych_torch.faults import guarded_step

from .network.detect import batches, detect, rows
from .network.pyramid import Detections, Pyramid
from .segments import Network, box_segment, select


def answer_keypoints(
    network: Network, pyramid: Pyramid, job: Job, *, category_ids: Mapping[int, int]
) -> Steps[Answer]:
    """Find the people, or what else the network knows, above the score floor with their points,
    best first.

    ``category_ids`` says what a label of the network is called in answers: the number of the same
    name in the categories of the mask network beside it.
    """
    wanted = job.output.category_ids
    labels = tuple(label for label, number in category_ids.items() if number in wanted)
    if wanted and not labels:
        return Answer(())
    found = detect(network.module, pyramid)
    yield
    chosen, omitted = select(found, replace(job.output, category_ids=labels))
    segments = []
    for batch in batches(chosen):
        points, logits = _locate(network.module, pyramid, found, batch)
        for row, index in enumerate(batch):
            person = box_segment(network, found, index, pyramid.size)
            keypoints = _named(network.keypoint_names, points[row], logits[row])
            number = category_ids.get(int(found.labels[index]), 0)
            segments.append(replace(person, category_id=number, keypoints=keypoints))
        yield
    return Answer(tuple(segments), omitted)


@guarded_step
def _locate(
    module: Any, pyramid: Pyramid, found: Detections, indices: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return x and y ``(N, K, 2)`` of K points in pixels of the image as sent, and heat-map logits
    ``(N, K)``."""
    heads = module.roi_heads
    boxes = rows(found.boxes, indices)
    crops = heads.keypoint_roi_pool(pyramid.levels, [boxes], [pyramid.resized])
    heat_maps = heads.keypoint_predictor(heads.keypoint_head(crops))
    points, logits = keypointrcnn_inference(heat_maps, [boxes])
    in_image = resize_keypoints(points[0], pyramid.resized, pyramid.size)
    return in_image[..., :2].cpu().numpy(), logits[0].cpu().numpy()


def _named(
    names: Sequence[str], points: NDArray[np.float32], logits: NDArray[np.float32]
) -> tuple[Keypoint, ...]:
    return tuple(
        Keypoint(name, float(x), float(y), float(logit))
        for name, (x, y), logit in zip(names, points, logits, strict=True)
    )
