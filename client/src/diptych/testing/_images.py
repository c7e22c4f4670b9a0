"""Images as the fake reads them."""

from __future__ import annotations

import io

from .._types.errors import Violation
from ..pixels import orientation
from ._failures import Failed, make_failure


def image_size(data: bytes) -> tuple[int, int]:
    """Height and width of an image file, upright; ``Failed`` if it is none."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as opened:
            turned = orientation(opened) >= 5
            return (opened.width, opened.height) if turned else (opened.height, opened.width)
    except (UnidentifiedImageError, OSError) as error:
        message = f"image: expected JPEG, PNG or WebP, got {len(data)} bytes of unknown type"
        violation = Violation("image", message.partition(": ")[2])
        raise Failed(make_failure("IMAGE_UNREADABLE", message, violations=[violation])) from error
