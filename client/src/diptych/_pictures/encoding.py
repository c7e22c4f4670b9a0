"""Pictures as bytes that a server reads and a request has room for."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

import numpy as np

from .._types.errors import MessageTooLargeError
from ..limits import MAX_REQUEST_BYTES
from ..pixels import GREY16_MODE, rgb_pixels

if TYPE_CHECKING:
    import PIL.Image

JpegQuality = int | Literal["auto"] | None
"""How pixels are sent: as JPEG of this quality, 1 to 100; ``None``: without loss, as PNG;
``"auto"``: as PNG while that fits a request, else as JPEG of the best of ``AUTO_QUALITIES`` that
does."""
AUTO_QUALITIES = (95, 90, 80, 65, 50, 35, 20)
"""50 megapixels of a camera fit at the first, and of nothing but noise at the last but one."""
_SPARE_SHARE = 32  # of a request, one part of these for its prompts


class _FullError(Exception):
    """A file grows beyond what there is room for."""


class _Bounded(io.BytesIO):
    """A file of at most ``limit`` bytes: what cannot be sent is not made to its end."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: object, /) -> int:
        written = super().write(data)  # type: ignore[arg-type]
        if self.tell() > self._limit:
            raise _FullError
        return written


def encode(image: PIL.Image.Image, quality: JpegQuality) -> bytes:
    """The file of an image that ``upright_image`` or ``open_other`` made.

    Raises:
        ValueError: the quality is none.
        MessageTooLargeError: the file is too large for a request.
    """
    if not (quality in (None, "auto") or (isinstance(quality, int) and 1 <= quality <= 100)):
        raise ValueError(f"jpeg_quality: expected 1 to 100, None or 'auto', got {quality!r}")
    room = MAX_REQUEST_BYTES
    if quality == "auto":
        room -= room // _SPARE_SHARE
    if quality is None or quality == "auto":
        # Level 1 is several times faster than the default and a little larger.
        data = _saved(image, room, "PNG", compress_level=1)
        if data is not None:
            return data
    if quality is None:
        raise _too_large("PNG", room, "; jpeg_quality makes it smaller")
    flat = _flat(image)
    for level in AUTO_QUALITIES if quality == "auto" else (quality,):
        # Colours at full resolution: masks follow edges that halved chroma would blur.
        data = _saved(flat, room, "JPEG", quality=level, subsampling=0)
        if data is not None:
            return data
    raise _too_large(f"JPEG of quality {level}", room)


def _saved(image: PIL.Image.Image, room: int, kind: str, **options: int) -> bytes | None:
    """The file, or ``None`` if it is larger than ``room``."""
    file = _Bounded(room)
    try:
        image.save(file, kind, **options)
    except _FullError:
        return None
    return file.getvalue()


def _flat(image: PIL.Image.Image) -> PIL.Image.Image:
    """The image in a mode that JPEG has, as a server would see it."""
    from PIL import Image

    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image
    pixels = rgb_pixels(image)
    grey = image.mode in ("1", GREY16_MODE) and "transparency" not in image.info
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0]) if grey else pixels)


def _too_large(kind: str, room: int, hint: str = "") -> MessageTooLargeError:
    return MessageTooLargeError(f"image as {kind}: expected at most {room} bytes, got more{hint}")
