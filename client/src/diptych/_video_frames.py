"""Frames as callers have them, turned into the bytes that are sent."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from ._images import ImageLike, encode_image

if TYPE_CHECKING:
    import PIL.Image

_AS_JPEG = ("RGB", "L", "CMYK", "YCbCr", "LAB", "HSV")


def checked_quality(quality: int | None) -> int | None:
    """The quality back, or ``ValueError`` unless it is 1 to 100 or ``None``."""
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"jpeg_quality: expected 1 to 100 or None, got {quality}")
    return quality


def encode_frame(frame: ImageLike, quality: int | None) -> bytes:
    """The bytes to send: files and bytes unchanged, pixels as JPEG, or as PNG without a quality.

    A PIL image with transparency or more than 8 bits a channel is always sent as PNG.

    Raises:
        OSError, TypeError, ValueError: if it is no picture.
        MessageTooLargeError: if the bytes cannot fit a request.
    """
    if quality is not None and isinstance(frame, np.ndarray):
        if frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3 and frame.size:
            from PIL import Image

            return _jpeg(Image.fromarray(np.ascontiguousarray(frame)), quality)
    elif quality is not None and getattr(frame, "mode", None) in _AS_JPEG:
        from PIL import Image

        if isinstance(frame, Image.Image) and "transparency" not in frame.info:
            return _jpeg(frame, quality)
    return encode_image(frame).data


def _jpeg(image: PIL.Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture = image if image.mode in ("RGB", "L") else image.convert("RGB")
    # Colours at full resolution: masks follow edges that halved chroma would blur.
    picture.save(buffer, format="JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
