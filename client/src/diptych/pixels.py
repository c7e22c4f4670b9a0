"""What the pixels of a picture mean: the one definition for servers that read it and clients that
draw on it. Pillow is loaded when a function is called.

Transparent pixels are laid on white. 16-bit grey is scaled to 8 bits. The orientation is that of
the EXIF block; where that says none, XMP's ``tiff:Orientation``, as Pillow reads both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import PIL.Image

_ORIENTATION = 0x0112
OPAQUE_MODES = frozenset({"1", "L", "P", "RGB", "CMYK"})
ALPHA_MODES = frozenset({"LA", "RGBA"})
GREY16_MODE = "I;16"


def orientation(image: PIL.Image.Image) -> int:
    """How the image has to be turned (EXIF 2.3, table "Orientation"), 1 to 8; 1: not at all.

    Of a PNG, to be asked once it is loaded: what follows its pixels counts, too.
    """
    try:
        value = image.getexif().get(_ORIENTATION)
    except Exception:  # metadata may be as broken as it likes; the pixels are fine
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def rgb_pixels(image: PIL.Image.Image) -> NDArray[np.uint8]:
    """The pixels of a loaded image as ``(height, width, 3)``, not turned; read-only.

    Raises:
        ValueError: its mode is none that JPEG, PNG and WebP files have.
    """
    from PIL import Image

    transparent = image.info.get("transparency")
    if image.mode == GREY16_MODE:
        return _grey16_to_rgb(np.asarray(image), transparent)
    if image.mode in ALPHA_MODES or (image.mode in OPAQUE_MODES and transparent is not None):
        rgba = _converted(image, "RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba)
    elif image.mode not in OPAQUE_MODES:
        raise ValueError(f"expected 8 or 16 bits a channel, got pixels of mode {image.mode}")
    return np.asarray(_converted(image, "RGB"))


def correct_key(image: PIL.Image.Image, *, bits: int) -> None:
    """Bring the transparent colour of a PNG to the scale of its pixels, where Pillow does not.

    Args:
        image: opened from the file, and loaded.
        bits: those of a channel in the file, which is its byte 24.
    """
    key = image.info.get("transparency")
    if image.mode == "L" and bits in (2, 4) and isinstance(key, int):
        image.info["transparency"] = key * 255 // (2**bits - 1)
    elif image.mode == "RGB" and bits == 16 and isinstance(key, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _converted(image: PIL.Image.Image, mode: str) -> PIL.Image.Image:
    # Pillow copies an image that has the mode already: 200 MB for 50 million pixels.
    return image if image.mode == mode else image.convert(mode)


def _grey16_to_rgb(grey: NDArray[np.uint16], transparent: int | None) -> NDArray[np.uint8]:
    # round(value / 257), as libpng's png_set_scale_16 computes it.
    scaled = grey.astype(np.uint32)
    scaled *= 255
    scaled += 32895
    scaled >>= 16
    if transparent is not None:
        scaled[grey == transparent] = 255
    return np.repeat(scaled.astype(np.uint8)[:, :, None], 3, axis=2)
