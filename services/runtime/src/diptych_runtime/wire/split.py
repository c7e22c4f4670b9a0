"""A serialised ``SegmentRequest`` as two parts: the picture, and the rest of it.

Protobuf copies a picture of megabytes when it parses a request, and once more when the field is
read. Here only the lengths before and after it are read, and it stays where it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from diptych.segment import v1 as pb

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_IMAGE = pb.SegmentRequest.IMAGE_FIELD_NUMBER << 3 | _LENGTH
_ENCODED = pb.Image.ENCODED_FIELD_NUMBER << 3 | _LENGTH
# Reading fields in Python takes a microsecond each: with more of them protobuf is quicker.
_MAX_FIELDS = 1_000
_FIRST_FIELDS = 3
_QUICK_BYTES = 64 * 1024  # what protobuf reads in a tenth of a millisecond
_MAX_IMAGE_FIELDS = 10
_MAX_VARINT_BYTES = 10


@dataclass(frozen=True)
class SplitRequest:
    """A request whose picture is apart."""

    request: pb.SegmentRequest
    """All but the picture; ``image.encoded`` is set, and empty, if there was one."""
    rest: bytes
    """``request``, serialised."""
    picture: memoryview
    """The picture's file inside the bytes that came; empty if none was sent."""


def split(raw: bytes) -> SplitRequest:
    """Read a request.

    Raises:
        DecodeError: the bytes are none.
    """
    try:
        return _apart(raw)
    except _UnusualError:
        return _parsed(raw)


def split_quickly(raw: bytes) -> SplitRequest | None:
    """Read a request that is small but for its picture; ``None`` for one that takes long to read.

    Raises:
        DecodeError: the bytes are none.
    """
    if len(raw) <= _QUICK_BYTES:
        return split(raw)
    try:
        return _apart(raw) if _outside_image(memoryview(raw)) <= _QUICK_BYTES else None
    except _UnusualError:
        return None


def _outside_image(raw: memoryview) -> int:
    """How many bytes are not the image, if that is among the first fields; else all."""
    for key, start, _, end in itertools.islice(_fields(raw, most=_MAX_FIELDS), _FIRST_FIELDS):
        if key == _IMAGE:
            return len(raw) - (end - start)
    return len(raw)


def _apart(raw: bytes) -> SplitRequest:
    rest, picture = _cut(memoryview(raw))
    request = pb.SegmentRequest.FromString(rest)
    # Of a picture and a digest the later one counts.
    sent = request.image.WhichOneof("source") == "encoded"
    return SplitRequest(request, rest, picture if sent else memoryview(b""))


def last_value(raw: bytes, number: int) -> bytes:
    """The last value of a field of bytes in a serialised message; empty if there is none, or too
    much around it."""
    found = b""
    try:
        for key, _, value, end in _fields(memoryview(raw), most=_MAX_FIELDS):
            if key == number << 3 | _LENGTH:
                found = raw[value:end]
    except _UnusualError:
        return b""
    return found


class _UnusualError(Exception):
    """For protobuf to judge: broken, or more fields than pay."""


def _parsed(raw: bytes) -> SplitRequest:
    request = pb.SegmentRequest.FromString(raw)
    picture = request.image.encoded
    if picture:
        request.image.encoded = b""
    return SplitRequest(request, request.SerializeToString(), memoryview(picture))


def _cut(raw: memoryview) -> tuple[bytes, memoryview]:
    kept: list[bytes | memoryview] = []
    picture = memoryview(b"")
    copied = 0
    for key, start, value, end in _fields(raw, most=_MAX_FIELDS):
        if key == _IMAGE:
            image, picture = _cut_image(raw[value:end], picture)
            kept += (raw[copied:start], bytes((_IMAGE,)), _as_varint(len(image)), image)
            copied = end
    return b"".join((*kept, raw[copied:])), picture


def _cut_image(raw: memoryview, picture: memoryview) -> tuple[bytes, memoryview]:
    """A serialised ``Image`` whose file is empty, and the file; ``picture`` if it has none."""
    kept: list[bytes | memoryview] = []
    copied = 0
    for key, start, value, end in _fields(raw, most=_MAX_IMAGE_FIELDS):
        if key == _ENCODED:
            kept += (raw[copied:start], bytes((_ENCODED, 0)))
            copied, picture = end, raw[value:end]
    return b"".join((*kept, raw[copied:])), picture


def _fields(data: memoryview, *, most: int) -> Iterator[tuple[int, int, int, int]]:
    """Key of each field, where it starts, where its value does, and where it ends."""
    end = 0
    for _ in range(most):
        if end == len(data):
            return
        start = end
        key, value = data[start], start + 1
        if key >= 0x80:
            key, value = _varint(data, start)
        kind = key & 7
        if kind == _VARINT:
            _, end = _varint(data, value)
        elif kind == _LENGTH:
            size, value = _varint(data, value)
            end = value + size
        elif kind in _FIXED_BYTES:
            end = value + _FIXED_BYTES[kind]
        else:  # groups, which nobody sends any more
            raise _UnusualError
        if end > len(data):
            raise _UnusualError
        yield key, start, value, end
    if end < len(data):
        raise _UnusualError


def _as_varint(number: int) -> bytes:
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _varint(data: memoryview, start: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first; and where it ends."""
    number = 0
    for index, byte in enumerate(data[start : start + _MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, start + index + 1
    raise _UnusualError
