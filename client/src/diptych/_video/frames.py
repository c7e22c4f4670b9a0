"""Frames as callers have them, turned into the bytes that are sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._arguments import ImageLike, encode_image
from .._pictures.encoding import encode
from .._pictures.images import open_rgb
from .._pictures.pixels import is_pixels, upright_image

_AS_JPEG = ("RGB", "L")


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One frame of a clip, as ``read_video`` yields it."""

    index: int
    """Number of the frame in its file or folder, from 0, whatever was left out before it."""
    time_s: float
    """Seconds since the first frame of the file or folder."""
    image: ImageLike = field(repr=False)
    """What is sent: the bytes of a folder's file, or the pixels of a video's frame."""
    source: str = ""
    """The file it comes from."""

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """``(height, width, 3)`` RGB, upright; read-only.

        Raises:
            OSError, ValueError: the file of a folder is no image.
        """
        return frame_pixels(self.image)

    def _repr_png_(self) -> bytes:
        from .._drawing.shown import picture_png

        return picture_png(self.pixels)


FrameLike = ImageLike | VideoFrame
"""What a video session takes as a frame."""


def frame_pixels(frame: FrameLike) -> NDArray[np.uint8]:
    """``(height, width, 3)`` RGB, upright, not to be written to.

    Raises:
        OSError, TypeError, ValueError: if it is no image.
    """
    if isinstance(frame, VideoFrame):
        return frame.pixels
    if isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.shape[2:] == (3,):
        return frame
    return np.asarray(open_rgb(frame))


def checked_quality(quality: int | None) -> int | None:
    """The quality back, or ``ValueError`` unless it is 1 to 100 or ``None``."""
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"jpeg_quality: expected 1 to 100 or None, got {quality}")
    return quality


def frame_index(frame: FrameLike, index: int | None) -> int | None:
    """The index to send it with: the one that is given, else its own if it has one."""
    return frame.index if index is None and isinstance(frame, VideoFrame) else index


def encode_frame(frame: FrameLike, quality: int | None) -> bytes:
    """The bytes to send: files and bytes unchanged, pixels as JPEG, or as PNG without a quality.

    A PIL image with transparency or more than 8 bits a channel is always sent as PNG.

    Raises:
        OSError, TypeError, ValueError: if it is no image.
        MessageTooLargeError: if the bytes cannot fit a request.
    """
    image = frame.image if isinstance(frame, VideoFrame) else frame
    if quality is not None and is_pixels(image):
        upright = upright_image(image)
        lossy = upright.mode in _AS_JPEG and "transparency" not in upright.info
        return encode(upright, quality if lossy else None)
    return encode_image(image, quality).data
