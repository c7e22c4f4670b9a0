"""The RPCs of a model service."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from diptych.segment import v1 as pb

from .admission import Admission, Estimates, kind_of
from .checks import check_request
from .engine_client import EngineReply
from .errors import Reason, ServiceError, invalid
from .rpc import log_fields, request_id
from .settings import RuntimeSettings
from .stats import Stats
from .supervisor import Supervisor

SERVICE = "diptych.segment.v1.SegmentService"
_OFF_LOOP_BYTES = 256 * 1024  # parsing or hashing more than this would stall other requests

Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer:
    """Answers ``SegmentService`` with one supervised engine.

    ``Segment`` takes and gives serialised messages: requests go to the engine process as they
    came, and replies as it wrote them.
    """

    def __init__(self, supervisor: Supervisor, settings: RuntimeSettings) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._admission = Admission(settings)
        self._estimates = Estimates()
        self.stats = Stats()

    def handler(self) -> grpc.GenericRpcHandler:
        """All RPCs, to be added to a server."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Segment": grpc.unary_unary_rpc_method_handler(self.segment),
                "SegmentVideo": grpc.stream_stream_rpc_method_handler(
                    self.segment_video,
                    pb.SegmentVideoRequest.FromString,
                    pb.SegmentVideoResponse.SerializeToString,
                ),
                "GetModelCard": grpc.unary_unary_rpc_method_handler(
                    self.get_model_card,
                    pb.GetModelCardRequest.FromString,
                    pb.GetModelCardResponse.SerializeToString,
                ),
                "GetModelStats": grpc.unary_unary_rpc_method_handler(
                    self.get_model_stats,
                    pb.GetModelStatsRequest.FromString,
                    pb.GetModelStatsResponse.SerializeToString,
                ),
            },
        )

    async def segment(self, raw: bytes, context: Context) -> bytes:
        """``Segment``: check, wait for a turn, have it answered."""
        received = time.monotonic()
        deadline = received + self._time_limit(context)
        card = self._card()
        request = await _parse(raw)
        task = check_request(request, card)
        digest = await _digest(request.image)
        engine = self._supervisor.engine
        held = engine is not None and digest in engine.held
        if not held and not request.image.encoded:
            raise ServiceError(
                Reason.IMAGE_NOT_HELD,
                f"image.sha256: {digest[:12]}… is not held here; send the bytes",
                metadata={"sha256": digest},
            )
        interactive = held and request.task == pb.Task.TASK_PROMPTED_SEGMENTATION
        kind, units = kind_of(request, card, held=held)
        estimate_s = self._estimates.seconds(kind, units)
        log_fields(task=task.value, bytes=len(raw), held=held)
        async with self._admission.turn(
            interactive=interactive, estimate_s=estimate_s, deadline=deadline
        ):
            engine = await self._supervisor.wait_ready(max(deadline - time.monotonic(), 0))
            reply = await self._within(
                deadline,
                engine.run(
                    raw,
                    request_id=request_id(),
                    digest=digest,
                    received=received,
                    deadline=deadline,
                    interactive=interactive,
                ),
            )
        self._estimates.learn(kind, units, reply.model_s)
        self.stats.count_reply(reply)
        log_fields(**{f"{k}_ms": round(v * 1e3, 1) for k, v in reply.stages.items()})
        return reply.body

    async def segment_video(
        self, requests: AsyncIterator[pb.SegmentVideoRequest], context: Context
    ) -> AsyncIterator[pb.SegmentVideoResponse]:
        """``SegmentVideo``: no engine follows objects yet."""
        raise ServiceError(
            Reason.TASK_UNSUPPORTED,
            f"{self._card().id} does not do video-segmentation",
            metadata={"modelId": self._card().id},
        )
        yield  # makes this an asynchronous generator, which is what gRPC expects

    async def get_model_card(
        self, request: pb.GetModelCardRequest, context: Context
    ) -> pb.GetModelCardResponse:
        """``GetModelCard``."""
        self._check_model(request.model_id)
        return pb.GetModelCardResponse(model_card=self._card())

    async def get_model_stats(
        self, request: pb.GetModelStatsRequest, context: Context
    ) -> pb.GetModelStatsResponse:
        """``GetModelStats``."""
        self._check_model(request.model_id)
        message = self.stats.message()
        message.queue_length = self._admission.waiting
        message.running_count = self._admission.running
        message.engine_restart_count = self._supervisor.restarts
        if engine := self._supervisor.engine:
            message.held_image_count = len(engine.held)
            message.held_bytes = engine.held_bytes
        return message

    def _card(self) -> pb.ModelCard:
        if self._supervisor.card is None:
            raise self._supervisor.not_ready()
        return self._supervisor.card

    def _check_model(self, model_id: str) -> None:
        if model_id not in ("", self._card().id):
            raise ServiceError(
                Reason.MODEL_UNKNOWN,
                f"model_id: expected {self._card().id!r} or nothing, got {model_id[:100]!r}",
                metadata={"modelId": model_id[:100]},
            )

    def _time_limit(self, context: Context) -> float:
        left = context.time_remaining()
        if left is None:
            return self._settings.default_deadline_s
        return min(left, self._settings.max_deadline_s)

    async def _within(self, deadline: float, answer: Any) -> EngineReply:
        """The reply, or DEADLINE as soon as the deadline is there: a step may take longer."""
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                reply: EngineReply = await answer
                return reply
        except TimeoutError as error:
            text = "the deadline passed while the model was working"
            raise ServiceError(Reason.DEADLINE, text) from error


async def _parse(raw: bytes) -> pb.SegmentRequest:
    try:
        if len(raw) > _OFF_LOOP_BYTES:
            return await asyncio.to_thread(pb.SegmentRequest.FromString, raw)
        return pb.SegmentRequest.FromString(raw)
    except DecodeError as error:
        raise invalid(Reason.OPTION_INVALID, "request", "expected a SegmentRequest") from error


async def _digest(image: pb.Image) -> str:
    """SHA-256 of the picture's file in hexadecimal, as sent or of the bytes sent."""
    if image.sha256:
        return image.sha256.hex()
    if len(image.encoded) > _OFF_LOOP_BYTES:
        return (await asyncio.to_thread(hashlib.sha256, image.encoded)).hexdigest()
    return hashlib.sha256(image.encoded).hexdigest()
