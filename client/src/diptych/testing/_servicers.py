"""The two services of the contract and health, as the fake speaks them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from .._types.health import ServingStatus
from .._types.segment import Segment
from ..segment import v1 as pb
from ._failures import Failed, abort, make_failure
from ._replies import agreement_messages, segment_message
from ._video import video_answers

if TYPE_CHECKING:
    from ._service import FakeReply, FakeSegmentService


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
            image = fake.picture(request.image)
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
            return pb.GetModelCardResponse(
                model_card=self._fake.cards[self._model(request.model_id)]
            )
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
        return pb.GetModelStatsResponse(
            outcomes=[pb.OutcomeCount(outcome="OK", count=count)],
            stages=[pb.StageTime(stage="total", count=count, total=Duration(seconds=count))],
            encoder_run_count=count,
            answer_times=[
                pb.AnswerTime(
                    task=pb.Task.TASK_INSTANCE_SEGMENTATION,
                    count=min(count, 500),
                    p50=Duration(seconds=1),
                    p95=Duration(seconds=1),
                )
            ][:count],
            batch_sizes=[pb.BatchSize(size=1, answer_count=count)][:count],
            device="fake",
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
        return pb.CompareResponse(results=results, agreements=agreements)

    def StreamCompare(
        self, request: pb.StreamCompareRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamCompareResponse]:
        answers: list[tuple[str, Sequence[Segment]]] = []
        for result, reply in self._results(request.compare, context):
            yield pb.StreamCompareResponse(result=result)
            if reply is not None:
                answers.append((result.model_id, reply.segments))
        agreements = agreement_messages(answers, request.compare.request.task)
        yield pb.StreamCompareResponse(agreements=pb.Agreements(agreements=agreements))

    def ListModelCards(
        self, request: pb.ListModelCardsRequest, context: grpc.ServicerContext
    ) -> pb.ListModelCardsResponse:
        return pb.ListModelCardsResponse(
            models=[
                pb.KnownModel(model_id=model, model_card=self._fake.cards[model])
                for model in self._fake.models
            ]
        )

    def _results(
        self, compare: pb.CompareRequest, context: grpc.ServicerContext
    ) -> Iterator[tuple[pb.ModelResult, FakeReply | None]]:
        fake = self._fake
        fake.note(compare.request)
        try:
            image = fake.picture(compare.request.image)
        except Failed as failed:
            abort(context, failed.failure, fake.next_request_id())
        for model_id in compare.model_ids or fake.models:
            request_id = fake.next_request_id()
            result = pb.ModelResult(model_id=model_id, elapsed=Duration(nanos=5_000_000))
            reply: FakeReply | None = None
            try:
                if model_id not in fake.models:
                    raise Failed(make_failure("MODEL_UNKNOWN", f"no model {model_id!r}"))
                reply = fake.segments(model_id, compare.request, image)
                result.response.CopyFrom(segment_response(reply, request_id))
            except Failed as failed:
                result.error.CopyFrom(failed.failure.to_status(request_id))
            yield result, reply


def segment_response(reply: FakeReply, request_id: str) -> pb.SegmentResponse:
    """The message of an answer."""
    call = reply.call
    height, width = call.image_size
    return pb.SegmentResponse(
        model_id=call.model_id,
        segments=[segment_message(segment, call.request) for segment in reply.segments],
        image_size=pb.ImageSize(height_px=height, width_px=width),
        image_sha256=hashlib.sha256(call.image).digest(),
        timings=pb.Timings(
            queue=Duration(nanos=1_000_000),
            decode=Duration(nanos=500_000),
            encode=Duration(nanos=2_000_000),
            predict=Duration(nanos=1_000_000),
            postprocess=Duration(nanos=500_000),
            total=Duration(nanos=5_000_000),
        ),
        provenance=[
            pb.Provenance(
                model_id=call.model_id,
                weights="fake",
                weights_sha256=hashlib.sha256(b"fake weights").digest(),
                tier="exact",
                device="cpu",
                dtype="float32",
                software="diptych.testing",
            )
        ],
        request_id=request_id,
    )


def add_servicers(fake: FakeSegmentService, server: grpc.Server, *, gateway: bool) -> None:
    """Lets a server speak for a fake."""
    pb.add_SegmentServiceServicer_to_server(_SegmentServicer(fake), server)
    if gateway:
        pb.add_GatewayServiceServicer_to_server(_GatewayServicer(fake), server)

    def check(request: StringValue, context: grpc.ServicerContext) -> Int32Value:
        status = fake.health.get(request.value)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.value!r}")
        return Int32Value(value=list(ServingStatus).index(status))

    # The health messages are those of _convert_health.
    handler = grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=StringValue.FromString,
        response_serializer=Int32Value.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})]
    )
