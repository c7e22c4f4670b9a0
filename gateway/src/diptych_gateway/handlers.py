"""Both services of the gateway, as handlers of raw bytes.

Bytes in and bytes out, so that an image that is only passed on is never serialised again and
messages of megabytes are read off the event loop.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor

from diptych.segment import v1 as pb
from diptych.wire.cards import cards_reply
from diptych_runtime.calls import log_fields, request_id
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.grpc_server.interceptor import abort_with

from .backend.channels import OWN_ID
from .backend.images import ImageCache, SentImage
from .backend.registry import Registry
from .backend.video_relay import read_start
from .compare.comparison import plan
from .compare.fanout import FanOut
from .compare.replies import ComparisonStream, compared
from .contract import SERVICES, is_unary
from .request import Deadline, parse_request, parse_segment_request, serialize
from .settings import Settings
from .statuses import BackendError

_Context = grpc.aio.ServicerContext[Any, Any]
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Handlers:
    """What the gateway does for each method of the contract, under the method's name."""

    def __init__(self, settings: Settings, registry: Registry, cache: ImageCache) -> None:
        self._settings = settings
        self._registry = registry
        self._cache = cache

    def generic(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Make the handlers as a server takes them."""
        return tuple(
            grpc.method_handlers_generic_handler(
                service.full_name,
                {method.name: self._handler(method) for method in service.methods},
            )
            for service in SERVICES
        )

    def _handler(self, method: MethodDescriptor) -> _Handler:
        behaviour = getattr(self, re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower())
        handler: _Handler
        if is_unary(method):
            handler = grpc.unary_unary_rpc_method_handler(_with_rich_status(behaviour))
        elif method.client_streaming:
            handler = grpc.stream_stream_rpc_method_handler(behaviour)
        else:
            handler = grpc.unary_stream_rpc_method_handler(behaviour)
        return handler

    async def segment(self, raw: bytes, context: _Context) -> bytes:
        """Pass a ``SegmentRequest`` on to its model."""
        deadline = Deadline.of(context, self._settings)
        request, encoded = await parse_segment_request(raw)
        log_fields(model=request.model_id[:100], request_bytes=len(raw))
        model = self._registry.model(request.model_id)
        image = SentImage(request.image, self._cache, encoded)
        reply = await model.segment(raw, image, deadline)
        await image.hold_for(reply)
        return reply

    async def segment_video(
        self, requests: AsyncIterator[bytes], context: _Context
    ) -> AsyncIterator[bytes]:
        """Pass a session on to the model that its first message names."""
        deadline = Deadline.of_session(context, self._settings)
        start, model_id = await read_start(requests, within_s=self._settings.default_deadline_s)
        log_fields(model=model_id[:100])
        relay = self._registry.model(model_id).video(start, requests, deadline)
        # A generator that is left in a yield is closed late, and the model would work on.
        context.add_done_callback(lambda _: relay.cancel())  # type: ignore[arg-type]
        try:
            with self._registry.sessions.opened(relay):
                async for reply in relay.answers():
                    yield reply
        except BackendError as error:
            log_fields(backend_reason=error.reason)
            await abort_with(context, error.status)

    async def get_model_card(self, raw: bytes, context: _Context) -> bytes:
        """Pass a ``GetModelCardRequest`` on to its model."""
        request = await parse_request(pb.GetModelCardRequest, raw)
        if request_id() == OWN_ID:
            raise ServiceError(Reason.MODEL_UNKNOWN, "this is the gateway that asks")
        return await self._pass_on("GetModelCard", request.model_id, raw, context)

    async def get_model_stats(self, raw: bytes, context: _Context) -> bytes:
        """Pass a ``GetModelStatsRequest`` on to its model."""
        request = await parse_request(pb.GetModelStatsRequest, raw)
        return await self._pass_on("GetModelStats", request.model_id, raw, context)

    async def _pass_on(self, method: str, model_id: str, raw: bytes, context: _Context) -> bytes:
        log_fields(model=model_id[:100])
        model = self._registry.model(model_id)
        deadline = Deadline.of(context, self._settings)
        return await model.call(method, raw, timeout_s=deadline.for_backend_s())

    async def compare(self, raw: bytes, context: _Context) -> bytes:
        """Answer a ``CompareRequest``: every result in the order asked, then the agreements."""
        fan_out = await self._fan_out(pb.CompareRequest, raw, context)
        return await serialize(await compared(fan_out))

    async def stream_compare(self, raw: bytes, context: _Context) -> AsyncIterator[bytes]:
        """Answer a ``StreamCompareRequest``: results as they come, the agreements last."""
        fan_out = await self._fan_out(pb.StreamCompareRequest, raw, context)
        stream = ComparisonStream(fan_out)
        context.add_done_callback(lambda _: stream.cancel())  # type: ignore[arg-type]
        async for event in stream.events():
            yield await serialize(event)

    async def list_model_cards(self, raw: bytes, context: _Context) -> bytes:
        """Answer a ``ListModelCardsRequest`` from what is known, asking nobody."""
        await parse_request(pb.ListModelCardsRequest, raw)
        models = self._registry.known_models()
        return await serialize(cards_reply(models))

    async def _fan_out(
        self,
        kind: type[pb.CompareRequest] | type[pb.StreamCompareRequest],
        raw: bytes,
        context: _Context,
    ) -> FanOut:
        deadline = Deadline.of(context, self._settings)
        message = await parse_request(kind, raw)
        compare = message.compare if isinstance(message, pb.StreamCompareRequest) else message
        planned = plan(compare, self._registry)
        log_fields(models=list(planned.model_ids), request_bytes=len(raw))
        return FanOut(planned, self._registry, self._cache, deadline)


def _with_rich_status(
    behaviour: Callable[[bytes, _Context], Awaitable[bytes]],
) -> Callable[[bytes, _Context], Awaitable[bytes]]:
    """Pass a model's own status to the client with its details."""

    async def answer(raw: bytes, context: _Context) -> bytes:
        try:
            return await behaviour(raw, context)
        except BackendError as error:
            log_fields(backend_reason=error.reason)
            await abort_with(context, error.status)
            raise AssertionError("abort returned") from error

    return answer
