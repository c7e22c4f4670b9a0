"""Segments that are made of detections."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from diptych import Box
from diptych_maskrcnn.network.pyramid import Detections
from diptych_maskrcnn.segments import Network, mask_segment


def test_a_detection_without_a_pixel_in_its_mask_keeps_its_box() -> None:
    boxes = np.array([[2, 3, 12.5, 9]], np.float32)
    found = Detections(
        boxes=None,  # type: ignore[arg-type]
        boxes_px=boxes,
        labels=np.array([17]),
        scores=np.array([0.75], np.float32),
    )
    pyramid: Any = SimpleNamespace(masks={0: np.full((28, 28), 0.25, np.float32)}, size=(20, 30))
    network = Network(module=None, weights=None, categories={17: "cat"})  # type: ignore[arg-type]
    segment = mask_segment(network, pyramid, found, 0)
    assert segment.mask is not None
    assert (segment.area, segment.mask.area) == (0, 0)
    assert (segment.box, segment.label, segment.score) == (Box(2, 3, 12.5, 9), "cat", 0.75)
