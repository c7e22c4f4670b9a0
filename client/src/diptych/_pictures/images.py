"""Images of a folder, and images as pixels for drawing."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .._arguments import ImageLike, encode_image
from ..damage import mended, whole_jpeg
from ..pixels import correct_key, rgb_pixels
from .pixels import is_pixels, upright_image

if TYPE_CHECKING:
    import PIL.Image

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp"}
    | {".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".gif"}
)
"""Files of a folder that count as images."""


def image_sources(images: str | os.PathLike[str] | Iterable[ImageLike]) -> Iterator[ImageLike]:
    """The images of a folder in order of name, or those of an iterable, one at a time.

    Raises:
        NotADirectoryError, FileNotFoundError: if a path is no folder.
    """
    if isinstance(images, (str, os.PathLike)):
        return iter(list_images(Path(images)))
    return iter(images)


def list_images(folder: Path) -> list[Path]:
    """Pictures directly in a folder, by their suffix, in order of name, numbers by their value.

    Names that begin with a dot do not count: they are what other systems keep beside pictures.
    """
    found = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    shown = (path for path in found if not path.name.startswith("."))
    return sorted((path for path in shown if path.is_file()), key=_natural)


def _natural(path: Path) -> tuple[list[tuple[str, int]], str]:
    """Sorts ``frame2`` before ``frame10``; by characters where only the zeros differ."""
    parts = re.findall(r"([^0-9]*)([0-9]*)", path.name)
    return [(text, int(digits or -1)) for text, digits in parts], path.name


def open_rgb(image: ImageLike) -> PIL.Image.Image:
    """The image upright and in RGB, as the server sees it, for drawing.

    Raises:
        DiptychError, OSError, TypeError, ValueError: if it cannot be read.
    """
    from PIL import Image

    upright = upright_image(image if is_pixels(image) else _opened(encode_image(image).data))
    if upright.mode == "RGB" and "transparency" not in upright.info:
        return upright
    return Image.fromarray(rgb_pixels(upright))


def _opened(data: bytes) -> PIL.Image.Image:
    try:
        return _loaded(data)
    except OSError:
        whole = whole_jpeg(data) if data[:2] == b"\xff\xd8" else _loaded(mended(data))
        if whole is None:
            raise
        return whole


def _loaded(data: bytes) -> PIL.Image.Image:
    from PIL import Image

    opened = Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "WEBP"])
    opened.load()
    if opened.format == "PNG":
        correct_key(opened, bits=data[24])
    return opened
