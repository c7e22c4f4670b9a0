"""The RPCs of a model service."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from diptych import Task
from diptych.segment import v1 as pb
from diptych.wire.cards import card_reply

from ..calls import log_fields, request_id
from ..engine.errors import not_held
from ..grpc_server.interceptor import unreadable
from ..ipc.lanes import lane_of
from ..machine import process_memory
from ..settings import RuntimeSettings
from ..wire.checks import check_model, check_request
from ..wire.split import SplitRequest, split, split_quickly
from .admission import Admission, Estimates, Kind, work_units
from .pending import EngineReply
from .stats import Stats
from .supervisor import Supervisor
from .video import VideoSessions

SERVICE = "diptych.segment.v1.SegmentService"
_OFF_LOOP_BYTES = 64 * 1024  # hashing more than this would stall other requests

Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer:
    """Answers ``SegmentService`` with one supervised engine.

    ``Segment`` and ``SegmentVideo`` take and give serialised messages: pictures go to the engine
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
        """All RPCs, to be added to a server."""
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

    def expect_batches(self, size: int) -> None:
        """The engine answers up to ``size`` requests on held pictures together."""
        self._admission.expect_batches(size)

    async def segment(self, raw: bytes, context: Context) -> bytes:
        """``Segment``: check, wait for a turn, have it answered."""
        received = time.monotonic()
        deadline = received + self._time_limit(context)
        asked = await _read(raw, self._card())
        engine = self._supervisor.engine
        held = engine is not None and asked.digest in engine.held
        if not (held or asked.picture):
            raise not_held(asked.digest or "")
        lane = lane_of(asked.task, held=held)
        estimate_s = self._estimates.seconds(Kind(asked.task, held), asked.units)
        log_fields(task=asked.task.value, bytes=len(raw))
        turn = await self._admission.turn(lane, estimate_s=estimate_s, deadline=deadline)
        with turn:
            engine = await self._supervisor.wait_ready(max(deadline - time.monotonic(), 0))
            reply = await engine.run(
                asked.rest,
                asked.picture,
                request_id=request_id(),
                digest=asked.digest,
                received=received,
                deadline=deadline,
                lane=lane,
                on_left=turn.hand_over(),
            )
        # In the next turn of the loop, so that the reply does not wait for it.
        asyncio.get_running_loop().call_soon(self._count, asked, reply)
        return reply.body

    def _count(self, asked: _Asked, reply: EngineReply) -> None:
        """Learn from an answer; ends before its line is logged and before another call is read."""
        self._estimates.learn(Kind(asked.task, reply.cache_hit), asked.units, reply.model_s)
        self.stats.count_reply(asked.task, reply)
        stages_ms = {f"{name}_ms": round(s * 1e3, 1) for name, s in reply.stages.items()}
        log_fields(held=reply.cache_hit, **stages_ms)

    async def segment_video(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """``SegmentVideo``: writes its replies itself, so that it knows when the client leaves."""
        await self.videos.serve(requests, context)

    async def get_model_card(
        self, request: pb.GetModelCardRequest, context: Context
    ) -> pb.GetModelCardResponse:
        """``GetModelCard``."""
        check_model(request.model_id, self._card())
        return card_reply(self._card())

    async def get_model_stats(
        self, request: pb.GetModelStatsRequest, context: Context
    ) -> pb.GetModelStatsResponse:
        """``GetModelStats``."""
        check_model(request.model_id, self._card())
        message = self.stats.message()
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
        asked = self._settings.default_deadline_s if left is None else left
        return min(asked, self._settings.max_deadline_s)


@dataclass(frozen=True)
class _Asked:
    """What is kept of a request."""

    task: Task
    digest: str | None
    """SHA-256 of the picture's file in hexadecimal, as sent or of the bytes sent. ``None``: nothing
    depends on it here, and the engine process hashes those bytes."""
    rest: bytes
    picture: memoryview
    """Both as ``split`` gives them."""
    units: float


async def _read(raw: bytes, card: pb.ModelCard) -> _Asked:
    """Parse and check a request."""
    try:
        if quick := split_quickly(raw):
            parts, task = quick, check_request(quick, card)
        else:
            parts, task = await asyncio.to_thread(_read_slowly, raw, card)
    except DecodeError as error:
        raise unreadable(raw) from error
    digest = await _digest(parts, task)
    return _Asked(task, digest, parts.rest, parts.picture, work_units(parts.request, task, card))


def _read_slowly(raw: bytes, card: pb.ModelCard) -> tuple[SplitRequest, Task]:
    parts = split(raw)
    return parts, check_request(parts, card)


async def _digest(parts: SplitRequest, task: Task) -> str | None:
    """For prompts it decides the lane: their picture may be held although it was sent."""
    if not parts.picture:
        return parts.request.image.sha256.hex()
    if lane_of(task, held=True) is lane_of(task, held=False):
        return None
    if len(parts.picture) <= _OFF_LOOP_BYTES:
        return _sha256(parts.picture)
    return await asyncio.to_thread(_sha256, parts.picture)


def _sha256(picture: memoryview) -> str:
    return hashlib.sha256(picture).hexdigest()
