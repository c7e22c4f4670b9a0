"""Detection by CVAT's own ``annotate_task``: a task gets what Diptych's own client says."""

from __future__ import annotations

import cvat_sdk
import numpy as np
import pytest
from cvat_sdk.auto_annotation import annotate_task
from cvat_sdk.masks import decode_mask
from cvat_stand_in import TASK, CvatStandIn, Label

import diptych_cvat
from diptych import Client, Mask, Task


def mask_of(shape: dict[str, object], size: tuple[int, int]) -> Mask:
    height, width = size
    return Mask.from_array(decode_mask(shape["points"], image_width=width, image_height=height))


@pytest.mark.parametrize("model", ["mask-rcnn", "mask-rcnn-sam-2"])
def test_masks_are_those_of_the_client(
    model: str,
    address: str,
    client: Client,
    cvat: CvatStandIn,
    cvat_client: cvat_sdk.Client,
    frames: list[np.ndarray],
) -> None:
    function = diptych_cvat.create(address=address, model=model)
    annotate_task(cvat_client, TASK, function)
    (upload,) = cvat.uploads
    numbers = cvat.label_ids()
    for i, frame in enumerate(frames):
        found = client.segment(frame, model=model).segments
        sent = [shape for shape in upload["shapes"] if shape["frame"] == i]
        assert len(found) >= 5
        assert [shape["label_id"] for shape in sent] == [numbers[s.label] for s in found]
        assert [shape["score"] for shape in sent] == [s.score for s in found]
        assert {shape["type"] for shape in sent} == {"mask"}
        for shape, segment in zip(sent, found, strict=True):
            assert mask_of(shape, frame.shape[:2]).iou(segment.mask) == 1.0


def test_a_threshold_of_the_task_goes_before_that_of_the_function(
    address: str, cvat: CvatStandIn, cvat_client: cvat_sdk.Client
) -> None:
    function = diptych_cvat.create(address=address, threshold=0.0)
    annotate_task(cvat_client, TASK, function, conf_threshold=0.95)
    assert cvat.uploads[0]["shapes"]
    assert all(shape["score"] >= 0.95 for shape in cvat.uploads[0]["shapes"])


def test_polygons_where_the_task_wants_them(
    address: str, client: Client, cvat: CvatStandIn, cvat_client: cvat_sdk.Client, frames: list
) -> None:
    function = diptych_cvat.create(address=address, tolerance=0)
    annotate_task(cvat_client, TASK, function, conv_mask_to_poly=True)
    shapes = [shape for shape in cvat.uploads[0]["shapes"] if shape["frame"] == 0]
    assert {shape["type"] for shape in shapes} == {"polygon"}
    size = frames[0].shape[:2]
    by_object: dict[object, list[object]] = {}
    for i, shape in enumerate(shapes):
        by_object.setdefault(shape["group"] or f"alone {i}", []).append(shape["points"])
    drawn = [Mask.from_polygons(rings, size) for rings in by_object.values()]
    found = client.segment(frames[0], model="mask-rcnn").segments
    assert drawn == [segment.mask for segment in found]


def test_rectangles_and_some_classes_alone(
    address: str, client: Client, cvat: CvatStandIn, cvat_client: cvat_sdk.Client, frames: list
) -> None:
    cvat.labels = [Label("star", "rectangle"), Label("ring", "rectangle")]
    function = diptych_cvat.create(address=address, shape="rectangle", labels="star, ring")
    annotate_task(cvat_client, TASK, function)
    shapes = [shape for shape in cvat.uploads[0]["shapes"] if shape["frame"] == 0]
    found = client.segment(frames[0], model="mask-rcnn", task=Task.OBJECT_DETECTION).segments
    wanted = [segment for segment in found if segment.label in ("star", "ring")]
    assert [shape["type"] for shape in shapes] == ["rectangle"] * len(wanted) != []
    for shape, segment in zip(shapes, wanted, strict=True):
        assert shape["points"] == pytest.approx(segment.box.xyxy, abs=0.01)


def test_people_as_skeletons(
    address: str, client: Client, cvat: CvatStandIn, cvat_client: cvat_sdk.Client, frames: list
) -> None:
    points = client.model_card("mask-rcnn").keypoint_schema
    cvat.labels = [Label("person", "skeleton", points.names)]
    annotate_task(cvat_client, TASK, diptych_cvat.create(address=address, shape="skeleton"))
    shape = cvat.uploads[0]["shapes"][0]
    (person,) = client.segment(frames[0], model="mask-rcnn", task=Task.KEYPOINT_DETECTION).segments
    assert shape["type"] == "skeleton"
    assert [element["points"] for element in shape["elements"]] == [
        pytest.approx([point.x, point.y]) for point in person.keypoints
    ]
    assert not any(element["outside"] for element in shape["elements"])


def test_everything_that_sam_2_finds_has_one_label(
    address: str, client: Client, cvat: CvatStandIn, cvat_client: cvat_sdk.Client, frames: list
) -> None:
    cvat.labels = [Label("object")]
    cvat.frames, cvat.sizes = cvat.frames[:1], cvat.sizes[:1]
    annotate_task(cvat_client, TASK, diptych_cvat.create(address=address, model="sam-2"))
    found = client.segment(frames[0], model="sam-2").segments
    assert len(cvat.uploads[0]["shapes"]) == len(found) > 3
