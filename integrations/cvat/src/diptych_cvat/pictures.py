"""Frames of CVAT as files that a service knows again."""

from __future__ import annotations

import io

import PIL.Image
import PIL.ImageOps

from diptych import ImageLike
from diptych.limits import MAX_REQUEST_BYTES
from diptych.pixels import orientation, rgb_pixels

_ROOM = MAX_REQUEST_BYTES - MAX_REQUEST_BYTES // 32  # the rest is for prompts


def encoded(image: PIL.Image.Image) -> ImageLike:
    """A PNG of exactly the frame's pixels, upright as CVAT shows them.

    The same frame is the same bytes for every function, so that a service which has seen it once
    does not run its encoder again. What is too large for a request the client makes smaller.
    """
    upright = image if orientation(image) == 1 else PIL.ImageOps.exif_transpose(image)
    pixels = PIL.Image.fromarray(rgb_pixels(upright))
    file = io.BytesIO()
    pixels.save(file, "PNG", compress_level=1)  # several times faster, and a little larger
    return file.getvalue() if file.tell() <= _ROOM else pixels
