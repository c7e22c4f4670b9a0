"""Results in the forms of other tools."""

from __future__ import annotations

import builtins
import warnings
from typing import Any

import numpy as np
import pytest
import supervision
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from diptych import (
    Box,
    Keypoint,
    Mask,
    MaskEncoding,
    MissingExtraError,
    Segment,
    SegmentResult,
)
from diptych._batch.rows import row_of_result
from diptych.documents.results import result_document
from diptych.wire.replies import read_result, result_message

SIZE = (4, 6)
MASK = Mask.from_array(np.pad(np.ones((2, 3), bool), ((1, 1), (2, 1))))
WITH_MASKS = SegmentResult(
    "model",
    (
        Segment(0.75, MASK.box, MASK, label="cat", category_id=17, area=6),
        Segment(0.5, None, Mask.from_array(np.zeros(SIZE, bool))),
    ),
    SIZE,
)
BOXES_ONLY = SegmentResult(
    "model",
    (Segment(0.25, Box(1, 1, 3, 2), keypoints=(Keypoint("nose", 1.5, 1.25, 4.0),)),),
    SIZE,
)
EMPTY = SegmentResult("model", (), SIZE)


def test_coco_annotations() -> None:
    cat, nothing = WITH_MASKS.to_coco(image_id=9, first_id=100, category_id={"cat": 17, "": 0})
    assert (cat["id"], cat["image_id"], cat["category_id"]) == (100, 9, 17)
    assert (cat["bbox"], cat["area"], cat["score"]) == ([2.0, 1.0, 3.0, 2.0], 6, 0.75)
    assert isinstance(cat["segmentation"]["counts"], str)
    assert np.array_equal(coco_mask.decode(cat["segmentation"]), MASK.to_array())
    assert (nothing["id"], nothing["bbox"], nothing["area"]) == (101, [0, 0, 0, 0], 0)


def test_an_empty_mask_keeps_its_box() -> None:
    box, nothing = Box(1, 1, 4, 3), Mask.from_array(np.zeros(SIZE, bool))
    result = SegmentResult("model", (Segment(0.5, box, nothing, "cat", 17),), SIZE)
    (annotation,) = result.to_coco()
    assert (annotation["bbox"], annotation["area"]) == ([1, 1, 3, 2], 0)
    assert not coco_mask.decode(annotation["segmentation"]).any()
    assert result_document(result)["segments"][0]["bbox"] == [1, 1, 3, 2]
    assert result.to_numpy().xyxy.tolist() == result.to_supervision().xyxy.tolist() == [[*box.xyxy]]
    assert row_of_result("cat.jpg", result, "")["segments"][0]["bbox_xywh"] == [1, 1, 3, 2]
    for encoding in set(MaskEncoding) - {MaskEncoding.NONE}:
        (back,) = read_result(result_message(result, encoding)).segments
        assert back == result.segments[0]


def test_a_mask_alone_has_the_box_around_it() -> None:
    result = SegmentResult("model", (Segment(0.5, None, MASK, area=6),), SIZE)
    assert result.to_coco(category_id=1)[0]["bbox"] == [2, 1, 3, 2]
    assert result.to_supervision().xyxy.tolist() == [[2, 1, 5, 3]]


CLASSLESS = SegmentResult("model", (Segment(0.5, MASK.box, MASK, area=6),), SIZE)


def average_precision(annotations: list[dict[str, Any]]) -> float:
    """Of masks, where ``MASK`` is there and of category 17."""
    truth = COCO()
    (found,) = CLASSLESS.to_coco(category_id=17)
    truth.dataset = {
        "images": [{"id": 1, "height": 4, "width": 6}],
        "annotations": [found],
        "categories": [{"id": 17}],
    }
    truth.createIndex()
    figures = COCOeval(truth, truth.loadRes(annotations), "segm")
    figures.evaluate()
    figures.accumulate()
    figures.summarize()
    return float(figures.stats[0])


def test_category_zero_is_not_silent() -> None:
    named = r"model: 1 of 1 segments have no class.*to_coco\(category_id="
    with pytest.warns(UserWarning, match=named):
        silent = CLASSLESS.to_coco()
    assert silent[0]["category_id"] == 0
    assert average_precision(silent) == 0.0


@pytest.mark.parametrize("ids", [17, np.int64(17), {"": 17}, {"cat": 3, "": 17}])
def test_a_category_of_the_callers(ids: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        annotations = CLASSLESS.to_coco(category_id=ids)
        assert CLASSLESS.to_coco(category_id=0)[0]["category_id"] == 0
        assert result_document(CLASSLESS)["segments"][0]["category_id"] == 0
        assert WITH_MASKS.to_coco(category_id={"cat": 5, "": 6})[0]["category_id"] == 5
    assert type(annotations[0]["category_id"]) is int
    assert average_precision(annotations) == pytest.approx(1.0)


def test_a_category_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="got none for '', only for 'dog'"):
        CLASSLESS.to_coco(category_id={"dog": 1})
    with pytest.raises(TypeError, match="expected an integer, or one for each label, got '17'"):
        CLASSLESS.to_coco(category_id="17")  # type: ignore[arg-type]


def test_coco_keypoints() -> None:
    (annotation,) = BOXES_ONLY.to_coco(category_id=1)
    assert annotation["keypoints"] == [1.5, 1.25, 2]
    assert annotation["num_keypoints"] == 1
    assert annotation["area"] == 2.0
    assert "segmentation" not in annotation


def test_coco_annotations_load_as_results() -> None:
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 1, "height": 4, "width": 6}],
        "annotations": [],
        "categories": [{"id": 17}],
    }
    truth.createIndex()
    loaded = truth.loadRes(WITH_MASKS.to_coco(category_id=17))
    assert [annotation["score"] for annotation in loaded.anns.values()] == [0.75, 0.5]
    assert np.array_equal(loaded.annToMask(loaded.anns[1]), MASK.to_array())


def test_arrays_are_parallel() -> None:
    arrays = WITH_MASKS.to_numpy()
    assert arrays.masks is not None
    assert (arrays.masks.shape, arrays.masks.dtype) == ((2, *SIZE), np.dtype(bool))
    assert np.array_equal(arrays.masks[0], MASK.to_array())
    assert arrays.xyxy.tolist() == [[2, 1, 5, 3], [0, 0, 0, 0]]
    assert arrays.scores.tolist() == [0.75, 0.5]
    assert arrays.category_ids.tolist() == [17, 0]


def test_arrays_without_masks_or_segments() -> None:
    assert BOXES_ONLY.to_numpy().masks is None
    empty = EMPTY.to_numpy()
    assert empty.masks is not None
    assert (empty.masks.shape, empty.xyxy.shape) == ((0, *SIZE), (0, 4))


def test_supervision() -> None:
    detections = WITH_MASKS.to_supervision()
    assert isinstance(detections, supervision.Detections)
    assert detections.xyxy.tolist() == [[2, 1, 5, 3]]
    assert detections.mask is not None
    assert np.array_equal(np.asarray(detections.mask)[0], MASK.to_array())
    assert list(detections.data["class_name"]) == ["cat"]
    assert len(EMPTY.to_supervision()) == 0
    assert BOXES_ONLY.to_supervision().mask is None


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "supervision":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'diptych\[supervision\]'"):
        WITH_MASKS.to_supervision()
