"""One image to several models: each one's result as it comes, then how far they agree.

Every model has its own outcome; nothing that happens to one is felt by the others. All work lives
in one task group, so it ends when the caller leaves.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from diptych.limits import MAX_REPLY_BYTES
from diptych.segment import v1 as pb
from diptych.wire.comparison import outcome_message
from diptych.wire.serialized import with_model_id
from diptych.wire.statuses import status_message
from diptych_runtime.calls import request_id
from diptych_runtime.engine import ServiceError

from ..backend.images import ImageCache, SentImage
from ..backend.registry import Registry
from ..request import Deadline, parse, serialize
from ..statuses import BackendError, failed, task_unsupported, to_status
from .agreement import Answer, Basis, StoppedError, agree
from .comparison import Plan
from .wire import to_answer, to_message

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

Emit = Callable[[pb.ModelResult], None]
"""Called with each model's result, as it comes."""


@dataclass(frozen=True)
class FanOut:
    """Runs one comparison."""

    plan: Plan
    registry: Registry
    cache: ImageCache
    deadline: Deadline

    async def run(self, emit: Emit) -> list[pb.Agreement]:
        """Ask every model, call ``emit`` with each result; returns the agreements.

        Pairs that cannot be compared, or not in time, are left out and logged.
        """
        shared = await serialize(self.plan.request)
        image = SentImage(self.plan.request.image, self.cache)
        agreements = _Agreements(self.plan, self.deadline)
        async with asyncio.TaskGroup() as group:
            for model_id in self.plan.model_ids:
                ask = partial(self._ask, model_id, shared, image)
                group.create_task(self._one(model_id, ask, emit, agreements, group))
        return agreements.in_order()

    async def _one(
        self,
        model_id: str,
        ask: Callable[[], Awaitable[pb.SegmentResponse]],
        emit: Emit,
        agreements: _Agreements,
        group: asyncio.TaskGroup,
    ) -> None:
        started = time.monotonic()
        outcome: pb.SegmentResponse | status_pb2.Status
        try:
            outcome = await ask()
        except (BackendError, ServiceError) as error:
            outcome = to_status(error, request_id())
        except Exception as error:  # a fault of ours in one model's part must not spoil the others
            _log.error("model's part failed", model=model_id, exc_info=error)
            outcome = failed(model_id).to_status(request_id())
        result = outcome_message(model_id, outcome, time.monotonic() - started)
        emit(result)
        if result.HasField("response"):
            group.create_task(agreements.add(model_id, result.response, group))

    async def _ask(self, model_id: str, shared: bytes, image: SentImage) -> pb.SegmentResponse:
        model = self.registry.model(model_id)
        request = self.plan.request
        if self.registry.lists_task(model_id, request.task) is False:
            raise task_unsupported(model_id, request.task)
        raw = await model.segment(with_model_id(shared, model_id), image, self.deadline)
        try:
            response = await parse(pb.SegmentResponse, raw)
        except DecodeError as error:
            _log.error("answer is no answer", model=model_id)
            raise failed(model_id) from error
        await image.hold(response.image_sha256)
        return response


class _Agreements:
    """Compares every two answers as soon as both are there."""

    def __init__(self, plan: Plan, deadline: Deadline) -> None:
        self._plan = plan
        self._deadline = deadline
        self._answers: dict[str, Answer] = {}
        self._done: dict[tuple[str, str], pb.Agreement] = {}

    async def add(
        self, model_id: str, response: pb.SegmentResponse, group: asyncio.TaskGroup
    ) -> None:
        """Take one more answer, and compare it with those that are there."""
        with_masks = self._plan.basis is not Basis.BOX
        try:
            answer = await asyncio.to_thread(to_answer, response, with_masks=with_masks)
        except Exception as error:  # whatever a model sends, its answer still goes out as it is
            _log.warning("answer cannot be compared", model=model_id, cause=str(error))
            return
        others = list(self._answers)
        self._answers[model_id] = answer
        for other in others:
            first, second = sorted((model_id, other), key=self._plan.model_ids.index)
            group.create_task(self._compare(first, second))

    async def _compare(self, model_id_a: str, model_id_b: str) -> None:
        stop = threading.Event()
        try:
            async with asyncio.timeout(max(self._deadline.for_agreement_s(), 0.0)):
                agreement = await asyncio.to_thread(
                    agree,
                    self._answers[model_id_a],
                    self._answers[model_id_b],
                    basis=self._plan.basis,
                    match_iou=self._plan.match_iou,
                    stopped=stop.is_set,
                )
        except (TimeoutError, StoppedError):
            _log.warning("no time to compare", models=[model_id_a, model_id_b])
        except Exception as error:  # two answers that do not fit together, such as in size
            cause = str(error)
            _log.warning("not comparable", models=[model_id_a, model_id_b], cause=cause)
        else:
            self._done[model_id_a, model_id_b] = to_message(
                agreement,
                model_id_a=model_id_a,
                model_id_b=model_id_b,
                basis=self._plan.basis,
            )
        finally:
            stop.set()  # the thread of a comparison that nobody waits for ends at its next step

    def in_order(self) -> list[pb.Agreement]:
        """List every pair that was compared, in the order asked."""
        pairs = combinations(self._plan.model_ids, 2)
        return [self._done[pair] for pair in pairs if pair in self._done]


def fit_reply(results: Iterable[pb.ModelResult]) -> None:
    """Replace the largest answers by an error until all fit into one reply.

    Two answers that each fit may not fit together, and gRPC would refuse the whole reply.
    """
    room = MAX_REPLY_BYTES - 1024 * 1024  # for agreements and framing
    sizes = [(result.ByteSize(), result) for result in results]
    total = sum(size for size, _ in sizes)
    for size, result in sorted(sizes, key=lambda pair: -pair[0]):
        if total <= room or not result.HasField("response"):
            return
        result.error.CopyFrom(
            status_message(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"an answer of {size} bytes does not fit into a reply of {room} bytes; "
                "ask with StreamCompare, for fewer segments or for smaller masks",
            )
        )
        total -= size - result.ByteSize()
