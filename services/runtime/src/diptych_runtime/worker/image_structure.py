"""How many parts an image file has, counted before a decoder takes them one by one.

Pillow reads the segments of a JPEG and the chunks of a PNG in Python, holding the interpreter: a
file of 30 MB with nothing but tiny ones takes it ten seconds and more, in which no other request of
the process gets on. Files of cameras and editors have some hundreds at the most.
"""

from __future__ import annotations

from ..engine.errors import Reason, invalid

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


def check_structure(kind: str, data: bytes) -> None:
    """Refuse a file with more parts than any writer makes.

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


def _too_many(kind: str, most: str) -> Exception:
    return invalid(
        Reason.IMAGE_UNREADABLE, "image.encoded", f"expected a {kind} of at most {most}, got more"
    )
