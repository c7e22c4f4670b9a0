"""Pictures asked about as X-AnyLabeling asks, over real HTTP."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from serving_helpers import picture, png

from diptych import Mask
from diptych.testing import FakeSegmentService

MARK = {"type": "point", "data": [20, 12], "label": 1}
SIZE = (48, 64)


def mask_of(shapes: list[dict[str, Any]]) -> Mask:
    """What the polygons enclose; they lie so far inside that a drawn border ends at the edge."""
    rings = [np.array(shape["points"]) + 0.35 for shape in shapes]
    return Mask.from_polygons(rings, SIZE)


def test_models_are_listed_with_their_tasks_and_buttons(tool: Any) -> None:
    listed = tool.http.get("/v1/models").json()
    assert listed["success"] is True
    entry = listed["data"]["fake"]
    assert entry["display_name"] == "Fake"
    assert entry["classes"] == ["thing", "other"]
    tasks = {task["id"]: task for task in entry["available_tasks"]}
    assert {name: task["batch_processing_mode"] for name, task in tasks.items()} == {
        "prompted-segmentation": None,  # it makes no sense without marks
        "instance-segmentation": "default",
        "object-detection": "default",
        "video-segmentation": "video",
    }
    marking = ["button_add_point", "button_remove_point", "button_add_rect", "button_clear"]
    assert [*tasks["prompted-segmentation"]["active_widgets"]][:4] == marking
    assert "button_add_rect" not in tasks["video-segmentation"]["active_widgets"]
    values = {widget["name"]: widget["value"] for widget in entry["widgets"]}
    assert values["edit_iou"] == pytest.approx(0.7)
    # On an error X-AnyLabeling takes away all annotations of the picture unless this is set.
    assert values["toggle_preserve_existing_annotations"] is True
    info = tool.http.get("/v1/models/fake/info").json()["data"]
    assert info == {"model_id": "fake", **entry}


def test_five_clicks_on_a_picture_run_the_encoder_once(tool: Any) -> None:
    image = png(picture(seed=1))
    before = tool.stats()
    clicks: list[dict[str, Any]] = []
    for x in (10, 20, 30, 40, 50):
        clicks.append({"type": "point", "data": [x, 20], "label": 1})
        answer = tool.predict(image, marks=clicks, current_task="prompted-segmentation")
        assert len(answer["shapes"]) == 1
    after = tool.stats()
    assert after.encoder_run_count - before.encoder_run_count == 1
    assert after.image_cache_hit_count - before.image_cache_hit_count == 4


def test_the_shape_of_a_click_is_the_mask_of_the_sdk(tool: Any) -> None:
    image = png(picture(seed=2))
    answer = tool.predict(image, marks=[MARK], epsilon_factor=0)
    (segment,) = tool.sdk.segment(image, model="fake", points=[(20, 12)]).segments
    (shape,) = answer["shapes"]
    assert mask_of([shape]).iou(segment.mask) == 1.0
    assert (shape["shape_type"], shape["iou"]) == ("polygon", 1.0)
    # One that its user names, which the next click replaces and nothing else.
    assert shape["label"] == "AUTOLABEL_OBJECT"
    assert answer["replace"] is False


def test_a_rectangle_and_points_are_one_object(tool: Any) -> None:
    image = png(picture(seed=2))
    box = {"type": "rectangle", "data": [40, 30, 8, 4], "label": 1}  # drawn from below right
    (shape,) = tool.predict(image, marks=[box])["shapes"]
    assert mask_of([shape]).box.xyxy == (8, 4, 40, 30)
    assert len(tool.predict(image, marks=[box, MARK])["shapes"]) == 1


def test_rectangles_are_an_object_each(tool: Any) -> None:
    boxes = [
        {"type": "rectangle", "data": [2, 2, 12, 12], "label": 1},
        {"type": "rectangle", "data": [30, 20, 50, 40], "label": 1},
    ]
    answer = tool.predict(png(picture(seed=2)), marks=boxes)
    assert [mask_of([shape]).box.xyxy for shape in answer["shapes"]] == [
        (2, 2, 12, 12),
        (30, 20, 50, 40),
    ]


def test_cleared_marks_take_the_object_away_and_ask_nobody(tool: Any) -> None:
    before = tool.stats().outcomes
    for task in ("prompted-segmentation", "video-segmentation"):
        answer = tool.predict(png(picture(seed=2)), current_task=task, marks=[])
        assert answer == {"shapes": [], "description": "", "replace": False}
    assert tool.stats().outcomes == before


def test_objects_and_boxes_are_found_without_marks(tool: Any) -> None:
    image = png(picture(seed=3))
    found = tool.predict(image, current_task="instance-segmentation", marks=[MARK])
    (segment,) = tool.sdk.segment(image, model="fake").segments
    (shape,) = found["shapes"]
    assert mask_of([shape]).iou(segment.mask) == 1.0
    assert (shape["label"], shape["score"]) == (segment.label, pytest.approx(0.9))
    assert "replace" not in found  # which is up to the box that its user ticks
    (shape,) = tool.predict(image, current_task="object-detection")["shapes"]
    assert shape["shape_type"] == "rectangle"
    left, top, right, bottom = segment.box.xyxy
    assert shape["points"] == [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_a_file_that_is_read_by_the_sdk_alone_is_taken(tool: Any) -> None:
    out = io.BytesIO()
    Image.fromarray(picture(seed=4)).save(out, "BMP")
    bare = base64.b64encode(out.getvalue()).decode()
    answer = tool.post("/v1/predict", model="fake", image=bare, params={"marks": [MARK]})
    assert len(answer.json()["data"]["shapes"]) == 1


def test_fields_of_the_window_are_options_of_the_request(served: Any) -> None:
    with FakeSegmentService(["fake"]) as service, served(service.address) as http:

        def ask(**params: Any) -> Any:
            image = base64.b64encode(png(picture(seed=5))).decode()
            body = {"model": "fake", "image": image, "params": params}
            assert http.post("/v1/predict", json=body).status_code == 200
            return service.requests[-1]

        task = "instance-segmentation"
        names = ["Rectangle"]  # in another case
        asked = ask(current_task=task, conf_threshold=0.4, iou_threshold=0.6, filter_classes=names)
        assert asked.output.min_score == pytest.approx(0.4)
        assert asked.automatic.box_nms_thresh == pytest.approx(0.6)
        assert list(asked.output.category_ids) == [1]
        # What a client sends whose user never saw the fields.
        asked = ask(current_task=task, iou_threshold=0.0, filter_classes=[])
        assert not asked.HasField("automatic")
        assert not asked.output.HasField("min_score")
        assert list(asked.output.category_ids) == []


def test_models_of_one_name_are_told_apart(served: Any) -> None:
    with FakeSegmentService(["one", "two"]) as service, served(service.address) as http:
        for card in service.cards.values():
            card.display_name = "SAM 2"
        listed = http.get("/v1/models").json()["data"]
        names = [entry["display_name"] for entry in listed.values()]
        assert names == ["SAM 2 (one)", "SAM 2 (two)"]
        # A model that finds by itself begins with that.
        assert listed["one"]["available_tasks"][0]["id"] == "instance-segmentation"
