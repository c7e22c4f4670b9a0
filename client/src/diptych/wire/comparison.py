"""Comparisons: outcomes of models and how far they agree, as messages and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from google.rpc import status_pb2

from .._arguments import RequestOptions
from .._types.agreement import Agreement, Agreements, Match
from .._types.errors import DiptychError, ServerError
from .._types.results import Comparison, ModelOutcome, Outcome, SegmentResult
from ..segment import v1 as pb
from .replies import duration, read_result, seconds
from .requests import segment_request
from .statuses import error_from_status

_BASIS_VALUES = {
    "mask-iou": pb.AgreementBasis.AGREEMENT_BASIS_MASK_IOU,
    "box-iou": pb.AgreementBasis.AGREEMENT_BASIS_BOX_IOU,
    "prompt": pb.AgreementBasis.AGREEMENT_BASIS_PROMPT,
}
_BASES = {value: basis for basis, value in _BASIS_VALUES.items()}


def compare_request(
    options: RequestOptions, image: pb.Image, models: Sequence[str], match_iou: float | None
) -> pb.CompareRequest:
    """What ``GatewayService.Compare`` takes."""
    return pb.CompareRequest(
        request=segment_request(options, image), model_ids=list(models), match_iou=match_iou
    )


def stream_compare_request(
    options: RequestOptions, image: pb.Image, models: Sequence[str], match_iou: float | None
) -> pb.StreamCompareRequest:
    """What ``GatewayService.StreamCompare`` takes."""
    return pb.StreamCompareRequest(compare=compare_request(options, image, models, match_iou))


def comparison_message(
    results: Iterable[pb.ModelResult], agreements: Iterable[pb.Agreement]
) -> pb.CompareResponse:
    """The whole comparison: outcomes in the order asked, and how far they agree."""
    return pb.CompareResponse(results=results, agreements=agreements)


def read_comparison(message: pb.CompareResponse) -> Comparison:
    """The answers of several models."""
    return Comparison(
        results=tuple(read_outcome(result) for result in message.results),
        agreements=tuple(read_agreement(agreement) for agreement in message.agreements),
        raw=message,
    )


def outcome_event(result: pb.ModelResult) -> pb.StreamCompareResponse:
    """The event of a streamed comparison that one model has answered or failed."""
    return pb.StreamCompareResponse(result=result)


def agreements_event(agreements: Iterable[pb.Agreement]) -> pb.StreamCompareResponse:
    """The last event of a streamed comparison."""
    return pb.StreamCompareResponse(agreements=pb.Agreements(agreements=agreements))


def read_compare_event(message: pb.StreamCompareResponse) -> Outcome | Agreements | None:
    """One event of a streamed comparison; ``None`` for a kind that this version does not know."""
    kind = message.WhichOneof("event")
    if kind == "result":
        return read_outcome(message.result)
    if kind == "agreements":
        return Agreements(tuple(map(read_agreement, message.agreements.agreements)))
    return None


def outcome_message(
    model_id: str, outcome: pb.SegmentResponse | status_pb2.Status, elapsed_s: float
) -> pb.ModelResult:
    """The answer of one model, or the status that it failed with."""
    result = pb.ModelResult(model_id=model_id, elapsed=duration(elapsed_s))
    if isinstance(outcome, pb.SegmentResponse):
        result.response.CopyFrom(outcome)
    else:
        result.error.CopyFrom(outcome)
    return result


def read_outcome(message: pb.ModelResult) -> Outcome:
    """The answer or the error of one model; a broken answer is an error."""
    result: SegmentResult | None = None
    error: DiptychError | None = None
    if message.WhichOneof("outcome") == "response":
        try:
            result = read_result(message.response)
        except ServerError as broken:
            error = broken
    else:
        error = error_from_status(message.error)
    read = ModelOutcome(message.model_id, result, error, seconds(message.elapsed))
    return cast("Outcome", read)  # one of both, never none


def agreement_message(agreement: Agreement) -> pb.Agreement:
    """How far two models agree."""
    return pb.Agreement(
        model_id_a=agreement.model_id_a,
        model_id_b=agreement.model_id_b,
        basis=_BASIS_VALUES[agreement.basis],
        matches=[
            pb.Match(index_a=m.index_a, index_b=m.index_b, iou=m.iou) for m in agreement.matches
        ],
        only_a=agreement.only_a,
        only_b=agreement.only_b,
        mean_match_iou=agreement.mean_match_iou,
        foreground_iou=agreement.foreground_iou,
    )


def read_agreement(message: pb.Agreement) -> Agreement:
    """How far two models agree; ``basis`` is empty for one that this version does not know."""
    return Agreement(
        model_id_a=message.model_id_a,
        model_id_b=message.model_id_b,
        basis=_BASES.get(message.basis, ""),
        matches=tuple(Match(m.index_a, m.index_b, m.iou) for m in message.matches),
        only_a=tuple(message.only_a),
        only_b=tuple(message.only_b),
        mean_match_iou=message.mean_match_iou if message.HasField("mean_match_iou") else None,
        foreground_iou=message.foreground_iou if message.HasField("foreground_iou") else None,
    )
