"""Files that are no pictures, or not such as are taken."""

from __future__ import annotations

import struct
import zlib

from browser_page import grey_picture

from diptych.limits import MAX_REQUEST_BYTES


def text_file() -> bytes:
    return b"dear diary\n" * 20


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_picture(width: int = 10_000, height: int = 8_000) -> bytes:
    """A whole PNG of 80 million grey pixels in 10 kB, one bit each."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = zlib.compress(bytes((width // 8 + 1) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def heavy_picture() -> bytes:
    """A small picture in a file that is over the limit of a request, by a part nobody reads."""
    whole = grey_picture()
    end = whole.rindex(b"IEND") - 4
    return whole[:end] + chunk(b"prVt", bytes(MAX_REQUEST_BYTES)) + whole[end:]
