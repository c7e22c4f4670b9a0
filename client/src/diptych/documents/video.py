"""Results of a video session as JSON documents: of ``diptych video --json`` and of the gateway."""

from __future__ import annotations

from typing import Any

from .._types.prompts import MaskEncoding
from .._types.video import VideoFrameResult, VideoObject
from .results import mask_document, plain


def video_frame_document(
    result: VideoFrameResult, encoding: MaskEncoding = MaskEncoding.COCO_RLE
) -> dict[str, Any]:
    """Every object on one frame; masks, where there are any, in this encoding."""
    height, width = result.image_size
    return {
        "frame_index": result.frame_index,
        "revision": result.revision,
        "image_size": {"height": height, "width": width},
        "timings": plain(result.timings),
        "warnings": list(result.warnings),
        "objects": [_object(found, encoding) for found in result.objects],
    }


def _object(found: VideoObject, encoding: MaskEncoding) -> dict[str, Any]:
    segment = found.segment
    mask, box = segment.mask, segment.box
    return {
        "object_id": found.object_id,
        "label": segment.label,
        "category_id": segment.category_id,
        "score": round(segment.score, 6),
        "presence": round(found.presence, 6),
        "bbox": [round(edge, 3) for edge in box.xywh] if box else None,
        "area": segment.area,
        "segmentation": None if mask is None else mask_document(mask, encoding),
    }
