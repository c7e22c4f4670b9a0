"""What every request to the gateway has: a message, read off the loop if large, and a deadline.

From its one deadline every part of its work takes what is left. gRPC sends a timeout with three
digits and rounds it up (``timeout_encoding.cc`` of its core): 12.345 s arrive as 12.4 s, 301.2 s
as 302 s. And it may send an older timeout that is up to 3 % longer, unless the connection has no
header table; channels here have none, but a server that wants none is one that HAProxy cannot talk
to. A server that believes them answers after its client has left.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from diptych.segment import v1 as pb
from diptych.wire.fields import SMALL_BYTES
from diptych.wire.requests import read_checked, read_request, read_size
from diptych_runtime.calls import charge
from diptych_runtime.engine import Reason, ServiceError, invalid

from .settings import Settings

_OLDER = 1.03
_TICK_S = 0.002  # before it takes three digits gRPC rounds to milliseconds, up as well

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Deadline:
    """Until when a reply is due, on the monotonic clock, and what is kept to write it."""

    at_s: float
    reserve_s: float

    @classmethod
    def of(cls, context: grpc.aio.ServicerContext[Any, Any], settings: Settings) -> Deadline:
        """Read the client's deadline, bounded; the default for a call that came without one."""
        return cls.within(_time_left_s(context), settings)

    @classmethod
    def within(
        cls, timeout_s: float | None, settings: Settings, *, since_s: float | None = None
    ) -> Deadline:
        """Make one so many seconds from now, or from ``since_s`` on that clock; bounded."""
        timeout_s = settings.default_deadline_s if timeout_s is None else timeout_s
        began_s = time.monotonic() if since_s is None else since_s
        return cls(began_s + min(timeout_s, settings.max_deadline_s), settings.deadline_reserve_s)

    @classmethod
    def of_session(
        cls, context: grpc.aio.ServicerContext[Any, Any], settings: Settings
    ) -> Deadline | None:
        """Read the client's deadline as it is; ``None`` for a session that came without one."""
        return cls.of_session_within(_time_left_s(context), settings)

    @classmethod
    def of_session_within(cls, timeout_s: float | None, settings: Settings) -> Deadline | None:
        """Make one so many seconds from now, not bounded; ``None`` for none."""
        if timeout_s is None:
            return None
        return cls(time.monotonic() + timeout_s, settings.deadline_reserve_s)

    def for_backend_s(self) -> float:
        """Compute the seconds that a model may take, in three digits; not positive if too late."""
        left = self.at_s - self.reserve_s - time.monotonic()
        unit = _unit_s(left)
        return math.floor(left / unit) * unit - _TICK_S

    def for_agreement_s(self) -> float:
        """Compute the seconds that comparing answers may take."""
        return self.at_s - self.reserve_s / 2 - time.monotonic()


def _time_left_s(context: grpc.aio.ServicerContext[Any, Any]) -> float | None:
    """Return what the client waits for at the least; ``None`` if it has no deadline."""
    left = context.time_remaining()
    # grpcio says None for no deadline, though its types say float.
    return None if left is None else at_least_s(left) / _OLDER


def at_least_s(timeout_s: float) -> float:
    """Return what the timeout that arrived as this was before gRPC rounded it up, at the least."""
    return timeout_s - _unit_s(timeout_s) - _TICK_S


def _unit_s(timeout_s: float) -> float:
    """Return a unit of the third digit, at least 1 ms."""
    digits = math.floor(math.log10(max(timeout_s, 0.1)))
    return float(10.0 ** (digits - 2))


async def parse(kind: type[M], raw: bytes) -> M:
    """Read a message.

    Raises:
        DecodeError: the bytes are none.
    """
    if len(raw) > SMALL_BYTES:
        return await asyncio.to_thread(kind.FromString, raw)
    return kind.FromString(raw)


async def parse_request(kind: type[M], raw: bytes) -> M:
    """Read what a client sent.

    Raises:
        ServiceError: the bytes are no such message.
    """
    try:
        if len(raw) > SMALL_BYTES:
            return await asyncio.to_thread(read_checked, kind, raw)
        return kind.FromString(raw)
    except DecodeError as error:
        raise malformed(kind) from error


async def parse_segment_request(raw: bytes) -> tuple[pb.SegmentRequest, bytes | memoryview]:
    """Read a ``SegmentRequest`` that a client sent, and take its image's file out.

    Raises:
        ServiceError: the bytes are no such message.
    """
    try:
        if read_size(raw) > SMALL_BYTES:
            return await asyncio.to_thread(read_request, raw)
        return read_request(raw)
    except DecodeError as error:
        raise malformed(pb.SegmentRequest) from error


async def charge_reply(
    kind: type[pb.SegmentResponse | pb.SegmentVideoResponse], raw: bytes
) -> None:
    """Charge who pays for the request being served with the time that a model worked for a reply:
    encoding the image and predicting, as the reply says."""
    try:
        reply = await parse(kind, raw)
    except DecodeError:
        return
    timings = (reply.frame if isinstance(reply, pb.SegmentVideoResponse) else reply).timings
    device_ns = timings.encode.ToNanoseconds() + timings.predict.ToNanoseconds()
    if device_ns > 0:
        charge(device_ns / 1e9)


async def serialize(message: Message) -> bytes:
    """Write a message."""
    if message.ByteSize() > SMALL_BYTES:
        return await asyncio.to_thread(message.SerializeToString)
    return message.SerializeToString()


def malformed(kind: type[Message]) -> ServiceError:
    """Make the error for a client's bytes that are no message of a kind."""
    name = kind.DESCRIPTOR.full_name
    return invalid(Reason.OPTION_INVALID, "", f"expected a {name}, got bytes that are none")
