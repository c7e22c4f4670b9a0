"""WebP decoded by libwebp itself, of the library that Pillow brings, into memory that is there.

Pillow takes every WebP for an animation: two canvases, a copy and its own image, four times as much
memory as the pixels of a still picture need.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ANIMATED = 0x02  # of the flags of VP8X
_FRAME_HEADER_BYTES = 16
_DECODER_ABI = 0x0209  # of libwebp 1.0; its functions accept later ones of the same 256


class _Features(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("has_alpha", ctypes.c_int),
        ("has_animation", ctypes.c_int),
        ("format", ctypes.c_int),
        ("pad", ctypes.c_uint32 * 5),
    )


@dataclass(frozen=True)
class Still:
    """A still picture that is not decoded yet."""

    data: bytes
    size: tuple[int, int]
    """Width and height."""
    has_alpha: bool

    def decode_into(self, pixels: NDArray[np.uint8]) -> None:
        """Decode to ``(height, width, 4)`` RGBA, or 3 and RGB, which leaves the alpha out.

        Raises:
            ValueError: the file is broken.
        """
        _, width, channels = pixels.shape
        library = _library()
        assert library is not None
        decode = library.WebPDecodeRGBAInto if channels == 4 else library.WebPDecodeRGBInto
        address = pixels.ctypes.data
        if not decode(self.data, len(self.data), address, pixels.nbytes, width * channels):
            raise ValueError("libwebp cannot decode it")


def has_library() -> bool:
    """Whether Pillow shows its libwebp; else it decodes all WebPs itself."""
    return _library() is not None


def open_still(data: bytes) -> Still | None:
    """Read the header; ``None`` if it is not for this module: an animation whose one frame does not
    cover its canvas, or any file where there is no library.

    Raises:
        ValueError: the file is broken.
    """
    library, found = _library(), _Features()
    if library is None:
        return None
    if library.WebPGetFeaturesInternal(data, len(data), ctypes.byref(found), _DECODER_ABI):
        raise ValueError("libwebp cannot read its header")
    if found.has_animation:
        still = _unwrapped(data, (found.width, found.height))
        return open_still(still) if still else None
    return Still(data, (found.width, found.height), bool(found.has_alpha))


def metadata(data: bytes) -> dict[str, Any]:
    """What the file has as EXIF and XMP, under the names that Pillow has for them."""
    blocks: dict[str, bytes] = {}
    for name, begin, end in _chunks(data):
        if key := {b"EXIF": "exif", b"XMP ": "xmp"}.get(name):
            blocks.setdefault(key, data[begin:end])
    return blocks


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk, and where what it holds begins and ends."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], at + 8, at + 8 + size
        at += 8 + size + (size & 1)


def _unwrapped(data: bytes, size: tuple[int, int]) -> bytes | None:
    """Make a still picture of an animation of one frame, if that covers the canvas (RFC 9649,
    2.7.1)."""
    parts: list[bytes] = []
    for name, begin, end in _chunks(data):
        held = data[begin:end]
        if name == b"VP8X":
            held = bytes([held[0] & ~_ANIMATED]) + held[1:]
        elif name == b"ANMF":
            numbers = [int.from_bytes(held[at : at + 3], "little") for at in (0, 3, 6, 9)]
            if numbers != [0, 0, size[0] - 1, size[1] - 1]:
                return None
            parts.append(held[_FRAME_HEADER_BYTES:])
            continue
        if name != b"ANIM":
            length = len(held).to_bytes(4, "little")
            parts.append(name + length + held + bytes(len(held) & 1))
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


@functools.cache
def _library() -> Any:
    """Return the library, or ``None`` where Pillow does not show it."""
    try:
        from PIL import _webp

        library = ctypes.CDLL(_webp.__file__)
        into = (library.WebPDecodeRGBInto, library.WebPDecodeRGBAInto)
        features = library.WebPGetFeaturesInternal
    except (ImportError, OSError, AttributeError):
        return None
    for function in into:
        function.restype = ctypes.c_void_p
        function.argtypes = (
            *(ctypes.c_char_p, ctypes.c_size_t),
            *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int),
        )
    features.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int)
    return library
