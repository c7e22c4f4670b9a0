"""The list of published checkpoints says what torchvision says."""

from __future__ import annotations

from typing import Any

import pytest
from torchvision.models.detection import (
    KeypointRCNN_ResNet50_FPN_Weights,
    MaskRCNN_ResNet50_FPN_V2_Weights,
    MaskRCNN_ResNet50_FPN_Weights,
)

from diptych_maskrcnn.weights.official import COCO_V1, COCO_V2, KEYPOINT_COCO, OFFICIAL
from diptych_runtime.weights import OfficialWeights


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (COCO_V1, MaskRCNN_ResNet50_FPN_Weights.COCO_V1),
        (COCO_V2, MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1),
        (KEYPOINT_COCO, KeypointRCNN_ResNet50_FPN_Weights.COCO_V1),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_as_torchvision_describes_it(ours: OfficialWeights, theirs: Any) -> None:
    assert ours.url == theirs.url
    assert ours.parameter_count == theirs.meta["num_params"]
    assert ours.size_bytes == round(theirs.meta["_file_size"] * 1024 * 1024)


@pytest.mark.parametrize("weights", OFFICIAL, ids=lambda weights: weights.name)
def test_a_pinned_digest_begins_as_the_name_says(weights: OfficialWeights) -> None:
    prefix = weights.url.rpartition("-")[2].partition(".")[0]
    if weights.sha256 is None:
        assert weights.name == "coco-v1"
    else:
        assert len(weights.sha256) == 64
        assert weights.sha256.startswith(prefix)
