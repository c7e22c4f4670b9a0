"""Masks as single-channel PNG images; Pillow is imported on first use."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from .runs import Size

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY = 0  # colour type of the PNG header


def read_size(data: bytes) -> Size:
    """Height and width by the header; ``ValueError`` unless it is a grey PNG of up to 8 bits."""
    if data[:8] != _SIGNATURE or data[12:16] != b"IHDR" or len(data) < 33:
        raise ValueError(f"mask: expected a PNG, got {len(data)} bytes of something else")
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    if colour != _GREY or bits > 8:
        raise ValueError(
            "mask: expected a PNG with one channel of up to 8 bits, "
            f"got colour type {colour} with {bits} bits"
        )
    return height, width


def decode(data: bytes, size: Size) -> NDArray[np.bool_]:
    """``(height, width)`` bool: values over 127. Raises ``ValueError`` for a broken PNG."""
    from PIL import PngImagePlugin

    try:
        # The class instead of Image.open: that one's pixel limit is global state of the process.
        with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
            if (image.height, image.width) != size or image.mode not in ("1", "L"):
                raise ValueError("the header comes twice")
            values = np.asarray(image.convert("L"))
    except MemoryError:
        raise
    except Exception as err:
        # Pillow's own text is left out: it names objects of this process.
        raise ValueError("mask: expected a whole PNG, got one that does not decode") from err
    return values > 127


def encode(mask: NDArray[np.bool_]) -> bytes:
    """Write ``(height, width)`` bool as a single-channel 8-bit PNG, 0 or 255."""
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(mask.view(np.uint8) * np.uint8(255))
    # On masks the run-length strategy is smaller and faster than the default search.
    image.save(buffer, "PNG", compress_type=zlib.Z_RLE)
    return buffer.getvalue()
