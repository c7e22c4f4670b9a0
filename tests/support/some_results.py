"""Results of each kind, as models give them, for tests of what becomes of them."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np

from diptych import (
    Agreement,
    Box,
    Comparison,
    InvalidRequestError,
    Keypoint,
    LowResLogits,
    Mask,
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


def frame(*objects: VideoObject) -> VideoFrameResult:
    return VideoFrameResult(3, 1, objects, SIZE, Timings(total_s=0.123456789), ("damaged",))
