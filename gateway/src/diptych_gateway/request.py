"""What every request to the gateway has: a message, read off the loop if large, a deadline, and a
place at the model that it is for.

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
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from diptych.segment import v1 as pb
from diptych.wire.fields import SMALL_BYTES
from diptych.wire.requests import read_checked, read_request, read_size
from diptych_runtime.calls import account_name
from diptych_runtime.engine import Reason, ServiceError, invalid
from diptych_runtime.payers import charge

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


class Permits:
    """Bounds the calls to one replica, or to a cascade: further ones are refused, not queued.

    A token holds at most as much as is left free (dynamic thresholds, Choudhury and Hahne, IEEE/ACM
    Transactions on Networking 6, 1998): alone half of it, and of n greedy ones each 1 / (n + 1),
    so that room is left for the next. What no token pays for takes all of it.
    """

    def __init__(self, model_id: str, *, requests: int, request_bytes: int) -> None:
        self._model_id = model_id
        self._max_requests = requests
        self._max_bytes = request_bytes
        self._bytes = 0
        self._requests_of: Counter[str] = Counter()
        self._bytes_of: Counter[str] = Counter()
        self.in_flight = 0

    @contextmanager
    def taken(self, request_bytes: int = 0) -> Iterator[None]:
        """Count one more call while it is held.

        Raises:
            ServiceError: the model, or the caller's share of it, has too many already, or too many
                bytes with these.
        """
        name = account_name()
        free, free_bytes = self._max_requests - self.in_flight, self._max_bytes - self._bytes
        held = self._requests_of[name] if name else 0
        held_bytes = self._bytes_of[name] if name else 0
        if held >= free or held_bytes + request_bytes > free_bytes:
            raise ServiceError(
                Reason.QUEUE_FULL,
                f"model {self._model_id!r} has {self.in_flight} requests waiting already",
                metadata={"modelId": self._model_id},
                retry_after_s=1.0,
            )
        self.in_flight += 1
        self._requests_of[name] += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._requests_of[name] -= 1

    @contextmanager
    def holding(self, message: bytes) -> Iterator[None]:
        """Count the bytes of a message while it is sent or kept."""
        name = account_name()
        self._bytes += len(message)
        self._bytes_of[name] += len(message)
        try:
            yield
        finally:
            self._bytes -= len(message)
            self._bytes_of[name] -= len(message)


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
