"""Results of a video session as JSON documents: of ``diptych video --json`` and of the gateway."""

from __future__ import annotations

from typing import cast

from .._types.prompts import MaskEncoding
from .._types.video import VideoFrameResult, VideoObject
from .results import VERSION, plain, segment_fields
from .types import VideoFrameDocument, VideoObjectDocument

_OF_A_DATA_SET = ("id", "image_id", "iscrowd")


def video_frame_document(
    result: VideoFrameResult, encoding: MaskEncoding = MaskEncoding.COCO_RLE
) -> VideoFrameDocument:
    """Every object on one frame; masks, where there are any, in this encoding."""
    height, width = result.image_size
    return {
        "version": VERSION,
        "frame_index": result.frame_index,
        "revision": result.revision,
        "image_size": {"height": height, "width": width},
        "timings": plain(result.timings),
        "warnings": list(result.warnings),
        "objects": [_object(found, result.image_size, encoding) for found in result.objects],
    }


def _object(
    found: VideoObject, size: tuple[int, int], encoding: MaskEncoding
) -> VideoObjectDocument:
    (fields,) = segment_fields([found.segment], size, encoding)
    if "box" not in fields:
        fields["bbox"] = None
    kept = {name: value for name, value in fields.items() if name not in _OF_A_DATA_SET}
    document = {"object_id": found.object_id, "presence": found.presence, "segmentation": None}
    return cast(VideoObjectDocument, document | kept)
