"""Answers as they are recorded: documents of the SDK without what every call has anew."""

from __future__ import annotations

from typing import Any

from diptych import Box, Keypoint, Mask, Provenance, Segment, SegmentResult
from diptych.documents.results import result_document

from .fields import Fields, RecordError

_KEPT = ("model_id", "image_size", "provenance", "segments")
_PROVENANCE = ("model_id", "weights", "weights_sha256", "tier", "device", "dtype", "software")
_LARGEST_SIDE = 2**20


def answer_to_json(result: SegmentResult) -> dict[str, Any]:
    """As ``answer_from_json`` reads it; masks as COCO RLE."""
    document: dict[str, Any] = {**result_document(result)}
    return {name: document[name] for name in _KEPT}


def answer_from_json(fields: Fields) -> SegmentResult:
    """From what ``answer_to_json`` made.

    Stricter than ``SegmentResult.from_json``, which trusts the kinds of values: a record may come
    from anybody.

    Raises:
        RecordError: it is something else.
    """
    told = fields.inside("image_size")
    height, width = told.whole("height"), told.whole("width")
    if not (0 < height <= _LARGEST_SIDE and 0 < width <= _LARGEST_SIDE):
        raise fields.error("image_size", "the size of a picture", f"{width}x{height}")
    return SegmentResult(
        model_id=fields.text("model_id"),
        segments=tuple(_segment(each, (height, width)) for each in fields.items("segments")),
        image_size=(height, width),
        provenance=tuple(_provenance(each) for each in fields.items("provenance")),
    )


def _provenance(fields: Fields) -> Provenance:
    told = {name: fields.text(name, "") for name in _PROVENANCE}
    return Provenance(**told, image_cache_hit=False)


def _segment(fields: Fields, size: tuple[int, int]) -> Segment:
    mask = None
    if fields.values.get("segmentation") is not None:
        mask = _mask(fields.inside("segmentation"), size)
    edges = fields.numbers("box", 4, optional=True)
    return Segment(
        score=fields.number("score"),
        box=None if edges is None else Box(*edges),
        mask=mask,
        label=fields.text("label", ""),
        category_id=fields.whole("category_id"),
        area=mask.area if mask else 0,
        keypoints=_keypoints(fields),
        prompt_index=fields.optional_whole("prompt_index"),
        candidate_index=fields.optional_whole("candidate_index"),
    )


def _mask(fields: Fields, size: tuple[int, int]) -> Mask:
    counts = fields.text("counts")
    if fields.numbers("size", 2) != list(size):
        raise fields.error("size", f"that of the picture, {list(size)}", fields.values["size"])
    try:
        return Mask.from_coco(counts, size)
    except ValueError as error:
        height, width = size
        raise RecordError(
            f"{fields.where}: counts: no mask of {width}x{height}: {error}"
        ) from error


def _keypoints(fields: Fields) -> tuple[Keypoint, ...]:
    names = fields.texts("keypoint_names")
    places = fields.numbers("keypoints", 3 * len(names), optional=True) or []
    scores = fields.numbers("keypoint_scores", len(names), optional=True) or []
    if names and not (places and scores):
        raise fields.error("keypoints", "places and scores of what keypoint_names has", None)
    return tuple(
        Keypoint(name, places[3 * i], places[3 * i + 1], scores[i]) for i, name in enumerate(names)
    )
