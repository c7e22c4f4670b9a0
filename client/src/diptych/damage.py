"""Files that are damaged without loss of a pixel. For servers and clients."""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import PIL.Image

_PNG = b"\x89PNG\r\n\x1a\n"
_END = b"\xff\xd9"
# Unlike each other, so that no code is read alike from all; zeros are what decoders make up.
_ENDINGS = (b"\xfe" * 64, b"\xaa" * 64, hashlib.sha512(b"1").digest(), bytes(64))
_MAX_SCANS = 20  # progressive files have about 10, and each takes a pass over all pixels
_MAX_BESIDES_BYTES = 1024 * 1024  # Pillow takes a second for 16 MB of filling behind a scan
_MAX_BYTES_PER_PIXEL = 16
_COEFFICIENTS = 64  # of a block
_START_OF_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STRIP_PX = 1 << 20
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def whole_jpeg(data: bytes) -> PIL.Image.Image | None:
    """Load a JPEG that Pillow finds truncated, if nothing of its pixels is missing.

    A decoder makes up what a file lacks. So different endings are put behind it: where the pixels
    then differ, they came from the ending and not from the file. Takes up to four times
    as long as to decode it, and the memory of once.
    """
    body = data.rstrip(b"\xff")  # filling, or half of an end
    if not _has_all_scans(body):
        return None
    digests, image = set(), None
    try:
        for ending in _ENDINGS:
            image = None  # its memory, before the next one takes as much
            image = _loaded(body + ending.replace(b"\xff", b"") + _END)
            digests.add(_digest(image))
            if len(digests) > 1:
                return None
    except MemoryError:
        raise
    except Exception:  # Pillow's reader raises whatever a broken file leads to
        return None
    return image


def _loaded(data: bytes) -> PIL.Image.Image:
    from PIL.JpegImagePlugin import JpegImageFile

    image = JpegImageFile(io.BytesIO(data))
    width, height = image.size
    if len(data) > _MAX_BESIDES_BYTES + _MAX_BYTES_PER_PIXEL * width * height:
        raise ValueError("expected bytes for the pixels, got many more")
    image.load()
    return image


def _digest(image: PIL.Image.Image) -> bytes:
    width, height = image.size
    rows, found = max(_STRIP_PX // width, 1), hashlib.sha256()
    for top in range(0, height, rows):
        found.update(image.crop((0, top, width, min(top + rows, height))).tobytes())
    return found.digest()


def _has_all_scans(data: bytes) -> bool:
    """Whether every coefficient of every component is in one of a few scans with its last bit.

    ITU-T T.81, B.2.2 and B.2.3: a progressive file that ends between two scans has all pixels,
    but not as they were.
    """
    at, scans, final = 2, 0, dict[int, set[int]]()
    while (found := _MARKER.search(data, at)) is not None:
        marker, at = data[found.end() - 1], found.end()
        body = data[at + 2 : at + int.from_bytes(data[at : at + 2], "big")]
        at += 2 + len(body)
        if marker in _FRAMES:
            final = {body[at]: set() for at in range(6, len(body) - 2, 3)}
        elif marker == _START_OF_SCAN and len(body) >= 4:
            scans += 1
            first, last, bits = body[-3:]
            for name in body[1:-3:2] if bits & 0x0F == 0 else b"":
                final.get(name, set()).update(range(first, last + 1))
    return 0 < scans <= _MAX_SCANS and all(len(found) == _COEFFICIENTS for found in final.values())


def mended(data: bytes) -> bytes:
    """A PNG or WebP as it was before something besides its pixels was damaged, for Pillow.

    What is wrong with the pixels stays so, and any other file is returned as it is.
    """
    if data.startswith(_PNG):
        return _mended_png(data)
    return _mended_webp(data) if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else data


def _mended_png(data: bytes) -> bytes:
    parts, at = [data[: len(_PNG)]], len(_PNG)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        name, checksum = data[at + 4 : at + 8], data[end : end + 4]
        # A small letter first: not needed for the pixels (PNG, 5.4), but for this one.
        if name[:1].islower() and name != b"tRNS":
            checksum = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
            if end + 4 > len(data):
                break
        parts.append(data[at:end] + checksum)
        at = end + 4
    return b"".join(parts)


def _mended_webp(data: bytes) -> bytes:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            break
        at += 8 + size + (size & 1)
    body = data[12:at].ljust(at - 12, b"\0")
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body
