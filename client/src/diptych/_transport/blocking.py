"""The wire of ``Client``; ``_async_transport`` is its twin."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

import grpc
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
from .channel import ChannelOptions
from .timeouts import Timeout
from .tls import TlsOptions
from .token import Token

_RequestT = TypeVar("_RequestT", bound=Message)
_ReplyT = TypeVar("_ReplyT")


class Transport(BaseTransport):
    """One channel and every call that can go through it."""

    def __init__(
        self,
        address: str | None,
        *,
        timeout: float | None,
        retry: bool,
        options: ChannelOptions,
        tls: bool | TlsOptions | None,
        token: Token | None,
    ) -> None:
        super().__init__(
            address, timeout=timeout, retry=retry, options=options, tls=tls, token=token
        )
        self._channel = (
            grpc.insecure_channel(self.address, options=self._arguments)
            if self._credentials is None
            else grpc.secure_channel(self.address, self._credentials, options=self._arguments)
        )
        self.segments = pb.SegmentServiceStub(self._channel)
        self.gateway = pb.GatewayServiceStub(self._channel)
        self.health: grpc.UnaryUnaryMultiCallable[
            health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        ] = health_pb2_grpc.HealthStub(self._channel).Check

    def rpc(
        self,
        method: grpc.UnaryUnaryMultiCallable[_RequestT, _ReplyT],
        request: _RequestT,
        timeout: Timeout | Deadline,
    ) -> _ReplyT:
        """A unary call."""
        return self._send(method, request, self.deadline(timeout))

    def _send(
        self,
        method: grpc.UnaryUnaryMultiCallable[_RequestT, _ReplyT],
        request: _RequestT,
        deadline: Deadline,
    ) -> _ReplyT:
        # The one way of every unary call: size, deadline, attempts, and errors of our own kind.
        patience = Patience(deadline)
        while True:
            self.check(request)
            told = CallLog(request)
            try:
                reply = method(request, timeout=deadline.left(), metadata=self.metadata())
            except grpc.RpcError as failure:
                error = self.error(failure, deadline)
                told.failed(error)
                wait_s = patience.wait_s(error)
                if wait_s is None or self._closed:
                    raise error from failure
            else:
                told.answered(reply)
                return reply
            time.sleep(wait_s)

    def ask(
        self,
        method: grpc.UnaryUnaryMultiCallable[_RequestT, _ReplyT],
        image: ImageLike,
        build: RequestBuilder[_RequestT],
        quality: JpegQuality,
        timeout: Timeout | Deadline,
    ) -> _ReplyT:
        """A unary call about an image, by digest where the server should hold it."""
        deadline = self.deadline(timeout)
        attempts = Attempts(self._sent, encode_image(image, quality))
        try:
            reply = self._send(method, build(attempts.source()), deadline)
        except ImageNotHeldError:
            if not attempts.by_digest:
                raise
            attempts.not_held()
            reply = self._send(method, build(attempts.source()), deadline)
        attempts.held()
        return reply

    def stream_compare(
        self,
        image: ImageLike,
        build: RequestBuilder[pb.StreamCompareRequest],
        quality: JpegQuality,
        timeout: Timeout,
    ) -> Iterator[pb.StreamCompareResponse]:
        """The events of a streamed comparison; starts when the first is taken."""
        deadline = self.deadline(timeout)
        attempts = Attempts(self._sent, encode_image(image, quality))
        try:
            yield from self._events(build(attempts.source()), deadline)
        except ImageNotHeldError:
            if not attempts.by_digest:
                raise
            attempts.not_held()
            yield from self._events(build(attempts.source()), deadline)
        attempts.held()

    def _events(
        self, request: pb.StreamCompareRequest, deadline: Deadline
    ) -> Iterator[pb.StreamCompareResponse]:
        patience, begun = Patience(deadline), False
        while True:
            self.check(request)
            told = CallLog(request)
            call = self.gateway.StreamCompare(
                request, timeout=deadline.left(), metadata=self.metadata()
            )
            try:
                for event in call:
                    begun = True
                    yield event
                told.answered()
                return
            except grpc.RpcError as failure:
                error = self.error(failure, deadline)
                told.failed(error)
                wait_s = patience.wait_s(error)
                if wait_s is None or begun or self._closed:
                    raise error from failure
            finally:
                call.cancel()
            time.sleep(wait_s)

    def open_video(
        self, requests: Iterator[pb.SegmentVideoRequest], deadline: Deadline
    ) -> Iterator[pb.SegmentVideoResponse]:
        """A video session, whose messages gRPC takes from ``requests`` in a thread of its own."""
        self.check_open()
        session_opened()
        return self.segments.SegmentVideo(
            requests, timeout=deadline.left(), metadata=self.metadata()
        )

    def close(self) -> None:
        """Closes the channel; calls that are on their way are cancelled."""
        self._closed = True
        self._channel.close()
