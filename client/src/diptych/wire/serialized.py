"""Requests put together from serialised parts, so that megabytes are copied once.

Protobuf defines that parsing the concatenation of two serialised messages merges them, the later
value of a field winning. So a field is set by appending it, whatever megabytes come before. Files
are never fields of messages here: each message that holds one has a copy of it, and while it is
copied the interpreter does nothing else.
"""

from __future__ import annotations

from .._arguments import ImageLike, RequestOptions, encode_image, too_large
from .._pictures.encoding import JpegQuality
from .._types.prompts import MaskEncoding
from ..limits import MAX_REQUEST_BYTES
from ..segment import v1 as pb
from .requests import encoding_value, image_by_bytes, segment_request


def segment_bytes(image: ImageLike, options: RequestOptions, quality: JpegQuality) -> bytes:
    """Make the serialised ``SegmentRequest`` that a client sends for an image.

    Raises:
        DiptychError, OSError, TypeError, ValueError: the image cannot be read, or not be sent.
    """
    request = segment_request(options, image_by_bytes(encode_image(image, quality).data))
    if request.ByteSize() > MAX_REQUEST_BYTES:
        raise too_large(request.ByteSize(), "request", MAX_REQUEST_BYTES)
    return request.SerializeToString()


def with_model_id(request: bytes, model_id: str) -> bytes:
    """Set the model id of a serialised ``SegmentRequest``."""
    return request + pb.SegmentRequest(model_id=model_id).SerializeToString()


def with_encoding(request: bytes, encoding: MaskEncoding) -> bytes:
    """Set how the masks that a serialised ``SegmentRequest`` asks for are to travel."""
    output = pb.OutputOptions(mask_encoding=encoding_value(encoding))
    return request + pb.SegmentRequest(output=output).SerializeToString()


def with_image(request: bytes, encoded: bytes | memoryview) -> bytes:
    """Put the file of the image into a serialised ``SegmentRequest`` instead of its digest."""
    inner = _head(pb.Image.ENCODED_FIELD_NUMBER, len(encoded))
    outer = _head(pb.SegmentRequest.IMAGE_FIELD_NUMBER, len(inner) + len(encoded))
    return b"".join((request, outer, inner, encoded))


def with_digest(request: pb.SegmentRequest, sha256: bytes) -> bytes:
    """Write a ``SegmentRequest`` that names its image by digest instead of having the file."""
    request.image.sha256 = sha256
    return request.SerializeToString()


def frame_bytes(seq: int, index: int, encoded: bytes | memoryview) -> bytes:
    """Make a serialised ``SegmentVideoRequest`` of a frame, with its number in the session."""
    inner = pb.VideoFrame(frame_index=index).SerializeToString()
    inner += _head(pb.VideoFrame.ENCODED_FIELD_NUMBER, len(encoded))
    outer = pb.SegmentVideoRequest(seq=seq).SerializeToString()
    outer += _head(pb.SegmentVideoRequest.FRAME_FIELD_NUMBER, len(inner) + len(encoded))
    return b"".join((outer, inner, encoded))


def _head(field: int, size: int) -> bytes:
    """Write what comes before so many bytes of a field: its number, their kind and their count."""
    head = bytearray([field << 3 | 2])
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)
