"""Refuses serialised requests that would take far more room than they have, before reading them."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

SMALL_BYTES = 256 * 1024
"""A message of so many takes a few MB and milliseconds whatever is in it: it need not be looked at,
and may be read on an event loop."""
_MOST_FIELDS = 100_000
_WHOLE = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
_PACKED_BYTES = 4  # packed numbers take little: so many bytes of them count as a field
_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5


def check_fields(raw: bytes, message_type: type[Message]) -> None:
    """Count the fields of a serialised message, before it is read.

    An empty prompt has two bytes, and takes a hundred times as many once it is read. The most that
    the contract allows, 256 prompts of 64 points, are 70,000 fields. Numbers that are packed into
    one field count by their bytes.

    Raises:
        DecodeError: there are more than 100,000, or the bytes are no message.
    """
    left = _MOST_FIELDS
    kind: Descriptor = message_type.DESCRIPTOR  # type: ignore[assignment]  # upb has its own
    # Only what is open: a list of all messages would have the collector go through all objects.
    inside = [(kind.fields_by_number, len(raw))]
    at = 0
    while inside:
        fields, end = inside[-1]
        while at < end:
            left -= 1
            tag, at = _varint(raw, at, end)
            wire = tag & 7
            if wire == _SIZED:
                size, at = _varint(raw, at, end)
                field = fields.get(tag >> 3)
                if field is not None and field.message_type is not None and size:
                    inside.append((field.message_type.fields_by_number, min(at + size, end)))
                    break
                if field is not None and field.type not in _WHOLE:
                    left -= size // _PACKED_BYTES
                at += size
            elif wire == _VARINT:
                _, at = _varint(raw, at, end)
            elif wire in (_FIXED64, _FIXED32):
                at += 8 if wire == _FIXED64 else 4
            else:
                raise DecodeError(f"expected a {kind.full_name}, got something else")
            if left < 0:
                raise DecodeError(f"expected at most {_MOST_FIELDS} fields, got more")
        else:
            at = end  # where the message around it goes on, whatever the last field said
            inside.pop()


def _varint(raw: bytes, at: int, end: int) -> tuple[int, int]:
    """Read a number; returns it and where it ends."""
    number = shift = 0
    while at < end:
        byte = raw[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > 63:
            break
    raise DecodeError("expected a number, got only its beginning")
