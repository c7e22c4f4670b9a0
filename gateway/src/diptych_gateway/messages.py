"""Messages to bytes and back, large ones off the event loop, pixels never re-encoded.

Protobuf defines that parsing the concatenation of two serialised messages merges them, the later
value of a field winning. So a field is added to a request that is already serialised by appending
it, whatever megabytes come before.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from diptych.segment import v1 as pb
from diptych_runtime.engine import Reason, ServiceError, invalid
from diptych_runtime.wire.split import SplitRequest, last_value, split, split_quickly

_THREAD_FROM_BYTES = 1024 * 1024

M = TypeVar("M", bound=Message)


async def parse(kind: type[M], raw: bytes) -> M:
    """Read a message.

    Raises:
        DecodeError: the bytes are none.
    """
    if len(raw) > _THREAD_FROM_BYTES:
        return await asyncio.to_thread(kind.FromString, raw)
    return kind.FromString(raw)


async def parse_request(kind: type[M], raw: bytes) -> M:
    """Read what a client sent.

    Raises:
        ServiceError: the bytes are no such message.
    """
    try:
        return await parse(kind, raw)
    except DecodeError as error:
        raise _malformed(kind) from error


async def split_request(raw: bytes) -> SplitRequest:
    """Read a ``SegmentRequest`` that a client sent, leaving its picture where it is.

    Raises:
        ServiceError: the bytes are no such message.
    """
    try:
        # Masks and logits of prompts may be large, too.
        quick = split_quickly(raw)
        return await asyncio.to_thread(split, raw) if quick is None else quick
    except DecodeError as error:
        raise _malformed(pb.SegmentRequest) from error


async def serialize(message: Message) -> bytes:
    """Write a message."""
    if message.ByteSize() > _THREAD_FROM_BYTES:
        return await asyncio.to_thread(message.SerializeToString)
    return message.SerializeToString()


def said_digest(reply: bytes) -> bytes:
    """The digest of the picture in a serialised ``SegmentResponse``; empty if it has none, or so
    many segments that reading them takes longer than it saves."""
    return last_value(reply, pb.SegmentResponse.IMAGE_SHA256_FIELD_NUMBER)


def addressed(request: bytes, model_id: str) -> bytes:
    """A serialised ``SegmentRequest`` with this model id."""
    return request + pb.SegmentRequest(model_id=model_id).SerializeToString()


def in_run_lengths(request: bytes) -> bytes:
    """A serialised ``SegmentRequest`` whose answer has its masks as COCO RLE."""
    output = pb.OutputOptions(mask_encoding=pb.MaskEncoding.MASK_ENCODING_COCO_RLE)
    return request + pb.SegmentRequest(output=output).SerializeToString()


def with_picture(request: bytes, picture: bytes) -> bytes:
    """A serialised ``SegmentRequest`` with the file instead of its digest."""
    image = pb.SegmentRequest(image=pb.Image(encoded=picture))
    return request + image.SerializeToString()


def _malformed(kind: type[Message]) -> ServiceError:
    name = kind.DESCRIPTOR.full_name
    return invalid(Reason.OPTION_INVALID, "", f"expected a {name}, got bytes that are none")
