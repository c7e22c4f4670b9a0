"""Frames of CVAT as files that a service knows again."""

from __future__ import annotations

import PIL.Image
import PIL.ImageOps

from diptych import ImageLike
from diptych.drawing import to_png
from diptych.limits import MAX_REQUEST_BYTES
from diptych.pixels import orientation, rgb_pixels

_ROOM = MAX_REQUEST_BYTES - MAX_REQUEST_BYTES // 32  # the rest is for prompts


def encoded(image: PIL.Image.Image) -> ImageLike:
    """A PNG of exactly the frame's pixels, upright as CVAT shows them.

    The same frame is the same bytes for every function, so that a service which has seen it once
    does not run its encoder again. What is too large for a request the client makes smaller.
    """
    upright = image if orientation(image) == 1 else PIL.ImageOps.exif_transpose(image)
    pixels = rgb_pixels(upright)
    file = to_png(pixels)
    return file if len(file) <= _ROOM else PIL.Image.fromarray(pixels)
