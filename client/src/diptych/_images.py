"""Images of a folder, and images as pixels for drawing."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ._arguments import ImageLike, encode_image

if TYPE_CHECKING:
    import PIL.Image

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
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
