"""Encoded images to RGB pixels; everything that can be wrong with an image is refused here.

JPEG, PNG and WebP, one frame. EXIF orientation is applied, ICC profiles are ignored. Transparent
pixels are laid on white. 16-bit grey is scaled to 8 bits; of 16-bit colour the high byte is kept,
at most one level off. CMYK JPEGs are read as inverted, as Adobe writes them and browsers read them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ..engine.errors import Reason, ServiceError, invalid
from ..engine.protocol import Pixels

_FIELD = "image.encoded"

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

MAX_SEGMENTS = 1_000
"""Of a JPEG before its first scan. Colour profiles and extended XMP come in pieces of 64 kB."""
MAX_FILL_BYTES = 4_096
"""Further bytes FF before the markers of a JPEG, all together (ITU-T T.81, B.1.1.2)."""
MAX_CHUNKS = 20_000
"""Of a PNG. Writers cut pixels into chunks of 8 kB and more: 32 MB are 4,000."""

_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a length
_LAST = frozenset((0xD9, 0xDA))  # the end of the image, the start of a scan
_PNG_SIGNATURE_BYTES = 8
_PNG_CHUNK_BYTES = 12  # length, name and checksum around the data of a chunk

_OPAQUE_MODES = frozenset({"1", "L", "P", "RGB", "CMYK"})
_ALPHA_MODES = frozenset({"LA", "RGBA"})
_GREY16_MODE = "I;16"


def sniff(data: bytes) -> str | None:
    """Name the format by the first bytes: ``JPEG``, ``PNG``, ``WebP``; ``None`` for any other."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    return None


def decode(data: bytes, *, max_pixels: int, min_side: int, max_aspect_ratio: int) -> Pixels:
    """Decode an image; returns ``(height, width, 3)`` RGB in [0, 255], upright.

    Raises ``ServiceError`` with ``IMAGE_TOO_LARGE`` (over ``max_pixels``) or ``IMAGE_SHAPE`` (a
    side under ``min_side``, or one over ``max_aspect_ratio`` times the other), both before pixels
    are allocated, and with ``IMAGE_UNREADABLE`` for whatever is not one whole image.
    """
    kind = sniff(data)
    if kind is None:
        raise _unreadable(f"expected JPEG, PNG or WebP, got {_named(data)}")
    check_structure(kind, data)
    limits = (max_pixels, min_side, max_aspect_ratio)
    if kind == "WebP":
        # Pillow allocates the canvas of a WebP as soon as it opens one.
        _check_size(_webp_size(data), *limits)
    elif kind == "JPEG" and _scans(data) > _MAX_SCANS:
        raise _unreadable(f"expected a JPEG of at most {_MAX_SCANS} scans, got more")
    with _decoding(kind, len(data)):
        image = _READERS[kind](io.BytesIO(data))
    with image:
        _check_size(image.size, *limits)
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise _unreadable(f"expected one frame, got an animated {kind} of {frames}")
        with _decoding(kind, len(data)):
            image.load()
            if kind == "PNG":
                _correct_key(image, bits=data[24])
            pixels = _to_rgb(image)
        return _upright(pixels, _orientation(image))


def check_structure(kind: str, data: bytes) -> None:
    """Refuse a file with more parts than any writer makes.

    Pillow reads the segments of a JPEG and the chunks of a PNG in Python, holding the interpreter:
    for 30 MB of tiny ones ten seconds and more, in which no other request gets on.

    What is broken is left to the decoder, which stops there.

    Args:
        kind: ``JPEG``, ``PNG`` or ``WebP``; the last is read by a library that needs no such help.
        data: The file.

    Raises:
        ServiceError: ``IMAGE_UNREADABLE``.
    """
    if kind == "JPEG":
        _check_segments(data)
    elif kind == "PNG":
        _check_chunks(data)


def _check_segments(data: bytes) -> None:
    at, filling = 2, 0
    for _ in range(MAX_SEGMENTS):
        if data[at : at + 1] != b"\xff":
            return
        at += 1
        while data[at : at + 1] == b"\xff":
            at, filling = at + 1, filling + 1
            if filling > MAX_FILL_BYTES:
                raise _too_many("JPEG", f"{MAX_FILL_BYTES} bytes of filling between its segments")
        if at >= len(data) or data[at] in _LAST:
            return
        marker = data[at]
        # A length counts itself; Pillow goes on behind one that says less.
        at += 1 if marker in _ALONE else 1 + max(int.from_bytes(data[at + 1 : at + 3]), 2)
    raise _too_many("JPEG", f"{MAX_SEGMENTS} segments before its first scan")


def _check_chunks(data: bytes) -> None:
    at = _PNG_SIGNATURE_BYTES
    for _ in range(MAX_CHUNKS):
        if at >= len(data):
            return
        at += _PNG_CHUNK_BYTES + int.from_bytes(data[at : at + 4])
    raise _too_many("PNG", f"{MAX_CHUNKS} chunks")


def _too_many(kind: str, most: str) -> ServiceError:
    return _unreadable(f"expected a {kind} of at most {most}, got more")


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
        raise _unreadable(message) from err


def _unreadable(description: str) -> ServiceError:
    return invalid(Reason.IMAGE_UNREADABLE, _FIELD, description)


def _check_size(
    size: tuple[int, int], max_pixels: int, min_side: int, max_aspect_ratio: int
) -> None:
    width, height = size
    got = f"got {width} x {height}"
    facts = {"width": str(width), "height": str(height)}
    if width * height > max_pixels:
        raise invalid(
            Reason.IMAGE_TOO_LARGE,
            _FIELD,
            f"expected at most {max_pixels} pixels, {got}",
            maxPixels=str(max_pixels),
            **facts,
        )
    if min(size) < min_side:
        raise invalid(
            Reason.IMAGE_SHAPE,
            _FIELD,
            f"expected sides of at least {min_side} pixels, {got}",
            minSide=str(min_side),
            **facts,
        )
    if max(size) > max_aspect_ratio * min(size):
        raise invalid(
            Reason.IMAGE_SHAPE,
            _FIELD,
            f"expected one side at most {max_aspect_ratio} times the other, {got}",
            maxAspectRatio=str(max_aspect_ratio),
            **facts,
        )


def _webp_size(data: bytes) -> tuple[int, int]:
    """Read width and height from the header (RFC 9649, 2.5 to 2.7; RFC 6386, 9.1)."""
    chunk = data[12:16]
    if chunk == b"VP8X" and len(data) >= 30:
        return _little(data[24:27]) + 1, _little(data[27:30]) + 1
    if chunk == b"VP8L" and len(data) >= 25:
        bits = _little(data[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and len(data) >= 30:
        return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF
    raise _unreadable(f"expected a whole WebP, got {len(data)} bytes without a picture header")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _to_rgb(image: Image.Image) -> Pixels:
    """Convert a loaded image of any mode that the three formats have to ``(height, width, 3)``."""
    transparent = image.info.get("transparency")
    if image.mode == _GREY16_MODE:
        return _grey16_to_rgb(np.asarray(image), transparent)
    if image.mode in _ALPHA_MODES or (image.mode in _OPAQUE_MODES and transparent is not None):
        rgba = _converted(image, "RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba)
    elif image.mode not in _OPAQUE_MODES:
        raise _unreadable(f"expected 8 or 16 bits a channel, got pixels of mode {image.mode}")
    return np.array(_converted(image, "RGB"))


def _converted(image: Image.Image, mode: str) -> Image.Image:
    # Pillow copies an image that has the mode already: 200 MB for 50 million pixels.
    return image if image.mode == mode else image.convert(mode)


def _correct_key(image: Image.Image, *, bits: int) -> None:
    """Bring the transparent colour of a PNG to the scale of its pixels, where Pillow does not."""
    key = image.info.get("transparency")
    if image.mode == "L" and bits in (2, 4) and isinstance(key, int):
        image.info["transparency"] = key * 255 // (2**bits - 1)
    elif image.mode == "RGB" and bits == 16 and isinstance(key, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _grey16_to_rgb(grey: NDArray[np.uint16], transparent: int | None) -> Pixels:
    # round(value / 257), as libpng's png_set_scale_16 computes it.
    scaled = grey.astype(np.uint32)
    scaled *= 255
    scaled += 32895
    scaled >>= 16
    if transparent is not None:
        scaled[grey == transparent] = 255
    return np.repeat(scaled.astype(np.uint8)[:, :, None], 3, axis=2)


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8; 1 if there is none that can be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # metadata may be as broken as it likes; the pixels are fine
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn and mirror pixels upright: EXIF 2.3, table "Orientation"."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
