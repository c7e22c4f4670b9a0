"""Files of nothing but parts are refused before a decoder takes them one by one."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.worker.images import (
    MAX_CHUNKS,
    MAX_FILL_BYTES,
    MAX_SEGMENTS,
    check_structure,
    decode,
)

SIZE = (64, 48)


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", SIZE, (200, 30, 30)).save(out, kind)
    return out.getvalue()


def chunk(name: bytes, data: bytes = b"") -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + checksum


def in_jpeg(*parts: bytes) -> bytes:
    """A JPEG with something behind its first marker."""
    jpeg = encoded("JPEG")
    return jpeg[:2] + b"".join(parts) + jpeg[2:]


def in_png(*parts: bytes) -> bytes:
    """A PNG with something behind its header."""
    png = encoded("PNG")
    return png[:33] + b"".join(parts) + png[33:]


def decoded(data: bytes) -> tuple[int, ...]:
    return decode(data, max_pixels=10**6, min_side=16, max_aspect_ratio=20).shape


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (in_jpeg(b"\xff" * (MAX_FILL_BYTES + 2)), "bytes of filling"),
        (in_jpeg(b"\xff\xff\xff\xfe\0\2" * MAX_FILL_BYTES), "bytes of filling|segments"),
        (in_jpeg(b"\xff\xfe\0\2" * MAX_SEGMENTS), f"at most {MAX_SEGMENTS} segments"),
        (in_jpeg(b"\xff\x01" * MAX_SEGMENTS), f"at most {MAX_SEGMENTS} segments"),
        (in_jpeg(b"\xff\xfe\0\0" * MAX_SEGMENTS), "segments"),
        (in_png(chunk(b"teSt") * MAX_CHUNKS), f"at most {MAX_CHUNKS} chunks"),
        (in_png(chunk(b"tEXt", b"a\0b") * MAX_CHUNKS), f"at most {MAX_CHUNKS} chunks"),
    ],
    ids=["filling", "filling-between", "comments", "markers", "no-length", "chunks", "texts"],
)
def test_a_file_of_nothing_but_parts_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(ServiceError, match=text) as caught:
        decoded(data)
    assert caught.value.reason is Reason.IMAGE_UNREADABLE
    assert caught.value.violations[0].field == "image.encoded"


@pytest.mark.parametrize(
    "data",
    [
        in_jpeg(b"\xff" * MAX_FILL_BYTES),
        in_jpeg(*[b"\xff\xe2\xff\xff" + bytes(65533)] * 200),
        in_jpeg(b"\xff\xfe\0\2" * (MAX_SEGMENTS - 50)),
        in_png(chunk(b"teSt", b"1234") * (MAX_CHUNKS - 50)),
    ],
    ids=["filling", "13-MB-of-profiles", "comments", "chunks"],
)
def test_what_cameras_and_editors_write_is_decoded(data: bytes) -> None:
    assert decoded(data) == (48, 64, 3)


def test_pixels_in_many_small_chunks_are_decoded() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (48, 64, 3), np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    packed = zlib.compress(rows)
    pieces = [chunk(b"IDAT", packed[at : at + 2]) for at in range(0, len(packed), 2)]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *SIZE, 8, 2, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + header + b"".join(pieces) + chunk(b"IEND")
    assert len(pieces) > 4_000
    assert decoded(png) == (48, 64, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_is_cut_off_is_left_to_the_decoder(kind: str) -> None:
    whole = encoded(kind)
    for end in range(8, len(whole), 7):
        check_structure(kind, whole[:end])
