"""The engine's answers are torchvision's own, for the demo networks and for ResNet-50 FPN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from rcnn_cases import as_image, ask, check_parity, corners, job, scene, stock

from diptych import Task
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.network.pyramid import Pyramid, embed
from diptych_maskrcnn.settings import EngineSettings
from diptych_runtime.engine import Pixels

PICTURES = ["scene-0", "scene-1", "scene-2", "wide", "tall", "photo"]


@pytest.mark.parametrize("name", PICTURES)
def test_masks_boxes_labels_and_scores(
    engine: MaskRcnnEngine, stock_mask: Any, photos: dict[str, Pixels], name: str
) -> None:
    expected = stock(stock_mask, photos[name])
    segments = ask(engine, photos[name], Task.INSTANCE_SEGMENTATION, min_score=0.0)
    assert len(segments) >= 5
    assert check_parity(segments, expected) >= 0.999


@pytest.mark.parametrize("name", ["scene-1", "wide", "photo"])
def test_detection_is_segmentation_without_masks(
    engine: MaskRcnnEngine, stock_mask: Any, photos: dict[str, Pixels], name: str
) -> None:
    expected = stock(stock_mask, photos[name])
    segments = ask(engine, photos[name], Task.OBJECT_DETECTION, min_score=0.0)
    assert all(segment.mask is None and segment.area == 0 for segment in segments)
    assert [segment.category_id for segment in segments] == expected["labels"].tolist()
    np.testing.assert_allclose([s.score for s in segments], expected["scores"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(corners(segments), expected["boxes"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["scene-0", "wide", "tall", "photo"])
def test_keypoints(
    engine: MaskRcnnEngine, stock_keypoint: Any, photos: dict[str, Pixels], name: str
) -> None:
    expected = stock(stock_keypoint, photos[name])
    people = ask(engine, photos[name], Task.KEYPOINT_DETECTION, min_score=0.0)
    assert len(people) >= 1
    np.testing.assert_allclose([p.score for p in people], expected["scores"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(corners(people), expected["boxes"], atol=1e-3, rtol=0)
    places = [[(point.x, point.y) for point in person.keypoints] for person in people]
    scores = [[point.score for point in person.keypoints] for person in people]
    np.testing.assert_allclose(places, expected["keypoints"][..., :2], atol=1e-3, rtol=0)
    np.testing.assert_allclose(scores, expected["keypoints_scores"], atol=1e-3, rtol=1e-4)


def test_features_are_those_of_torchvision(engine: MaskRcnnEngine, stock_mask: Any) -> None:
    pixels = scene(0)[:, :190]
    pyramid = engine.embed(pixels, "mask").payload
    assert isinstance(pyramid, Pyramid)
    image = as_image(pixels)
    with torch.inference_mode():
        images, _ = stock_mask.transform([image])
        levels = stock_mask.backbone(images.tensors)
    assert (pyramid.resized, pyramid.padded) == (images.image_sizes[0], images.tensors.shape[-2:])
    assert pyramid.levels.keys() == levels.keys()
    for name, level in levels.items():
        torch.testing.assert_close(pyramid.levels[name], level, rtol=1e-4, atol=1e-5)


def test_features_count_all_their_memory(engine: MaskRcnnEngine) -> None:
    features = engine.embed(scene(0), "mask")
    pyramid = features.payload
    assert isinstance(pyramid, Pyramid)
    for _ in engine.segment(
        features, lambda: scene(0), job(Task.INSTANCE_SEGMENTATION, min_score=0.0)
    ):
        pass
    found = pyramid.detections
    assert found is not None
    assert pyramid.masks
    held = sum(level.untyped_storage().nbytes() for level in pyramid.levels.values())
    held += sum(probabilities.nbytes for probabilities in pyramid.masks.values())
    held += found.boxes.nbytes + found.boxes_px.nbytes + found.labels.nbytes + found.scores.nbytes
    assert held <= features.nbytes <= 1.5 * held
    # A map that is a view of a batch would keep more alive than it counts.
    assert all(probabilities.base is None for probabilities in pyramid.masks.values())


def test_embedding_changes_neither_picture_nor_gradients(stock_mask: Any) -> None:
    pixels = scene(1)
    pixels.setflags(write=False)
    before = pixels.copy()
    features = embed(stock_mask, pixels)
    assert isinstance(features.payload, Pyramid)
    assert not any(level.requires_grad for level in features.payload.levels.values())
    np.testing.assert_array_equal(pixels, before)
    assert not torch.is_inference_mode_enabled()


def test_first_picture_of_a_process_spoils_nothing(stock_mask: Any) -> None:
    """torchvision's RoI pools would keep the strides that they guess from a narrow one."""
    engine = MaskRcnnEngine(EngineSettings(device="cpu", keypoint_weights="off"))
    engine.load()
    narrow = np.zeros((16, 320, 3), np.uint8)
    ask(engine, narrow, Task.INSTANCE_SEGMENTATION, min_score=0.0)
    segments = ask(engine, scene(0), Task.INSTANCE_SEGMENTATION, min_score=0.0)
    assert check_parity(segments, stock(stock_mask, scene(0))) >= 0.999
    segments = ask(engine, narrow, Task.INSTANCE_SEGMENTATION, min_score=0.0)
    assert check_parity(segments, stock(stock_mask, narrow)) >= 0.999
