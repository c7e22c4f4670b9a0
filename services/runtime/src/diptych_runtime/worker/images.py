"""Encoded images to RGB pixels; everything that can be wrong with an image is refused here.

JPEG, PNG and WebP, one frame, turned and made RGB as ``diptych.pixels`` says; ICC profiles are
ignored. Of 16-bit colour the high byte is kept, at most one level off. CMYK JPEGs are read as
inverted, as Adobe writes them and browsers read them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from diptych.damage import whole_jpeg
from diptych.pixels import correct_key, orientation, rgb_pixels

from ..engine.errors import Reason, ServiceError, invalid
from ..engine.protocol import Pixels
from ..wire.image_files import (
    FIELD,
    Note,
    Size,
    animated,
    damage,
    ignore,
    image_size,
    sniff,
    strip,
    unreadable,
)
from .webp import Still, has_library, metadata, open_still

# These classes instead of Image.open: that one has a pixel limit that is global to the process,
# turns some JPEGs into multi-frame MPO images, and says less exactly what came.
_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
}
_OTHERS = ((b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"))

_START_OF_SCAN = 0xDAFF  # the bytes FF DA, read as a little-endian number
_MAX_SCANS = 100  # a progressive JPEG has about 10; each costs a pass over all pixels
_MAX_SCANS_OF_LARGEST = 20
_MAX_ANIMATED_PX = 16_000_000  # for which Pillow takes 13 bytes a pixel and more
# What Pillow's JPEG decoder cannot use yet it is handed again with the next block: 16 MB of filling
# took a second in blocks of 64 kB, and takes 0.05 s so.
_BLOCK_BYTES = 4 * 1024 * 1024
_STRIP_PX = 1 << 20  # converted at a time: what comes between the file and RGB stays small


class Limits(TypedDict):
    """What ``decode`` accepts."""

    max_pixels: int
    min_side: int
    max_aspect_ratio: int


def new_pixels(height: int, width: int) -> Pixels:
    """Make room for the pixels of an image."""
    return np.empty((height, width, 3), np.uint8)


def decode(
    data: bytes,
    *,
    max_pixels: int,
    min_side: int,
    max_aspect_ratio: int,
    new: Callable[[int, int], Pixels] = new_pixels,
    note: Note = ignore,
) -> Pixels:
    """Decode an image; returns ``(height, width, 3)`` RGB in [0, 255], upright, in what ``new``
    made for that height and width. Calls ``note`` with a sentence on what is wrong with a file all
    of whose pixels are there.

    Raises ``ServiceError`` with ``IMAGE_TOO_LARGE`` (over ``max_pixels``) or ``IMAGE_SHAPE`` (a
    side under ``min_side``, or one over ``max_aspect_ratio`` times the other), both before pixels
    are allocated, and with ``IMAGE_UNREADABLE`` for whatever is not one whole image.
    """
    kind = sniff(data)
    if kind is None:
        raise unreadable(f"expected JPEG, PNG or WebP, got {_named(data)}")
    limits = (max_pixels, min_side, max_aspect_ratio)
    size = image_size(data)
    if size is not None:
        # Pillow allocates the canvas of a WebP as soon as it opens one.
        check_size(size, *limits)
    elif kind == "WebP":
        raise unreadable(f"expected a whole WebP, got {len(data)} bytes without a picture header")
    whole, data = data, strip(kind, data, note)
    if kind == "JPEG":
        _check_scans(data, size, max_pixels)
    with _decoding(kind, len(whole)):
        still = open_still(data) if kind == "WebP" else None
    if still is not None:
        check_size(still.size, *limits)
        with _decoding(kind, len(whole)):
            return _still_rgb(still, new)
    if kind == "WebP" and has_library() and size and size[0] * size[1] > _MAX_ANIMATED_PX:
        raise unreadable(
            f"expected at most {_MAX_ANIMATED_PX} pixels in a WebP made as an animation, "
            f"got {size[0]} x {size[1]}"
        )
    with _decoding(kind, len(whole)):
        image = _READERS[kind](io.BytesIO(data))
    with image:
        check_size(image.size, *limits)
        if (frames := getattr(image, "n_frames", 1)) > 1:
            raise animated(kind, frames)
        with _decoding(kind, len(whole)):
            loaded = _loaded(image, data, note)
            # Not earlier: Pillow loads a PNG for it, and that must not fail unseen.
            turn = orientation(loaded) if loaded.info else 1
            if kind == "PNG" and "transparency" in loaded.info:
                correct_key(loaded, bits=data[24])
            return _upright_rgb(loaded, turn, new)


def _loaded(image: ImageFile.ImageFile, data: bytes, note: Note) -> Image.Image:
    """Load an image; of a JPEG without its end, if its pixels are there."""
    image.decodermaxblock = _BLOCK_BYTES
    try:
        image.load()
    except OSError:
        image.close()
        whole = whole_jpeg(data) if image.format == "JPEG" else None
        if whole is None:
            raise
        note(damage("JPEG", "its end is missing"))
        return whole
    return image


def _check_scans(data: bytes, size: Size | None, max_pixels: int) -> None:
    most = _MAX_SCANS
    if size is not None:
        most = min(most, _MAX_SCANS_OF_LARGEST * max_pixels // max(size[0] * size[1], 1))
    if _scans(data) > most:
        raise unreadable(f"expected a JPEG of this size of at most {most} scans, got more")


def _scans(data: bytes) -> int:
    """Count how often a start of scan stands in the file; ten times as fast as ``bytes.count``."""
    pairs = (np.frombuffer(data, "<u2", (len(data) - at) // 2, at) for at in (0, 1))
    return sum(int(np.count_nonzero(numbers == _START_OF_SCAN)) for numbers in pairs)


def _named(data: bytes) -> str:
    """Name unwanted bytes, as far as their beginning says what they are."""
    for magic, name in _OTHERS:
        if data.startswith(magic):
            return f"{len(data)} bytes of {name}"
    if data[4:8] == b"ftyp":
        return f"{len(data)} bytes of HEIF, AVIF or video"
    return f"{len(data)} bytes of unknown type" if data else "0 bytes"


@contextmanager
def _decoding(kind: str, size: int) -> Iterator[None]:
    """Turn whatever the decoder raises into ``IMAGE_UNREADABLE``, without the decoder's text.

    That text names objects by their addresses. Running out of memory is not the image's fault:
    its size was checked.
    """
    try:
        yield
    except (ServiceError, MemoryError):
        raise
    except Exception as err:
        message = f"expected a whole {kind}, got {size} bytes that are truncated or broken"
        raise unreadable(message) from err


def check_size(
    size: tuple[int, int], max_pixels: int, min_side: int, max_aspect_ratio: int
) -> None:
    """Refuse a width and height that ``decode`` would not accept, with its errors."""
    width, height = size
    got = f"got {width} x {height}"
    facts = {"width": str(width), "height": str(height)}
    if width * height > max_pixels:
        raise invalid(
            Reason.IMAGE_TOO_LARGE,
            FIELD,
            f"expected at most {max_pixels} pixels, {got}",
            maxPixels=str(max_pixels),
            **facts,
        )
    if min(size) < min_side:
        raise invalid(
            Reason.IMAGE_SHAPE,
            FIELD,
            f"expected sides of at least {min_side} pixels, {got}",
            minSide=str(min_side),
            **facts,
        )
    if max(size) > max_aspect_ratio * min(size):
        raise invalid(
            Reason.IMAGE_SHAPE,
            FIELD,
            f"expected one side at most {max_aspect_ratio} times the other, {got}",
            maxAspectRatio=str(max_aspect_ratio),
            **facts,
        )


def _upright_rgb(image: Image.Image, turn: int, new: Callable[[int, int], Pixels]) -> Pixels:
    """Convert a loaded image strip by strip."""
    width, height = image.size
    upright, turned = _room(image.size, turn, new)
    for top, below in _strips(width, height):
        strip_of = image if below - top == height else image.crop((0, top, width, below))
        turned[top:below] = _to_rgb(strip_of)
    return upright


def _still_rgb(still: Still, new: Callable[[int, int], Pixels]) -> Pixels:
    """Decode a WebP to where its pixels go, or on the way there if they have to be changed."""
    width, height = still.size
    saying = Image.new("1", (1, 1))
    saying.info.update(metadata(still.data))
    turn = orientation(saying) if saying.info else 1
    upright, turned = _room(still.size, turn, new)
    if turn == 1 and not still.has_alpha:
        still.decode_into(upright)
        return upright
    pixels = np.empty((height, width, 4 if still.has_alpha else 3), np.uint8)
    still.decode_into(pixels)
    for top, below in _strips(width, height):
        turned[top:below] = _to_rgb(Image.fromarray(pixels[top:below]))
    return upright


def _room(
    size: Size, turn: int, new: Callable[[int, int], Pixels]
) -> tuple[Pixels, NDArray[np.uint8]]:
    """Make room for the upright pixels of an image; returns it, and the same as the image has them:
    EXIF 2.3, table "Orientation"."""
    width, height = size
    upright = new(*((width, height) if turn >= 5 else (height, width)))
    turned = upright
    if turn in (3, 4, 7, 8):
        turned = turned[::-1]
    if turn in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return upright, turned.swapaxes(0, 1) if turn >= 5 else turned


def _strips(width: int, height: int) -> Iterator[tuple[int, int]]:
    rows = max(_STRIP_PX // width, 1)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def _to_rgb(image: Image.Image) -> Pixels:
    """Convert a loaded image of any mode that the three formats have to ``(height, width, 3)``."""
    if image.mode == "RGB" and not image.info:
        return np.asarray(image)
    try:
        return rgb_pixels(image)
    except ValueError as error:
        raise unreadable(str(error)) from error
