"""The RPCs of a model service."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc

from diptych import Task
from diptych.segment import v1 as pb
from diptych.wire.cards import card_reply
from diptych.wire.fields import SMALL_BYTES
from diptych.wire.replies import duration
from diptych.wire.requests import read_size

from ..calls import log_fields, request_id, tenant
from ..engine.errors import ServiceError, not_held
from ..ipc.lanes import Lane
from ..machine import process_memory
from ..quarantine import ended_engine
from ..settings import RuntimeSettings
from ..wire.checks import check_model, read_checked_request
from ..wire.image_files import pixel_count
from .admission import Admission, Estimates, Kind, lane_of, work_units
from .stats import Stats
from .supervisor import Supervisor
from .video_sessions import VideoSessions
from .worker_client import EngineReply, PendingRequest

SERVICE = "diptych.segment.v1.SegmentService"
# More than this would stall other requests.
_HASH_OFF_LOOP_BYTES = 64 * 1024

Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer:
    """Answers ``SegmentService`` with one supervised engine.

    ``Segment`` and ``SegmentVideo`` take and give serialised messages: images go to the engine
    process as they came, and replies out as it wrote them.
    """

    def __init__(self, supervisor: Supervisor, settings: RuntimeSettings) -> None:
        self._supervisor = supervisor
        self._settings = settings
        self._admission = Admission(settings)
        self._estimates = Estimates()
        self.stats = Stats()
        self.videos = VideoSessions(supervisor, settings)

    def handler(self) -> grpc.GenericRpcHandler:
        """Return all RPCs, to be added to a server."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Segment": grpc.unary_unary_rpc_method_handler(self.segment),
                "SegmentVideo": grpc.stream_stream_rpc_method_handler(self.segment_video),
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

    @property
    def in_service(self) -> int:
        """Requests that wait or run, and open video sessions."""
        return self._admission.waiting + self._admission.running + self.videos.count

    def expect_batches(self, size: int) -> None:
        """Prepare for an engine that answers up to ``size`` requests on held images together."""
        self._admission.expect_batches(size)

    async def segment(self, raw: bytes, context: Context) -> bytes:
        """Answer ``Segment``: check, wait for a permit, have the engine process answer."""
        received = time.monotonic()
        request = await self._read(raw, received, received + self._time_limit(context))
        engine = self._supervisor.engine
        held = engine is not None and request.digest in engine.held
        if not (held or request.encoded):
            raise not_held(request.digest or "")
        request.lane = lane_of(request.task, held=held)
        kind = Kind(request.task, held)
        estimate_s = self._estimates.seconds(kind, request.work_units)
        log_fields(task=request.task.value, bytes=len(raw))
        deadline = request.deadline
        permit = await self._admission.permit(
            request.lane, estimate_s=estimate_s, deadline=deadline, tenant=request.tenant
        )
        with permit:
            engine = self._supervisor.engine
            if engine is None:
                engine = await self._supervisor.wait_ready(max(deadline - time.monotonic(), 0))
            request.estimate_s = 0.0 if permit.alone else estimate_s
            release = permit.hand_over()

            def released(model_s: float) -> None:
                if request.answer.done():  # late, or its caller has gone: what it took is known
                    self._estimates.learn_at_least(kind, request.work_units, model_s)
                self.stats.device_s += model_s
                release(model_s)

            try:
                reply = await engine.run(request, on_released=released)
            except ServiceError:
                if request.suspected and _is_retry(context):
                    # It has met the end of two engines: gRPC would try it a third time.
                    self._supervisor.quarantine.add(request.digest or "")
                    raise ended_engine() from None
                raise
        # In the next iteration of the loop, so that the reply does not wait for it.
        asyncio.get_running_loop().call_soon(self._count, request, reply)
        return reply.body

    async def _read(self, raw: bytes, received: float, deadline: float) -> PendingRequest:
        read = partial(_pending_request, raw, self._card(), received, deadline)
        large = read_size(raw) > SMALL_BYTES
        request = await asyncio.to_thread(read) if large else read()
        # The digest decides the lane of prompts: their image may be held although it was sent.
        quarantine = self._supervisor.quarantine
        prompted = request.task is Task.PROMPTED_SEGMENTATION
        if request.encoded and prompted:
            self._check_hope(request)
        if request.encoded and (prompted or quarantine.digests):
            request.digest = await _sha256(request.encoded)
        if quarantine.digests:
            quarantine.check(request.digest or "")
        return request

    def _check_hope(self, request: PendingRequest) -> None:
        """Refuse prompts that cannot be answered in time before their image is hashed."""
        engine = self._supervisor.engine
        lanes = [False, True] if engine is not None and engine.held else [False]
        for held in lanes:
            estimate_s = self._estimates.seconds(Kind(request.task, held), request.work_units)
            try:
                self._admission.check_hope(
                    lane_of(request.task, held=held),
                    estimate_s=estimate_s,
                    deadline=request.deadline,
                    tenant=request.tenant,
                )
                return
            except ServiceError as error:
                refusal = error
        raise refusal

    def _count(self, request: PendingRequest, reply: EngineReply) -> None:
        """Learn from an answer; ends before its line is logged and before another call is read."""
        kind = Kind(request.task, reply.cache_hit)
        # Decoding is part of it: what has many pixels is expected to take longer for those.
        seconds = reply.model_s + reply.stages["decode"]
        self._estimates.learn(kind, request.work_units, seconds)
        self.stats.count_reply(request.task, reply)
        stages_ms = {f"{name}_ms": round(s * 1e3, 1) for name, s in reply.stages.items()}
        log_fields(held=reply.cache_hit, **stages_ms)

    async def segment_video(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Answer ``SegmentVideo``; writes its replies itself, so that it knows when the client
        leaves."""
        await self.videos.serve(requests, context)

    async def get_model_card(
        self, request: pb.GetModelCardRequest, context: Context
    ) -> pb.GetModelCardResponse:
        """Answer ``GetModelCard``."""
        check_model(request.model_id, self._card())
        return card_reply(self._card())

    async def get_model_stats(
        self, request: pb.GetModelStatsRequest, context: Context
    ) -> pb.GetModelStatsResponse:
        """Answer ``GetModelStats``."""
        check_model(request.model_id, self._card())
        return self.figures()

    def waits_s(self) -> dict[Lane, float]:
        """Estimate how long a new request of each lane would wait, in seconds."""
        return {lane: self._admission.wait_s(lane) for lane in Lane}

    def figures(self) -> pb.GetModelStatsResponse:
        """Say what was done and what there is at this moment, with or without an engine."""
        message = self.stats.message()
        message.queue_wait.CopyFrom(duration(max(self.waits_s().values())))
        message.device_time.CopyFrom(duration(self.stats.device_s + self.videos.model_s))
        message.queue_length = self._admission.waiting
        message.running_count = self._admission.running
        message.session_count = self.videos.count
        message.engine_restart_count = self._supervisor.restarts
        if engine := self._supervisor.engine:
            message.held_image_count = len(engine.held)
            message.held_bytes = engine.held_bytes
            message.device = engine.device
            message.device_peak_memory_bytes = engine.device_peak_bytes
            memory = process_memory(engine.pid)
            message.engine_memory_bytes = memory.now
            message.engine_peak_memory_bytes = memory.peak
        return message

    def _card(self) -> pb.ModelCard:
        if self._supervisor.card is None:
            raise self._supervisor.not_ready()
        return self._supervisor.card

    def _time_limit(self, context: Context) -> float:
        left = context.time_remaining()
        wanted = self._settings.default_deadline_s if left is None else left
        return min(wanted, self._settings.max_deadline_s)


def _pending_request(
    raw: bytes, card: pb.ModelCard, received: float, deadline: float
) -> PendingRequest:
    """Parse and check a serialised ``SegmentRequest``."""
    message, encoded, task = read_checked_request(raw, card)
    return PendingRequest(
        request_id=request_id(),
        task=task,
        message=message.SerializeToString(),
        encoded=encoded,
        received=received,
        deadline=deadline,
        digest=None if encoded else message.image.sha256.hex(),
        work_units=work_units(message, task, card, pixel_count(encoded)),
        tenant=tenant(),
    )


def _is_retry(context: Context) -> bool:
    """Whether gRPC itself has sent this call again."""
    return any(
        key == "grpc-previous-rpc-attempts" for key, _ in context.invocation_metadata() or ()
    )


async def _sha256(encoded: bytes | memoryview) -> str:
    if len(encoded) <= _HASH_OFF_LOOP_BYTES:
        return hashlib.sha256(encoded).hexdigest()
    return await asyncio.to_thread(lambda: hashlib.sha256(encoded).hexdigest())
