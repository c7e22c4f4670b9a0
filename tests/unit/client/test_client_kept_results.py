"""Results that live: as JSON and back, as pictures in notebooks, as sequences."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

import diptych
from diptych import (
    Agreement,
    Box,
    Comparison,
    InvalidRequestError,
    Keypoint,
    LowResLogits,
    Mask,
    MaskEncoding,
    Match,
    ModelOutcome,
    Provenance,
    Segment,
    SegmentResult,
    Timings,
    VideoFrameResult,
    VideoObject,
    Violation,
)
from diptych.documents.results import comparison_document, result_document

SIZE = (60, 80)
SINGLE = float(np.float32(0.774))
"""As a wire's float32 comes: with digits that no decimal of six has."""


def mask(*box: int) -> Mask:
    array = np.zeros(SIZE, bool)
    array[box[1] : box[3], box[0] : box[2]] = True
    array[box[1] + 1, box[0] + 1] = False  # a hole
    return Mask.from_array(array)


def segment(label: str = "", **more: Any) -> Segment:
    shape = mask(10, 10, 30, 40)
    given = {"box": Box(10.123456, 10.0, 30.0, 40.1), "mask": shape, "area": shape.area}
    return Segment(**{"score": SINGLE, "label": label, **given, **more})


def result(*segments: Segment, **more: Any) -> SegmentResult:
    own = Provenance("sam-2", "tiny", "ab" * 32, "exact", "cpu", "float32", True, "diptych 1")
    return SegmentResult(
        **{
            "model_id": "sam-2",
            "segments": segments,
            "image_size": SIZE,
            "image_sha256": "cd" * 32,
            "timings": Timings(0.1, 0.2, 0.3, 0.4, 0.5, 1.512345678),
            "provenance": (own,),
            "request_id": "r-1",
            "omitted": 3,
            "warnings": ("the file is damaged",),
            **more,
        }
    )


SEGMENTS = {
    "mask": segment("person", category_id=1),
    "no box": segment(box=None),
    "empty mask": segment(mask=Mask.from_array(np.zeros(SIZE, bool)), area=0),
    "box alone": segment("cat", mask=None, area=0),
    "key points": segment(mask=None, area=0, keypoints=(Keypoint("nose", 1.5, SINGLE, -2.0),)),
    "prompted": segment(prompt_index=0, candidate_index=2),
    "logits": segment(low_res_logits=LowResLogits.from_numpy(np.eye(4, dtype=np.float32))),
    "mask left out": segment(mask=None),
    "found": segment(stability_score=SINGLE, source_iou=0.25),
}


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


def comparison() -> Comparison:
    refused = InvalidRequestError(
        "prompts[0]: no",
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="PROMPT_INVALID",
        request_id="r-2",
        violations=[Violation("prompts[0]", "no")],
        retry_after_s=1.5,
    )
    pair = Agreement("a", "b", "mask-iou", (Match(0, 0, SINGLE),), (), (1,), SINGLE, None)
    return Comparison(
        (
            ModelOutcome("a", result(segment("person")), None, 0.25),
            ModelOutcome("b", result(segment("person"), segment()), None, 0.5),
            ModelOutcome("c", None, refused, 0.125),
        ),
        (pair,),
    )


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


def frame(*objects: VideoObject) -> VideoFrameResult:
    return VideoFrameResult(3, 1, objects, SIZE, Timings(total_s=0.123456789), ("damaged",))


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


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def shown() -> dict[str, Any]:
    frame = VideoFrameResult(0, 0, (VideoObject(1, segment(), 0.9),), SIZE)
    nothing = Comparison((), ())
    return {
        "mask": mask(1, 1, 20, 20),
        "frame": frame,
        "comparison": comparison(),
        "no model": nothing,
        **{name: result(each) for name, each in SEGMENTS.items()},
        "nothing": result(),
    }


@pytest.mark.parametrize("name", shown())
def test_notebooks_show_a_small_picture(name: str) -> None:
    image = opened(shown()[name]._repr_png_())
    assert max(image.size) <= 3 * 480
    if name in ("mask", "key points", "prompted"):
        assert len(image.getcolors(1 << 20) or []) > 1


def test_segments_are_shown_on_their_file(tmp_path: Path) -> None:
    path = tmp_path / "green.png"
    Image.new("RGB", (SIZE[1], SIZE[0]), (0, 200, 0)).save(path)
    kept = result(segment(), source=path)
    assert opened(kept._repr_png_()).convert("RGB").getpixel((79, 59)) == (0, 200, 0)
    Image.new("RGB", (9, 9)).save(path)  # another picture now
    assert opened(kept._repr_png_()).convert("RGB").getpixel((79, 59)) == (232, 232, 232)
    path.unlink()
    assert opened(kept._repr_png_()).convert("RGB").getpixel((79, 59)) == (232, 232, 232)


def test_a_large_mask_is_shown_small() -> None:
    assert opened(Mask.from_array(np.ones((3000, 2000), bool))._repr_png_()).size == (320, 480)


def test_they_are_sequences_that_are_true_though_empty() -> None:
    found = result(segment("cat"), segment("dog"), segment("dog"))
    assert [len(found), found[1].label, [s.label for s in found[1:]]] == [3, "dog", ["dog"] * 2]
    assert [s.label for s in found] == ["cat", "dog", "dog"]
    assert repr(found) == "SegmentResult('sam-2', 80x60 px, 2 dog, 1 cat)"
    assert repr(result()) == "SegmentResult('sam-2', 80x60 px, nothing)"
    one = Segment(0.9, Box(1, 2, 30.25, 40), Mask.from_array(np.eye(60, 80)), "dog", area=60)
    assert repr(one) == "Segment('dog', score 0.90, box (1, 2, 30.25, 40), 60 px)"
    assert repr(Segment(0.5)) == "Segment('object', score 0.50)"
    many = result(*(segment(str(n)) for n in range(7)))
    assert repr(many).endswith("px, 1 0, 1 1, 1 2, 1 3, 1 4, …)")
    kept = comparison()
    assert (len(kept), "a" in kept, "x" in kept) == (3, True, False)
    assert [one.model_id for one in kept] == ["a", "b", "c"]
    assert repr(kept) == "Comparison(a: 1, b: 2, c: failed)"
    assert kept[0] is kept["a"]
    assert kept[-1].result is None
    with pytest.raises(IndexError):
        kept[3]
    for empty in (result(), Comparison((), ()), VideoFrameResult(0, 0, (), SIZE)):
        assert len(empty) == 0
        assert empty


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
