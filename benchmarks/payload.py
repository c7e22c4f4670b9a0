"""Requests of a given size, each with another picture, that cost next to nothing to decode."""

from __future__ import annotations

import io
import os

from PIL import Image

from diptych.segment import v1 as pb

MARK = b"exchange-these-bytes-to-make-a-new-picture-of-this-one"
"""Stands in the first comment of a picture."""

_SIDE = 64
_COMMENT = b"\xff\xfe"
_MAX_COMMENT = 65_000


def picture(size: int) -> bytes:
    """A JPEG file of about ``size`` bytes, almost all of them random comments."""
    file = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), "gray").save(file, "JPEG")
    jpeg = file.getvalue()
    comments = [_COMMENT + (len(MARK) + 2).to_bytes(2, "big") + MARK]
    missing = size - len(jpeg) - len(comments[0])
    while missing > 0:
        # Hexadecimal, so that no marker stands in it.
        text = os.urandom(min(missing, _MAX_COMMENT) // 2 + 1).hex().encode()
        comments.append(_COMMENT + (len(text) + 2).to_bytes(2, "big") + text)
        missing -= len(text) + 4
    return jpeg[:2] + b"".join(comments) + jpeg[2:]


def request(size: int, model_id: str = "") -> bytes:
    """A serialised ``SegmentRequest`` for boxes, with a picture that nobody has seen."""
    return request_with(picture(size), model_id)


def request_with(encoded: bytes, model_id: str = "") -> bytes:
    """The same with a picture that is there."""
    return pb.SegmentRequest(
        model_id=model_id,
        image=pb.Image(encoded=encoded),
        task=pb.Task.TASK_OBJECT_DETECTION,
    ).SerializeToString()
