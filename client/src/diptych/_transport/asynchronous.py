"""The wire of ``AsyncClient``; ``_transport`` is its twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from .._arguments import ImageLike, encode_image
from .._pictures.encoding import JpegQuality
from .._types.errors import ImageNotHeldError
from ..segment import v1 as pb
from .calls import (
    Attempts,
    BaseTransport,
    CallLog,
    Deadline,
    Patience,
    RequestBuilder,
    session_opened,
)
from .timeouts import Timeout

if TYPE_CHECKING:
    from ..segment.v1.gateway_service_pb2_grpc import GatewayServiceAsyncStub
    from ..segment.v1.segment_service_pb2_grpc import SegmentServiceAsyncStub

_RequestT = TypeVar("_RequestT", bound=Message)
_ReplyT = TypeVar("_ReplyT")
_MessageT = TypeVar("_MessageT", bound=Message)


_READ_IN_THREAD_FROM = 256 * 1024  # masks of this size take about 20 ms to read


async def read(convert: Callable[[_MessageT], _ReplyT], message: _MessageT) -> _ReplyT:
    """``convert`` of a reply, outside the event loop if it is large."""
    if message.ByteSize() < _READ_IN_THREAD_FROM:
        return convert(message)
    return await asyncio.to_thread(convert, message)


@dataclass
class _Wires:
    """The channel of one event loop, and the methods that go through it."""

    channel: grpc.aio.Channel
    segments: SegmentServiceAsyncStub
    gateway: GatewayServiceAsyncStub
    health: grpc.aio.UnaryUnaryMultiCallable[
        health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
    ]


class AsyncTransport(BaseTransport):
    """A channel for each event loop, and every call that can go through it.

    It is made by the first call, since it belongs to the event loop that runs then.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._by_loop: dict[asyncio.AbstractEventLoop, _Wires] = {}

    @property
    def _wires(self) -> _Wires:
        loop = asyncio.get_running_loop()
        found = self._by_loop.get(loop)
        if found is None:
            # A loop that is closed has taken its calls with it: asyncio.run, once more.
            for over in [each for each in list(self._by_loop) if each.is_closed()]:
                self._by_loop.pop(over, None)
            found = self._by_loop[loop] = self._connect()
        return found

    def _connect(self) -> _Wires:
        channel = (
            grpc.aio.insecure_channel(self.address, options=self._arguments)
            if self._credentials is None
            else grpc.aio.secure_channel(self.address, self._credentials, options=self._arguments)
        )
        return _Wires(
            channel,
            pb.SegmentServiceStub(channel),
            pb.GatewayServiceStub(channel),
            health_pb2_grpc.HealthStub(channel).Check,
        )

    @property
    def segments(self) -> SegmentServiceAsyncStub:
        """Methods of ``SegmentService``."""
        return self._wires.segments

    @property
    def gateway(self) -> GatewayServiceAsyncStub:
        """Methods of ``GatewayService``."""
        return self._wires.gateway

    @property
    def health(
        self,
    ) -> grpc.aio.UnaryUnaryMultiCallable[
        health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
    ]:
        """The standard health check."""
        return self._wires.health

    async def rpc(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_RequestT, _ReplyT],
        request: _RequestT,
        timeout: Timeout | Deadline,
    ) -> _ReplyT:
        """A unary call."""
        return await self._send(method, request, self.deadline(timeout))

    async def _send(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_RequestT, _ReplyT],
        request: _RequestT,
        deadline: Deadline,
    ) -> _ReplyT:
        # The one way of every unary call: size, deadline, attempts, and errors of our own kind.
        patience = Patience(deadline)
        while True:
            self.check(request)
            told = CallLog(request)
            try:
                reply = await method(request, timeout=deadline.left(), metadata=self.metadata())
            except grpc.aio.AioRpcError as failure:
                error = self.error(failure, deadline)
                told.failed(error)
                wait_s = patience.wait_s(error)
                if wait_s is None or self._closed:
                    raise error from failure
            else:
                told.answered(reply)
                return reply
            await asyncio.sleep(wait_s)

    async def ask(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_RequestT, _ReplyT],
        image: ImageLike,
        build: RequestBuilder[_RequestT],
        quality: JpegQuality,
        timeout: Timeout | Deadline,
    ) -> _ReplyT:
        """A unary call about an image, by digest where the server should hold it."""
        deadline = self.deadline(timeout)
        attempts = await self._attempts(image, quality)
        try:
            reply = await self._send(method, build(attempts.source()), deadline)
        except ImageNotHeldError:
            if not attempts.by_digest:
                raise
            attempts.not_held()
            reply = await self._send(method, build(attempts.source()), deadline)
        attempts.held()
        return reply

    async def stream_compare(
        self,
        image: ImageLike,
        build: RequestBuilder[pb.StreamCompareRequest],
        quality: JpegQuality,
        timeout: Timeout,
    ) -> AsyncGenerator[pb.StreamCompareResponse, None]:
        """The events of a streamed comparison; starts when the first is taken."""
        deadline = self.deadline(timeout)
        attempts = await self._attempts(image, quality)
        try:
            async with aclosing(self._events(build(attempts.source()), deadline)) as events:
                async for event in events:
                    yield event
        except ImageNotHeldError:
            if not attempts.by_digest:
                raise
            attempts.not_held()
            async with aclosing(self._events(build(attempts.source()), deadline)) as events:
                async for event in events:
                    yield event
        attempts.held()

    async def _events(
        self, request: pb.StreamCompareRequest, deadline: Deadline
    ) -> AsyncGenerator[pb.StreamCompareResponse, None]:
        patience, begun = Patience(deadline), False
        while True:
            self.check(request)
            told = CallLog(request)
            call = self.gateway.StreamCompare(
                request, timeout=deadline.left(), metadata=self.metadata()
            )
            try:
                async for event in call:
                    begun = True
                    yield event
                told.answered()
                return
            except grpc.aio.AioRpcError as failure:
                error = self.error(failure, deadline)
                told.failed(error)
                wait_s = patience.wait_s(error)
                if wait_s is None or begun or self._closed:
                    raise error from failure
            finally:
                call.cancel()
            await asyncio.sleep(wait_s)

    def open_video(
        self, requests: AsyncIterator[pb.SegmentVideoRequest], deadline: Deadline
    ) -> grpc.aio.StreamStreamCall[pb.SegmentVideoRequest, pb.SegmentVideoResponse]:
        """A video session, whose messages gRPC takes from ``requests`` in a task of its own."""
        self.check_open()
        session_opened()
        return self.segments.SegmentVideo(
            requests, timeout=deadline.left(), metadata=self.metadata()
        )

    async def _attempts(self, image: ImageLike, quality: JpegQuality) -> Attempts:
        # Reading, encoding and hashing take milliseconds a megabyte: not in the event loop.
        return await asyncio.to_thread(lambda: Attempts(self._sent, encode_image(image, quality)))

    async def aclose(self) -> None:
        """Closes the channels; calls that are on their way in this event loop are cancelled."""
        self._closed = True
        here = self._by_loop.pop(asyncio.get_running_loop(), None)
        for loop, wires in self._by_loop.items():
            if not loop.is_closed():  # else its calls have ended with it
                asyncio.run_coroutine_threadsafe(wires.channel.close(), loop)
        self._by_loop = {}
        if here is not None:
            await here.channel.close()
