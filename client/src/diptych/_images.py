"""Images as callers have them, turned into the bytes that are sent."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np
from numpy.typing import NDArray

from ._types.errors import MessageTooLargeError
from .limits import MAX_REQUEST_BYTES

if TYPE_CHECKING:
    import PIL.Image

ImageLike = Union[str, "os.PathLike[str]", bytes, NDArray[np.uint8], "PIL.Image.Image"]
"""A path, the bytes of a JPEG, PNG or WebP file, an RGB uint8 array ``(H, W, 3)``, or a PIL image.

Files and bytes are sent unchanged; arrays and PIL images as PNG, without loss."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
"""Files of a folder that count as images."""


@dataclass(frozen=True)
class EncodedImage:
    """The bytes of an image file."""

    data: bytes

    @cached_property
    def sha256(self) -> bytes:
        """Digest of the bytes, 32 bytes."""
        return hashlib.sha256(self.data).digest()


def encode_image(image: ImageLike) -> EncodedImage:
    """The bytes to send.

    Raises:
        OSError: if the file cannot be read.
        TypeError, ValueError: if the value is no image of the kinds in ``ImageLike``.
        MessageTooLargeError: if the bytes cannot fit a request.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _bounded(bytes(image), "image")
    if isinstance(image, (str, os.PathLike)):
        return _from_file(Path(image))
    if isinstance(image, np.ndarray):
        return _bounded(_png_of_array(image), "image as PNG")
    # Checked by name, so that PIL is only loaded by those who use it.
    if any(kind.__module__.startswith("PIL.") for kind in type(image).__mro__):
        return _bounded(_png_of_pil(image), "image as PNG")
    raise TypeError(
        f"image: expected a path, bytes, an RGB array or a PIL image, got {type(image).__name__}"
    )


def image_sources(images: str | os.PathLike[str] | Iterable[ImageLike]) -> Iterator[ImageLike]:
    """The images of a folder in order of name, or those of an iterable, one at a time.

    Raises:
        NotADirectoryError, FileNotFoundError: if a path is no folder.
    """
    if isinstance(images, (str, os.PathLike)):
        return iter(list_images(Path(images)))
    return iter(images)


def list_images(folder: Path) -> list[Path]:
    """JPEG, PNG and WebP files directly in a folder, in order of name, numbers by their value."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((path for path in found if path.is_file()), key=_natural)


def _natural(path: Path) -> tuple[list[tuple[str, int]], str]:
    """Sorts ``frame2`` before ``frame10``; by characters where only the zeros differ."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", path.name)
    return [(text, int(digits or -1)) for text, digits in parts], path.name


def open_rgb(image: ImageLike) -> PIL.Image.Image:
    """The image upright and in RGB, as the server sees it, for drawing.

    Raises:
        OSError, TypeError, ValueError: if it cannot be read.
    """
    from PIL import Image, ImageOps

    opened = Image.open(io.BytesIO(encode_image(image).data))
    upright = ImageOps.exif_transpose(opened)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        ground = Image.new("RGBA", upright.size, "white")
        return Image.alpha_composite(ground, upright).convert("RGB")
    return upright.convert("RGB")


def _from_file(path: Path) -> EncodedImage:
    size = path.stat().st_size
    if size > MAX_REQUEST_BYTES:
        raise _too_large(size, str(path))
    return _bounded(path.read_bytes(), str(path))


def _bounded(data: bytes, name: str) -> EncodedImage:
    if len(data) > MAX_REQUEST_BYTES:
        raise _too_large(len(data), name)
    return EncodedImage(data)


def _too_large(size: int, name: str) -> MessageTooLargeError:
    return MessageTooLargeError(f"{name}: expected at most {MAX_REQUEST_BYTES} bytes, got {size}")


def _png_of_array(pixels: NDArray[np.uint8]) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ValueError(
            "image: expected an RGB array of shape (H, W, 3) and dtype uint8, "
            f"got shape {pixels.shape} and dtype {pixels.dtype}"
        )
    from PIL import Image

    return _png_of_pil(Image.fromarray(np.ascontiguousarray(pixels)))


def _png_of_pil(image: PIL.Image.Image) -> bytes:
    buffer = io.BytesIO()
    rgb = image.convert("RGB") if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") else image
    # Level 1 is several times faster than the default and a little larger.
    rgb.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
