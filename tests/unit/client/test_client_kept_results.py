"""Results that live: as JSON and back, in numpy, pickled."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from some_results import SEGMENTS, SINGLE, SIZE, comparison, frame, mask, result, segment

import diptych
from diptych import (
    Box,
    Comparison,
    InvalidRequestError,
    Mask,
    MaskEncoding,
    Segment,
    SegmentResult,
    VideoFrameResult,
    VideoObject,
)
from diptych.documents.results import comparison_document, result_document


@pytest.mark.parametrize("name", SEGMENTS)
def test_what_is_saved_is_read_equal(name: str) -> None:
    kept = result(SEGMENTS[name])
    assert SegmentResult.from_json(kept.to_json()) == kept
    assert SegmentResult.from_json(kept.to_json().encode()) == kept


@pytest.mark.parametrize("encoding", [MaskEncoding.PNG, MaskEncoding.POLYGONS])
def test_masks_are_read_in_every_exact_form(encoding: MaskEncoding) -> None:
    kept = result(SEGMENTS["mask"])
    text = json.dumps(result_document(kept, encoding))
    assert SegmentResult.from_json(text) == kept


def test_a_comparison_is_read_equal_with_its_errors() -> None:
    kept = comparison()
    read = Comparison.from_json(kept.to_json())
    assert (read.results[:2], read.agreements) == (kept.results[:2], kept.agreements)
    error, before = read["c"].error, kept["c"].error
    assert type(error) is InvalidRequestError
    assert error is not None
    assert before is not None
    assert vars(error) == vars(before)
    assert str(error) == str(before)


@pytest.mark.parametrize("name", SEGMENTS)
def test_a_frame_is_read_equal(name: str) -> None:
    kept = frame(VideoObject(2**30, SEGMENTS[name], SINGLE), VideoObject(7, Segment(0.0), 0.0))
    assert VideoFrameResult.from_json(kept.to_json()) == kept
    hidden = json.loads(kept.to_json())["objects"][1]
    assert (hidden["bbox"], hidden["segmentation"], hidden["area"]) == (None, None, 0)


def test_what_was_written_before_there_were_versions_is_read() -> None:
    rle = {"size": list(SIZE), "counts": mask(10, 10, 30, 40).to_coco().decode()}
    old = {"category_id": 1, "area": 599, "score": 0.5, "label": "cat", "segmentation": rle}
    document = json.loads(result().to_json()) | {"segments": [{**old, "bbox": [10, 10, 20.5, 30]}]}
    del document["version"]
    (read,) = SegmentResult.from_json(json.dumps(document))
    assert read == segment("cat", category_id=1, score=0.5, box=Box(10, 10, 30.5, 40))
    seen = {**old, "object_id": 1, "presence": 0.25, "bbox": [10, 10, 20.5, 30]}
    hidden = {**seen, "object_id": 2, "area": 0, "bbox": None, "segmentation": None}
    document = json.loads(frame().to_json()) | {"objects": [seen, hidden]}
    del document["version"]
    first, second = VideoFrameResult.from_json(json.dumps(document))
    assert first == VideoObject(1, read, 0.25)
    assert (second.segment.box, second.segment.mask, second.segment.area) == (None, None, 0)


def test_the_file_is_kept_and_a_name_that_no_encoding_has(tmp_path: Path) -> None:
    for source in ("a.png", tmp_path / "b.png", "\udcff.png"):
        for kept in (result(source=source), Comparison((), (), source=source)):
            text = kept.to_json()
            assert type(kept).from_json(text.encode()).source == str(source)
    assert "source" not in json.loads(result().to_json())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"error": {"type": "OSError", "message": "gone"}}', "there is none: OSError: gone"),
        ("[]", "expected an object with 'segments'"),
        ('{"results": []}', "expected an object with 'segments'"),
        ('{"segments": [], "version": 2}', "expected version 1, got 2"),
        ('{"segments": []}', "expected a result, got one without 'image_size'"),
        ("{", "Expecting property name"),
    ],
)
def test_what_is_no_result_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SegmentResult.from_json(text)


def test_documents_name_their_version() -> None:
    assert result_document(result())["version"] == 1
    assert comparison_document(comparison())["version"] == 1


def test_boxes_and_masks_go_where_numpy_goes() -> None:
    left, top, right, bottom = Box(1, 2, 3, 4)
    assert (left, top, right, bottom) == (1, 2, 3, 4)
    shape = mask(5, 5, 20, 20)
    assert np.array_equal(np.asarray(shape), shape.to_array())
    assert np.asarray(shape, np.uint8).sum() == shape.area
    rle = {"size": list(SIZE), "counts": shape.to_coco()}
    assert Mask.from_coco(rle) == shape
    assert Mask.from_coco({**rle, "counts": rle["counts"].decode()}) == shape
    assert Mask.from_coco({**rle, "counts": shape.counts.tolist()}) == shape
    with pytest.raises(TypeError, match="size"):
        Mask.from_coco(shape.to_coco())


def test_tracks_keep_their_ids_in_supervision() -> None:
    hidden = VideoObject(7, Segment(0.0), 0.0)
    frame = VideoFrameResult(0, 0, (hidden, VideoObject(9, segment(), 0.9)), SIZE)
    detections = frame.to_supervision()
    assert detections.tracker_id.tolist() == [9]
    assert VideoFrameResult(0, 0, (), SIZE).to_supervision().tracker_id is None


def test_a_result_is_pickled_and_the_version_told() -> None:
    kept = result(segment())
    assert pickle.loads(pickle.dumps(kept)) == kept
    assert diptych.__version__.count(".") == 2
