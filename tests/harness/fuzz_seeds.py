"""Where the fuzzer begins: ordinary inputs of each kind, and attacks on their size made by hand."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image
from serving_helpers import picture, png

from diptych import Mask
from diptych.segment import v1 as pb

LARGE = 30_000_000


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def nested(field: int, data: bytes) -> bytes:
    """A field of bytes or of a message."""
    return varint(field << 3 | 2) + varint(len(data)) + data


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(
    width: int,
    height: int,
    *,
    bits: int = 8,
    colour: int = 2,
    extra: bytes = b"",
    lace: int = 0,
    rows: int | None = None,
) -> bytes:
    """A PNG of one colour with chunks in front of its pixels."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = b"\0" + bytes((width * channels * bits + 7) // 8)
    packer = zlib.compressobj(1 if height > 1000 else 9)
    count = height if rows is None else rows
    packed = b"".join(packer.compress(row) for _ in range(count)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, lace)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _saved(kind: str, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture(size=size[::-1])).save(out, kind, **options)
    return out.getvalue()


def images() -> Iterator[bytes]:
    """Files of images, small and large, good and hostile."""
    yield png(picture())
    jpeg, webp = _saved("JPEG"), _saved("WEBP")
    progressive = _saved("JPEG", (200, 200), progressive=True)
    yield from (jpeg, webp, progressive, _saved("WEBP", lossless=True))
    yield jpeg[:2] + b"\xff" * LARGE + jpeg[2:]
    yield jpeg[:2] + b"\xff\xfe\0\2" * (LARGE // 4) + jpeg[2:]
    yield jpeg[:2] + (b"\xff\xe1\xff\xff" + bytes(65533)) * 400 + jpeg[2:]
    icc = b"\xff\xe2" + struct.pack(">H", 16) + b"ICC_PROFILE\0\1\1"
    yield jpeg[:2] + icc * (LARGE // len(icc)) + jpeg[2:]
    tables = b"\xff\xdb\0\x43" + bytes(65)
    yield jpeg[:2] + tables * 3000 + jpeg[2:]
    scan = progressive[progressive.find(b"\xff\xda") : -2]
    yield progressive[:-2] + scan * 200 + b"\xff\xd9"
    yield progressive[:-2] + scan[:60] * 80 + b"\xff\xd9"
    for kind, data, times in (
        (b"teSt", b"", 2_500_000),
        (b"tEXt", b"a\0b", 1_900_000),
        (b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000), 9), 100),
        (b"iCCP", b"a\0\0" + zlib.compress(bytes(LARGE), 9), 1),
        (b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(LARGE), 9), 1),
        (b"eXIf", b"MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\0\0\0\1\0\6\0\0" * 60_000, 1),
    ):
        yield png_of(64, 48, extra=chunk(kind, data) * times)
    yield png_of(64, 48, lace=1)
    yield from (
        png_of(7000, 7000, bits=1, colour=0),
        png_of(7000, 7000),
        png_of(20_000, 20_000, rows=100),
    )
    yield png_of(7000, 7000, lace=1)
    yield png_of(7000, 7000, bits=16, colour=6, rows=1000)
    yield webp[:12] + b"abcd\0\0\0\0" * (LARGE // 8) + webp[12:]
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0\x3f\0\0\x2f\0\0"
    head = b"RIFF" + struct.pack("<I", LARGE) + b"WEBP" + canvas
    yield head + b"abcd\0\0\0\0" * (LARGE // 8) + webp[12:]


def _request(*fields: bytes) -> bytes:
    base = pb.SegmentRequest(image=pb.Image(encoded=png(picture())))
    base.task = pb.Task.TASK_PROMPTED_SEGMENTATION
    return base.SerializeToString() + b"".join(fields)


def requests() -> Iterator[bytes]:
    """Serialised ``SegmentRequest``."""
    point = nested(1, b"\x0d\0\0\x80\x3f\x15\0\0\x80\x3f\x18\1")
    yield _request(nested(4, point))
    yield _request(nested(4, point * 64) * 256)
    yield _request(nested(4, b"") * (LARGE // 2))
    yield _request(nested(4, nested(1, b"") * (LARGE // 2)))
    ring = nested(3, nested(2, nested(3, nested(1, b"") * (LARGE // 2))))
    yield _request(nested(4, ring))
    yield _request(nested(5, b"\x30\x01" * (LARGE // 2)))
    yield _request(nested(5, nested(6, b"\x01" * LARGE)))
    yield _request(b"\x98\x06\x01" * (LARGE // 3))
    yield _request(nested(4, nested(3, nested(1, b""))) * (LARGE // 6))
    yield _request(nested(1, b"fake") * 100_000)
    yield _request(nested(1, b"a" * LARGE))
    yield _request(nested(5, b"\x18\x01") * 50_000)
    yield _request(b"\x7b" * 5000)
    deep = b""
    for _ in range(90):
        deep = nested(99, deep)
    yield _request(deep * 1000)


def prompts() -> Iterator[bytes]:
    """Serialised requests whose prompts are masks, for images of 49 million pixels."""
    counts = np.append(np.ones(1_000_000, np.uint32), 48_000_000)
    long = nested(1, Mask.from_counts(counts, (7000, 7000)).to_coco())
    short = np.append(np.ones(10_000, np.uint32), 48_990_000)
    many = nested(1, Mask.from_counts(short, (7000, 7000)).to_coco())
    file = nested(2, png_of(7000, 7000, bits=1, colour=0))
    for mask, times in (
        (long, 1),
        (many, 250),
        (file, 1),
        (file, 60),
        (nested(1, b"0" * LARGE), 1),
    ):
        yield _request(nested(4, nested(3, nested(2, mask))) * times)
    logits = b"\x08\x08\x10\x08" + nested(3, bytes(128))
    yield _request(nested(4, nested(3, nested(1, logits))) * 256)
    yield _request(nested(4, nested(1, b"\x0d\0\0\x80\x3f\x15\0\0\x80\x3f\x18\1")) * 256)


def options() -> Iterator[bytes]:
    """JSON of a form's options."""
    point = {"points": [[1.5, 2]], "box": [1, 2, 3, 4]}
    yield json.dumps({"model": "fake", "prompts": [point], "output": {"min_score": 0.5}}).encode()
    yield b'{"models":["a","b"],"match_iou":0.5,"timeout_s":3}'
    for item, head, tail in (
        (b"[1]", b'{"model":"fake","prompts":[{"points":[', b"]}]}"),
        (b"[1,2]", b'{"model":"fake","prompts":[{"points":[', b"]}]}"),
        (b"{}", b'{"model":"fake","prompts":[', b"]}"),
        (b'""', b'{"models":[', b"]}"),
        (b"1", b'{"output":{"category_ids":[', b"]}}"),
    ):
        for size in (400_000, 4_000_000):
            yield head + b",".join([item] * (size // (len(item) + 1))) + tail
    yield b"{" + b",".join(b'"%x":1' % number for number in range(40_000)) + b"}"
    yield b"[" * 500_000
    yield b'{"model":"' + b"\\u00e9" * 80_000 + b'"}'
    yield b'{"timeout_s":' + b"9" * 500_000 + b"}"
    mask = {"size": [7000, 7000], "counts": "0" * 400_000}
    yield json.dumps({"model": "fake", "prompts": [{"mask": mask}]}).encode()
    file = base64.b64encode(png(picture())).decode()
    logits = {"height": 8, "width": 8, "float16_le": base64.b64encode(bytes(128)).decode()}
    for sent in ({"png": file}, logits, {"png": "A" * 4_000_000}):
        yield json.dumps({"model": "fake", "prompts": [{**point, "mask": sent}]}).encode()
    large = {"size": [2**31 - 1, 2**31 - 1], "counts": "oT"}
    yield json.dumps({"model": "fake", "prompts": [{"mask": large}] * 200}).encode()


def messages() -> Iterator[bytes]:
    """Texts of WebSocket messages, and frames."""
    yield b'{"event":"start","model":"fake"}'
    yield b'{"event":"prompt","object_id":1,"frame_index":0,"points":[[1,2]]}'
    yield b'{"event":"removal","object_id":1}'
    yield bytes(8) + png(picture())
    points = b",".join([b"[1]"] * 120_000)
    yield b'{"event":"prompt","object_id":1,"frame_index":0,"points":[' + points + b"]}"
    yield b'{"event":"start","output":{"category_ids":[' + b",".join([b"1"] * 200_000) + b"]}}"
    yield b"[" * 500_000
    yield b'{"event":' + b'{"a":' * 90_000
    yield bytes(LARGE)


def video() -> Iterator[bytes]:
    """Serialised ``SegmentVideoRequest``."""
    yield pb.SegmentVideoRequest(seq=1, start=pb.VideoStart(model_id="fake")).SerializeToString()
    frame = pb.VideoFrame(frame_index=3, encoded=png(picture()))
    yield pb.SegmentVideoRequest(seq=2, frame=frame).SerializeToString()
    yield b"\x08\x03" + nested(4, b"\x08\1\x10\0" + nested(3, nested(1, b"") * (LARGE // 2)))
    yield b"\x08\x03" + nested(4, nested(3, nested(3, nested(2, nested(1, b"0" * LARGE)))))
    yield b"\x08\x03" + nested(2, nested(2, b"\x30\x01" * (LARGE // 2)))
    yield b"\x08\x03" * (LARGE // 2)


def headers() -> Iterator[bytes]:
    """Values of the ``authorization`` header and of request ids."""
    yield from (b"Bearer abc", b"Bearer " + b"a" * 8000, b"bearer\t" * 1000, b"B" * 100_000)
    yield b"Bearer " + " \u202e\u2028é".encode() * 500
