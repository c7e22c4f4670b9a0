"""Messages to bytes and back, large ones off the event loop."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from diptych_runtime.engine import Reason, ServiceError, invalid

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
        raise malformed(kind) from error


async def serialize(message: Message) -> bytes:
    """Write a message."""
    if message.ByteSize() > _THREAD_FROM_BYTES:
        return await asyncio.to_thread(message.SerializeToString)
    return message.SerializeToString()


def malformed(kind: type[Message]) -> ServiceError:
    """Make the error for a client's bytes that are no message of a kind."""
    name = kind.DESCRIPTOR.full_name
    return invalid(Reason.OPTION_INVALID, "", f"expected a {name}, got bytes that are none")
