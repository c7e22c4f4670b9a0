"""Results in the forms that other tools read."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._types.errors import MissingExtraError
from .._types.geometry import Box
from .._types.segment import Segment

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True)
class SegmentArrays:
    """Segments as parallel arrays; row ``i`` is segment ``i``."""

    masks: NDArray[np.bool_] | None
    """``(N, H, W)``; ``None`` if the answer holds boxes only."""
    xyxy: NDArray[np.float32]
    """``(N, 4)``: left, top, right and bottom edge; zeros where there is no box."""
    scores: NDArray[np.float32]
    """``(N,)``, in [0, 1]."""
    category_ids: NDArray[np.int32]
    """``(N,)``, 0 for class-agnostic models."""


_NO_BOX = Box(0.0, 0.0, 0.0, 0.0)


def _box(segment: Segment) -> Box | None:
    """The box that came, whatever its mask is, else the one around the mask."""
    return segment.box or (segment.mask.box if segment.mask else None)


def to_numpy(segments: Sequence[Segment], size: tuple[int, int]) -> SegmentArrays:
    """See ``SegmentResult.to_numpy``."""
    masks: NDArray[np.bool_] | None = None
    if not segments or any(segment.mask is not None for segment in segments):
        masks = np.zeros((len(segments), *size), dtype=np.bool_)
        for row, segment in zip(masks, segments, strict=True):
            if segment.mask is not None:
                row[:] = segment.mask.to_array()
    boxes = [_box(segment) or _NO_BOX for segment in segments]
    return SegmentArrays(
        masks=masks,
        xyxy=np.array([box.xyxy for box in boxes], dtype=np.float32).reshape(-1, 4),
        scores=np.array([segment.score for segment in segments], dtype=np.float32),
        category_ids=np.array([segment.category_id for segment in segments], dtype=np.int32),
    )


CategoryIds = int | Mapping[str, int]
"""The category of everything, or that of each label."""


def to_coco(
    segments: Sequence[Segment],
    size: tuple[int, int],
    image_id: int,
    first_id: int,
    category_id: CategoryIds | None = None,
) -> list[dict[str, Any]]:
    """See ``SegmentResult.to_coco``."""
    return [
        _annotation(segment, size, image_id, first_id + index)
        | ({} if category_id is None else {"category_id": _category(segment, category_id)})
        for index, segment in enumerate(segments)
    ]


def _category(segment: Segment, ids: CategoryIds) -> int:
    try:
        return operator.index(ids[segment.label] if isinstance(ids, Mapping) else ids)
    except KeyError:
        known = ", ".join(map(repr, ids)) if isinstance(ids, Mapping) else ""
        raise ValueError(
            f"category_id: expected an id for each label, got none for {segment.label!r}, "
            f"only for {known or 'none'}"
        ) from None
    except TypeError:
        raise TypeError(
            f"category_id: expected an integer, or one for each label, got {ids!r}"
        ) from None


def _annotation(
    segment: Segment, size: tuple[int, int], image_id: int, annotation_id: int
) -> dict[str, Any]:
    box = (_box(segment) or _NO_BOX).xywh
    annotation: dict[str, Any] = {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": segment.category_id,
        "bbox": [round(edge, 3) for edge in box],
        "area": segment.area if segment.mask or segment.area else round(box[2] * box[3], 3),
        "iscrowd": 0,
        "score": round(segment.score, 6),
    }
    if segment.mask is not None:
        annotation["segmentation"] = {
            "size": list(size),
            "counts": segment.mask.to_coco().decode("ascii"),
        }
    if segment.keypoints:
        # Visibility 2 says "labelled and visible"; the models do not tell visible from hidden.
        annotation["keypoints"] = [
            value for point in segment.keypoints for value in (point.x, point.y, 2)
        ]
        annotation["num_keypoints"] = len(segment.keypoints)
    return annotation


def tracks_to_supervision(
    segments: Sequence[Segment], ids: Sequence[int], size: tuple[int, int]
) -> supervision.Detections:
    """See ``VideoFrameResult.to_supervision``."""
    detections = to_supervision(segments, size)
    kept = [i for i, segment in zip(ids, segments, strict=True) if _box(segment) is not None]
    if kept:
        detections.tracker_id = np.array(kept)
    return detections


def to_supervision(segments: Sequence[Segment], size: tuple[int, int]) -> supervision.Detections:
    """See ``SegmentResult.to_supervision``."""
    try:
        import supervision
    except ImportError as error:
        raise MissingExtraError(
            "to_supervision needs an extra: pip install 'diptych[supervision]'"
        ) from error
    kept = [i for i, segment in enumerate(segments) if _box(segment) is not None]
    if not kept:
        return supervision.Detections.empty()
    arrays = to_numpy(segments, size)
    return supervision.Detections(
        xyxy=arrays.xyxy[kept],
        mask=None if arrays.masks is None else arrays.masks[kept],
        confidence=arrays.scores[kept],
        class_id=arrays.category_ids[kept].astype(int),
        data={"class_name": np.array([segments[i].label for i in kept])},
    )
