"""The only place that knows hotcoco: AP and AR arrays, and overlaps of masks and boxes.

hotcoco (https://github.com/derekallman/hotcoco) is a port of pycocotools whose arrays are the same
to the last bit. Its ``compare``, ``confusion_matrix`` and ``tide_errors`` are not used: the first
counts a picture drawn twice once, so its intervals are too narrow; the second takes answers inside
a crowd for wrong; the third is not tidecv's where a class is never found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import hotcoco
import numpy as np
from hotcoco import mask as rle
from numpy.typing import NDArray

from ..data.coco_form import to_coco
from ..model import Dataset, Picture, Truth
from ..results import Answer
from .matches.arrays import AREAS, Arrays
from .matches.overlaps import Segment, answered, segments_of

HotKind = Literal["segm", "bbox", "keypoints"]
_NO_MASK = "truth {} has no mask: only its box can be compared"


def evaluate(
    dataset: Dataset,
    answers: Mapping[str, Answer],
    kind: HotKind,
    *,
    class_agnostic: bool = False,
    max_answers: Sequence[int] = (1, 10, 100),
) -> Arrays:
    """Evaluate as ``COCOeval`` does, over the answered pictures.

    Raises ``ValueError`` naming the picture for a mask that is missing or of another size.
    """
    pictures = answered(dataset, answers)
    truth = _truth(dataset, pictures, kind)
    results = [
        _result(picture, segment, kind)
        for picture in pictures
        for segment in segments_of(dataset, picture, answers[picture.name])
    ]
    evaluation = hotcoco.COCOeval(truth, truth.load_res(results), kind)
    evaluation.params.use_cats = not class_agnostic
    evaluation.params.max_dets = list(max_answers)
    evaluation.evaluate()
    evaluation.accumulate()
    found = evaluation.eval or {}
    return Arrays(
        precision=np.asarray(found["precision"]),
        recall=np.asarray(found["recall"]),
        scores=np.asarray(found["scores"]),
        areas=tuple(AREAS) if kind != "keypoints" else ("all", "medium", "large"),
        max_answers=tuple(max_answers),
    )


def mask_iou(segments: Sequence[Segment], truths: Sequence[Truth]) -> NDArray[np.float64]:
    """Give the IoU of masks, ``(segments, truths)``; the share inside for a crowd."""
    masks = [each["segmentation"] for each in segments]
    return rle_iou(masks, [to_rle(each) for each in truths], [each.crowd for each in truths])


def box_iou(segments: Sequence[Segment], truths: Sequence[Truth]) -> NDArray[np.float64]:
    """Give the IoU of boxes, ``(segments, truths)``; the share inside for a crowd."""
    boxes = np.array([each["bbox"] for each in segments], np.float64)
    theirs = np.array([each.box for each in truths], np.float64)
    return np.asarray(rle.iou(boxes, theirs, [each.crowd for each in truths]), np.float64)


def iou_of_segments(
    segments: Sequence[Segment], others: Sequence[Segment], kind: Literal["segm", "bbox"]
) -> NDArray[np.float64]:
    """Give the IoU of two models' segments, ``(segments, others)``."""
    if kind == "segm":
        ours, theirs = ([each["segmentation"] for each in many] for many in (segments, others))
        return rle_iou(ours, theirs, [False] * len(others))
    boxes, other_boxes = (
        np.array([each["bbox"] for each in many], np.float64) for many in (segments, others)
    )
    return np.asarray(rle.iou(boxes, other_boxes, [False] * len(others)), np.float64)


def rle_iou(
    masks: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], crowds: Sequence[bool]
) -> NDArray[np.float64]:
    """Give the IoU of run lengths, ``(masks, others)``; the share inside of those in crowds."""
    found = rle.iou([dict(each) for each in masks], [dict(each) for each in others], list(crowds))
    return np.asarray(found, np.float64)


def to_rle(truth: Truth) -> dict[str, Any]:
    """Give COCO's run lengths of a truth's mask; ``ValueError`` if it has none."""
    if truth.mask is None:
        raise ValueError(_NO_MASK.format(truth.id))
    # Not COCO's compressed string: making it would take most of the time of an overlap.
    return {"size": list(truth.mask.size), "counts": truth.mask.counts.tolist()}


def decode(counts: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Give a mask's pixels, 0 or 1, ``(height, width)`` in columns; a fresh array."""
    return rle.decode(dict(counts))


def edges(counts: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Give left, top, width and height of the box around a mask; zeros for an empty one."""
    left, top, width, height = map(int, rle.to_bbox(dict(counts)))
    return left, top, width, height


def encode(mask: NDArray[np.uint8]) -> dict[str, Any]:
    """Give COCO's run lengths of pixels."""
    return rle.encode(mask)


def mask_area(segment: Segment) -> float:
    """Give a segment's pixels, from its mask."""
    return float(rle.area(dict(segment["segmentation"])))


def box_area(segment: Segment) -> float:
    """Give a segment's pixels, from its box."""
    return float(segment["bbox"][2] * segment["bbox"][3])


def _truth(dataset: Dataset, pictures: Sequence[Picture], kind: HotKind) -> hotcoco.COCO:
    if kind == "keypoints":
        return hotcoco.COCO(_bodies(to_coco(dataset, {each.name for each in pictures})))
    truths = [(picture.id, truth) for picture in pictures for truth in picture.truths]
    return hotcoco.COCO.from_arrays(
        images=[{"id": each.id, "width": each.width, "height": each.height} for each in pictures],
        categories=[{"id": each.id, "name": each.name} for each in dataset.categories],
        image_ids=np.array([picture for picture, _ in truths], np.int64),
        category_ids=np.array([truth.category_id for _, truth in truths], np.int64),
        boxes=np.array([truth.box for _, truth in truths], np.float64).reshape(-1, 4),
        ids=np.array([truth.id for _, truth in truths], np.int64),
        area=np.array([truth.area for _, truth in truths], np.float64),
        iscrowd=np.array([truth.crowd for _, truth in truths], np.int64),
        segmentation=[to_rle(truth) for _, truth in truths] if kind == "segm" else None,
    )


def _bodies(form: dict[str, Any]) -> dict[str, Any]:
    """Keep categories with key points; a body without a labelled one is ignored, as in COCO."""
    categories = [each for each in form["categories"] if each.get("keypoints")]
    points = {each["id"]: len(each["keypoints"]) for each in categories}
    bodies = [each for each in form["annotations"] if each["category_id"] in points]
    for each in bodies:
        each.setdefault("keypoints", [0.0] * 3 * points[each["category_id"]])
        each.setdefault("num_keypoints", 0)
        each.pop("segmentation", None)
    return {**form, "categories": categories, "annotations": bodies}


def _result(picture: Picture, segment: Segment, kind: HotKind) -> dict[str, Any]:
    field = {"segm": "segmentation", "bbox": "bbox", "keypoints": "keypoints"}[kind]
    # With a box beside the mask, COCO takes the box's area for the mask's: sizes would be wrong.
    return {
        "image_id": picture.id,
        "category_id": segment["category_id"],
        "score": segment["score"],
        field: segment[field],
    }
