"""Files of nothing but parts are refused before a decoder takes them one by one."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.wire.image_files import (
    MAX_BYTES_PER_PIXEL,
    MAX_CHUNKS,
    MAX_FILL_BYTES,
    MAX_METADATA_BYTES,
    MAX_SEGMENTS,
    image_size,
    pixel_count,
    strip,
)
from diptych_runtime.worker.images import decode

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


def segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def in_webp(*parts: bytes) -> bytes:
    """An extended WebP with something between its header and its pixels."""
    webp = encoded("WEBP")
    header = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + b"\x3f\0\0" + b"\x2f\0\0"
    body = b"WEBP" + header + b"".join(parts) + webp[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def riff(name: bytes, data: bytes = b"") -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) & 1)


def turned(kind: str, **options: object) -> bytes:
    """An image that is to be turned by a quarter."""
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE, (200, 30, 30)).save(out, kind, exif=exif.tobytes(), **options)
    return out.getvalue()


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
        (in_jpeg(b"\xff\xfe\0\2" + bytes(MAX_FILL_BYTES + 1)), "bytes of filling"),
        (in_jpeg(segment(0xDB, bytes(65 * 1000)), segment(0xDB, bytes(65 * 9))), "of tables"),
        (in_webp(riff(b"teSt") * MAX_CHUNKS), f"WebP of at most {MAX_CHUNKS} chunks"),
        (in_png(chunk(b"teSt") * MAX_CHUNKS), f"at most {MAX_CHUNKS} chunks"),
        (in_png(chunk(b"tEXt", b"a\0b") * MAX_CHUNKS), f"at most {MAX_CHUNKS} chunks"),
    ],
    ids=[
        "filling",
        "filling-between",
        "comments",
        "markers",
        "no-length",
        "junk",
        "tables",
        "webp",
        "chunks",
        "texts",
    ],
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
        in_png(
            chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(10**6))), chunk(b"teSt", bytes(10**7))
        ),
        in_webp(riff(b"ICCP", bytes(10**7))),
        in_jpeg(segment(0xDB, b"\0" + b"\1" * 64) * 500),
        encoded("JPEG") + bytes(10**7),
    ],
    ids=[
        *("filling", "13-MB-of-profiles", "comments", "chunks", "profile", "webp-profile"),
        *("tables", "video-behind"),
    ],
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
        strip(kind, whole[:end])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_small_image_in_a_large_file_is_refused(kind: str) -> None:
    whole = encoded(kind)
    most = MAX_METADATA_BYTES + MAX_BYTES_PER_PIXEL * 64 * 48
    assert decoded(whole + bytes(most - len(whole))) == (48, 64, 3)
    with pytest.raises(ServiceError, match=f"at most {most} bytes for 64 x 48 pixels") as caught:
        decoded(whole + bytes(most - len(whole) + 1))
    assert caught.value.reason is Reason.IMAGE_UNREADABLE


def test_only_what_is_used_is_handed_to_the_decoder() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xf0" + bytes(60_000)
    resources = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5_000
    jpeg = in_jpeg(segment(0xE1, exif) * 3, segment(0xED, resources) * 99, segment(0xFE, b"text"))
    assert len(strip("JPEG", jpeg)) == len(encoded("JPEG")) + len(segment(0xE1, exif))
    texts = [chunk(name, b"a\0\0" + bytes(900)) for name in (b"tEXt", b"zTXt", b"iCCP", b"iTXt")]
    assert len(strip("PNG", in_png(*texts * 99))) == len(encoded("PNG"))
    webp = in_webp(riff(b"ICCP", bytes(99)), riff(b"teSt", bytes(99)) * 99)
    assert len(strip("WebP", webp)) == len(in_webp())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_is_read_from_a_file_of_much_else(kind: str) -> None:
    data = turned(kind)
    much = {
        "JPEG": lambda: data[:2] + segment(0xE2, bytes(60_000)) * 50 + data[2:],
        "PNG": lambda: data[:33] + chunk(b"tEXt", b"a\0b") * 50 + data[33:],
        "WEBP": lambda: data + riff(b"teSt", bytes(60_000)) * 50,
    }[kind]()
    if kind == "WEBP":
        much = much[:4] + struct.pack("<I", len(much) - 8) + much[8:]
    assert decoded(much) == decoded(data) == (64, 48, 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_only_the_beginning_of_a_large_block_is_read(kind: str) -> None:
    block = Image.Exif()
    block[0x0112] = 6
    exif = block.tobytes()[6:] + bytes(10**6)
    made = {
        "PNG": lambda: in_png(chunk(b"eXIf", exif)),
        "WEBP": lambda: in_webp(riff(b"EXIF", exif)),
    }
    data = made[kind]()
    assert len(strip("WebP" if kind == "WEBP" else kind, data)) < 70_000
    assert decoded(data) == (64, 48, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_size_is_read_from_the_header(kind: str) -> None:
    data = memoryview(encoded(kind))
    assert image_size(data) == SIZE
    assert pixel_count(data) == 64 * 48
    assert pixel_count(data[:14]) == 0
    assert pixel_count(memoryview(in_jpeg(b"\xff" * 10_000))) == 0


def test_many_scans_are_for_small_images_only() -> None:
    out = io.BytesIO()
    Image.new("RGB", (1000, 1000)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    data = data[:-2] + data[last:-2] * 30 + data[-2:]
    assert decode(data, max_pixels=10**7, min_side=16, max_aspect_ratio=20).shape[0] == 1000
    with pytest.raises(ServiceError, match="at most 20 scans"):
        decoded(data)


def test_pixels_with_a_wrong_checksum_are_refused() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    png = out.getvalue()
    with pytest.raises(ServiceError, match="truncated or broken"):
        decoded(png[:60] + bytes(4) + png[64:])
