"""Fields added to requests that are serialised already.

Protobuf defines that parsing the concatenation of two serialised messages merges them, the later
value of a field winning. So a field is set by appending it, whatever megabytes come before.
"""

from __future__ import annotations

from .._types.prompts import MaskEncoding
from ..segment import v1 as pb
from .requests import encoding_value, image_by_bytes


def with_model_id(request: bytes, model_id: str) -> bytes:
    """Set the model id of a serialised ``SegmentRequest``."""
    return request + pb.SegmentRequest(model_id=model_id).SerializeToString()


def with_encoding(request: bytes, encoding: MaskEncoding) -> bytes:
    """Set how the masks that a serialised ``SegmentRequest`` asks for are to travel."""
    output = pb.OutputOptions(mask_encoding=encoding_value(encoding))
    return request + pb.SegmentRequest(output=output).SerializeToString()


def with_image(request: bytes, encoded: bytes) -> bytes:
    """Put the file of the image into a serialised ``SegmentRequest`` instead of its digest."""
    return request + pb.SegmentRequest(image=image_by_bytes(encoded)).SerializeToString()
