"""What the file of an image says before it is decoded: its format, its size, what is in it.

Read by our own few lines, because Pillow takes a file apart in Python, part by part, holding the
interpreter, and allocates by what it finds. What we read is bounded by counts, never by the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

from ..engine.errors import Reason, ServiceError, invalid

Data: TypeAlias = bytes | memoryview
Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

Note: TypeAlias = Callable[[str], None]

FIELD = "image.encoded"

MAX_SEGMENTS = 1_000
"""Of a JPEG before its first scan. Colour profiles and extended XMP come in pieces of 64 kB."""
MAX_FILL_BYTES = 4_096
"""Bytes between the segments of a JPEG, all together (ITU-T T.81, B.1.1.2)."""
MAX_TABLE_BYTES = 65_536
"""Tables and frame headers of a JPEG before its first scan; all that there can be are 4,000."""
MAX_CHUNKS = 20_000
"""Of a PNG or WebP. Writers cut pixels into chunks of 8 kB and more: 32 MB are 4,000."""
MAX_METADATA_BYTES = 16 * 1024 * 1024
"""What a file may have besides its pixels: profiles, previews, a video behind the picture."""
MAX_BYTES_PER_PIXEL = 16
"""No format needs more: 16 bits in four channels are 8."""
_READ_BYTES = 65_536  # of an EXIF or XMP block; the orientation stands at its beginning

_SMALL_BYTES = 1_000_000
_SMALL_PX = 2_100_000  # a frame of 1920 x 1080
_SMALL_WEBP_PX = 500_000  # other threads do not run meanwhile

_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a length
_LAST = frozenset((0xD9, 0xDA))  # the end of the image, the start of a scan
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES = frozenset((*range(0xC0, 0xD0), *range(0xDB, 0xE0)))
_JPEG_BLOCKS = (  # of each the first: colours depend on two, the orientation on the others
    (0xE0, b"JFIF\0"),
    (0xEE, b"Adobe"),
    (0xE1, b"Exif\0\0"),
    (0xE1, b"http://ns.adobe.com/xap/1.0/\0"),
)

_PNG_SIGNATURE_BYTES = 8
_PNG_PIXELS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
_PNG_ORIENTATION = (
    (b"eXIf", b""),
    (b"iTXt", b"XML:com.adobe.xmp\0"),
    (b"tEXt", b"Raw profile type exif\0"),
    (b"zTXt", b"Raw profile type exif\0"),
)
_WEBP_CHUNKS = frozenset((b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L", b"EXIF", b"XMP "))
_WEBP_PIXELS = frozenset((b"VP8 ", b"VP8L", b"ANMF"))
_WEBP_ORIENTATION = frozenset((b"EXIF", b"XMP "))
_WEBP_HEADER_BYTES = 12


def ignore(_: str) -> None:
    """Take note of nothing."""


def sniff(data: Data) -> str | None:
    """Name the format by the first bytes: ``JPEG``, ``PNG``, ``WebP``; ``None`` for any other."""
    start = bytes(data[:_WEBP_HEADER_BYTES])
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start.startswith(b"RIFF") and start[8:] == b"WEBP":
        return "WebP"
    return None


def image_size(data: Data) -> Size | None:
    """Read the size that the header says; ``None`` without one. Nothing of it has to be true.

    Raises:
        ServiceError: ``IMAGE_UNREADABLE``: there are too many parts before it.
    """
    kind = sniff(data)
    if kind == "PNG" and len(data) >= 24 and data[12:16] == b"IHDR":
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if kind == "WebP":
        return _webp_size(data)
    if kind == "JPEG":
        for marker, at, end in _segments(data):
            if marker in _FRAMES and end - at >= 9 and end <= len(data):
                return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
    return None


def pixel_count(data: Data) -> int:
    """Say how many pixels the header promises; 0 if it cannot be read or is refused anyway."""
    try:
        width, height = image_size(data) or (0, 0)
    except ServiceError:
        return 0
    return width * height


def is_small(data: Data) -> bool:
    """Whether decoding takes so little time that nobody notices."""
    most = _SMALL_WEBP_PX if sniff(data) == "WebP" else _SMALL_PX
    return len(data) <= _SMALL_BYTES and pixel_count(data) <= most


def strip(kind: str, data: bytes, note: Note = ignore) -> bytes:
    """Make a file of what is used: the pixels, and the block that has the orientation.

    What is broken among these is left to the decoder, which stops there.

    Args:
        kind: What ``sniff`` says.
        data: The file.
        note: Called with what is broken besides: a sentence.

    Raises:
        ServiceError: ``IMAGE_UNREADABLE`` for a file of more parts, or of more bytes for its
            pixels, than any writer makes, and for one of several frames.
    """
    width, height = image_size(data) or (0, 0)
    most = MAX_METADATA_BYTES + MAX_BYTES_PER_PIXEL * width * height
    if len(data) > most:
        raise unreadable(
            f"expected at most {most} bytes for {width} x {height} pixels, got {len(data)}"
        )
    if kind == "JPEG":
        return _strip_jpeg(data)
    return _strip_png(data, note) if kind == "PNG" else _strip_webp(data, note)


def damage(kind: str, what: str) -> str:
    """Say of a file whose pixels are all there what else is wrong with it."""
    return f"image: the {kind} file is damaged ({what}); all its pixels are there"


def unreadable(description: str) -> ServiceError:
    """Make the error of a file that is not one whole image of the three formats."""
    return invalid(Reason.IMAGE_UNREADABLE, FIELD, description)


def _segments(data: Data) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each part of a JPEG; the first scan is the last, to the end
    of the file."""
    at, filling = 2, 0
    for _ in range(MAX_SEGMENTS):
        # Bytes that are no marker at all are skipped by decoders, too.
        while at + 1 < len(data) and (data[at] != 0xFF or data[at + 1] in (0x00, 0xFF)):
            at, filling = at + 1, filling + 1
            if filling > MAX_FILL_BYTES:
                raise _too_many("JPEG", f"{MAX_FILL_BYTES} bytes of filling between its segments")
        if at + 1 >= len(data):
            return
        marker, start = data[at + 1], at
        if marker in _LAST:
            yield marker, start, len(data)
            return
        # A length counts itself; Pillow goes on behind one that says less.
        at += 2
        if marker not in _ALONE:
            at += max(int.from_bytes(data[at : at + 2]), 2)
        yield marker, start, at
    raise _too_many("JPEG", f"{MAX_SEGMENTS} segments before its first scan")


def _strip_jpeg(data: bytes) -> bytes:
    data = data.rstrip(b"\xff")  # filling instead of an end, of which Pillow looks at each byte
    view, tables = memoryview(data), 0
    parts: list[Data] = [data[:2]]
    wanted = list(_JPEG_BLOCKS)
    for marker, start, end in _segments(data):
        found = [w for w in wanted if w[0] == marker and data.startswith(w[1], start + 4)]
        if marker in _TABLES:
            tables += end - start
            if tables > MAX_TABLE_BYTES:
                raise _too_many("JPEG", f"{MAX_TABLE_BYTES} bytes of tables before its first scan")
        elif found:
            wanted.remove(found[0])
        elif marker not in _LAST:
            continue
        parts.append(view[start:end])
    return data if sum(map(len, parts)) == len(data) else b"".join(parts)


def _strip_png(data: bytes, note: Note) -> bytes:
    """Keep one chunk of each kind, and put the pixels into one."""
    view = memoryview(data)
    before: list[Data] = [data[:_PNG_SIGNATURE_BYTES]]
    pixels: list[Data] = []
    wanted, frames, controls, seen = list(_PNG_ORIENTATION), 0, 0, set[bytes]()
    broken = False
    at = _PNG_SIGNATURE_BYTES
    for _ in range(MAX_CHUNKS):
        size, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        begin, end = at + 8, at + 8 + size
        whole = end + 4 <= len(data)
        if whole and zlib.crc32(view[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            broken = True
        if name == b"IDAT":
            pixels.append(view[begin:end])
        elif name in _PNG_PIXELS and name not in seen:
            seen.add(name)
            before.append(view[at : end + 4])
        elif name == b"fcTL" and not pixels:
            controls += 1
        elif name == b"acTL" and not pixels and size >= 4:
            frames = int.from_bytes(data[begin : begin + 4])
        elif found := [w for w in wanted if w[0] == name and data.startswith(w[1], begin)]:
            wanted.remove(found[0])
            before.append(_png_chunk(name, data[begin : min(end, begin + _READ_BYTES)]))
        if name == b"IEND" or not whole:
            break
        at = end + 4
    else:
        raise _too_many("PNG", f"{MAX_CHUNKS} chunks")
    # What is not part of the animation is a picture, too.
    frames += frames > 0 and not controls
    if frames > 1:
        raise animated("PNG", frames)
    if not pixels:
        return b"".join(before)
    if broken:
        note(damage("PNG", "a checksum is wrong"))
    if not whole or b"IEND" not in seen:
        note(damage("PNG", "its end is missing"))
    last = before.pop() if b"IEND" in seen else b""
    # Nobody reads the checksum of pixels: they have another inside.
    size = sum(map(len, pixels)) if whole else len(data)
    return b"".join((*before, size.to_bytes(4), b"IDAT", *pixels, bytes(4) if whole else b"", last))


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)


def _strip_webp(data: bytes, note: Note) -> bytes:
    view, at = memoryview(data), _WEBP_HEADER_BYTES
    end = 8 + int.from_bytes(data[4:8], "little")
    parts: list[Data] = []
    frames, pixels = 0, False
    for _ in range(MAX_CHUNKS):
        if at + 8 > min(end, len(data)):
            break
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        whole = at + 8 + size <= len(data)
        frames += name == b"ANMF"
        pixels |= whole and name in _WEBP_PIXELS
        following = at + 8 + size + (size & 1)
        if name in _WEBP_ORIENTATION:
            block = data[at + 8 : at + 8 + min(size, _READ_BYTES)]
            parts += (_webp_chunk(name, block),) if whole else ()
        elif name in _WEBP_CHUNKS and following > len(data) >= at + 8 + size:
            parts.append(_webp_chunk(name, data[at + 8 :]))
        elif name in _WEBP_CHUNKS:
            parts.append(view[at:following])
        at = following
    else:
        raise _too_many("WebP", f"{MAX_CHUNKS} chunks")
    if frames > 1:
        raise animated("WebP", frames)
    size = sum(map(len, parts))
    if end > len(data) and pixels:
        note(damage("WebP", "its end is missing"))
    elif end > len(data) or size == len(data) - _WEBP_HEADER_BYTES:
        return data
    return b"".join((b"RIFF", (size + 4).to_bytes(4, "little"), b"WEBP", *parts))


def _webp_chunk(name: bytes, block: bytes) -> bytes:
    return name + len(block).to_bytes(4, "little") + block + bytes(len(block) & 1)


def animated(kind: str, frames: int) -> ServiceError:
    """Make the error of a file of several pictures."""
    return unreadable(f"expected one frame, got an animated {kind} of {frames}")


def _too_many(kind: str, most: str) -> ServiceError:
    return unreadable(f"expected a {kind} of at most {most}, got more")


def _webp_size(data: Data) -> Size | None:
    """Read width and height from the header (RFC 9649, 2.5 to 2.7; RFC 6386, 9.1)."""
    chunk = data[12:16]
    if chunk == b"VP8X" and len(data) >= 30:
        return _little(data[24:27]) + 1, _little(data[27:30]) + 1
    if chunk == b"VP8L" and len(data) >= 25:
        bits = _little(data[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and len(data) >= 30:
        return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF
    return None


def _little(data: Data) -> int:
    return int.from_bytes(data, "little")
