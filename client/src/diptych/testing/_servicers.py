"""The two services of the contract and health, as the fake speaks them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from .._types.prompts import MaskEncoding, Task
from .._types.results import Provenance, SegmentResult, Timings
from .._types.segment import Segment
from .._types.stats import AnswerTime, ModelStats, StageTime
from ..segment import v1 as pb
from ..wire.cards import card_reply, cards_reply, known_model_message
from ..wire.comparison import (
    agreements_event,
    comparison_message,
    outcome_event,
    outcome_message,
)
from ..wire.health import health_reply
from ..wire.replies import result_message
from ..wire.requests import read_encoding
from ..wire.stats import stats_message
from ._answers import FakeReply
from ._failures import Failed, abort, make_failure
from ._replies import agreement_messages
from ._video import video_answers

if TYPE_CHECKING:
    from ._service import FakeSegmentService

_ELAPSED_S = 0.005


class _SegmentServicer(pb.SegmentServiceServicer):
    def __init__(self, fake: FakeSegmentService) -> None:
        self._fake = fake

    def Segment(
        self, request: pb.SegmentRequest, context: grpc.ServicerContext
    ) -> pb.SegmentResponse:
        fake, request_id = self._fake, self._fake.next_request_id()
        fake.note(request)
        try:
            model_id = self._model(request.model_id)
            image = fake.image_bytes(request.image)
            return segment_response(fake.segments(model_id, request, image), request_id)
        except Failed as failed:
            abort(context, failed.failure, request_id)

    def SegmentVideo(
        self,
        request_iterator: Iterator[pb.SegmentVideoRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[pb.SegmentVideoResponse]:
        try:
            first = next(request_iterator, pb.SegmentVideoRequest())
            if first.WhichOneof("event") != "start":
                failure = make_failure("SESSION_ORDER", "the first message must be start")
                raise Failed(failure)
            model_id = self._model(first.start.model_id)
            yield from video_answers(self._fake, model_id, chain([first], request_iterator))
        except Failed as failed:
            abort(context, failed.failure, self._fake.next_request_id())

    def GetModelCard(
        self, request: pb.GetModelCardRequest, context: grpc.ServicerContext
    ) -> pb.GetModelCardResponse:
        try:
            return card_reply(self._fake.cards[self._model(request.model_id)])
        except Failed as failed:
            abort(context, failed.failure, self._fake.next_request_id())

    def GetModelStats(
        self, request: pb.GetModelStatsRequest, context: grpc.ServicerContext
    ) -> pb.GetModelStatsResponse:
        try:
            self._model(request.model_id)
        except Failed as failed:
            abort(context, failed.failure, self._fake.next_request_id())
        count = len(self._fake.requests)
        return stats_message(
            ModelStats(
                outcomes={"OK": count},
                stages={"total": StageTime(count, float(count))},
                encoder_run_count=count,
                answer_times=(
                    AnswerTime(Task.INSTANCE_SEGMENTATION, False, min(count, 500), 1.0, 1.0),
                )[:count],
                batch_sizes={1: count} if count else {},
                device="fake",
            )
        )

    def _model(self, model_id: str) -> str:
        models = self._fake.models
        if not model_id and len(models) == 1:
            return models[0]
        if model_id not in models:
            message = f"model_id: expected one of {', '.join(models)}, got {model_id!r}"
            raise Failed(make_failure("MODEL_UNKNOWN", message, metadata={"modelId": model_id}))
        return model_id


class _GatewayServicer(pb.GatewayServiceServicer):
    def __init__(self, fake: FakeSegmentService) -> None:
        self._fake = fake

    def Compare(
        self, request: pb.CompareRequest, context: grpc.ServicerContext
    ) -> pb.CompareResponse:
        results: list[pb.ModelResult] = []
        answers: list[tuple[str, Sequence[Segment]]] = []
        for result, reply in self._results(request, context):
            results.append(result)
            if reply is not None:
                answers.append((result.model_id, reply.segments))
        agreements = agreement_messages(answers, request.request.task)
        return comparison_message(results, agreements)

    def StreamCompare(
        self, request: pb.StreamCompareRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamCompareResponse]:
        answers: list[tuple[str, Sequence[Segment]]] = []
        for result, reply in self._results(request.compare, context):
            yield outcome_event(result)
            if reply is not None:
                answers.append((result.model_id, reply.segments))
        agreements = agreement_messages(answers, request.compare.request.task)
        yield agreements_event(agreements)

    def ListModelCards(
        self, request: pb.ListModelCardsRequest, context: grpc.ServicerContext
    ) -> pb.ListModelCardsResponse:
        fake = self._fake
        return cards_reply(known_model_message(model, fake.cards[model]) for model in fake.models)

    def _results(
        self, compare: pb.CompareRequest, context: grpc.ServicerContext
    ) -> Iterator[tuple[pb.ModelResult, FakeReply | None]]:
        fake = self._fake
        fake.note(compare.request)
        try:
            image = fake.image_bytes(compare.request.image)
        except Failed as failed:
            abort(context, failed.failure, fake.next_request_id())
        for model_id in compare.model_ids or fake.models:
            request_id = fake.next_request_id()
            try:
                if model_id not in fake.models:
                    raise Failed(make_failure("MODEL_UNKNOWN", f"no model {model_id!r}"))
                reply = fake.segments(model_id, compare.request, image)
            except Failed as failed:
                status = failed.failure.to_status(request_id)
                yield outcome_message(model_id, status, _ELAPSED_S), None
            else:
                response = segment_response(reply, request_id)
                yield outcome_message(model_id, response, _ELAPSED_S), reply


def segment_response(reply: FakeReply, request_id: str) -> pb.SegmentResponse:
    """The message of an answer."""
    call = reply.call
    result = SegmentResult(
        model_id=call.model_id,
        segments=tuple(reply.segments),
        image_size=call.image_size,
        image_sha256=hashlib.sha256(call.image).hexdigest(),
        timings=Timings(0.001, 0.0005, 0.002, 0.001, 0.0005, 0.005),
        provenance=(
            Provenance(
                model_id=call.model_id,
                weights="fake",
                weights_sha256=hashlib.sha256(b"fake weights").hexdigest(),
                tier="exact",
                device="cpu",
                dtype="float32",
                image_cache_hit=False,
                software="diptych.testing",
            ),
        ),
        request_id=request_id,
    )
    encoding = read_encoding(call.request.output.mask_encoding)
    return result_message(result, encoding or MaskEncoding.COCO_RLE)


class _HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    def __init__(self, fake: FakeSegmentService) -> None:
        self._fake = fake

    def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        status = self._fake.health.get(request.service)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        return health_reply(status)


def add_servicers(fake: FakeSegmentService, server: grpc.Server, *, gateway: bool) -> None:
    """Lets a server speak for a fake."""
    pb.add_SegmentServiceServicer_to_server(_SegmentServicer(fake), server)
    if gateway:
        pb.add_GatewayServiceServicer_to_server(_GatewayServicer(fake), server)
    health_pb2_grpc.add_HealthServicer_to_server(_HealthServicer(fake), server)
