"""Examples of answers and refusals, made by what makes the real ones."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from diptych import (
    Agreement,
    Comparison,
    Mask,
    Match,
    ModelOutcome,
    Segment,
    SegmentResult,
    Timings,
)
from diptych.documents.results import agreement_document, comparison_document, outcome_document
from diptych.wire.statuses import error_from_status
from diptych_runtime.engine.errors import Reason, ServiceError, draining, invalid

from .. import events, problems
from ..origin import REASON as ORIGIN_FOREIGN
from ..problems import RefusedError

_REQUEST_ID = "5f2c8a0e91d34b67"
_TASK = "model 'mask-rcnn' does not do TASK_PROMPTED_SEGMENTATION"
_FULL = "the queue of 'sam-2' is full: 64 requests wait"

REFUSALS: dict[int, tuple[str, Exception]] = {
    400: (
        "The form, the picture, a prompt or an option cannot be used.",
        invalid(Reason.PROMPT_INVALID, "prompts[0].box", "expected x_min < x_max, got 40 and 3"),
    ),
    401: (
        "No token, or one that is not known.",
        ServiceError(Reason.TOKEN_MISSING, "expected authorization: Bearer TOKEN, got nothing"),
    ),
    403: (
        "The token is for something else; or, without tokens, a web page from elsewhere asks.",
        RefusedError(403, "expected an Origin that is the gateway's own", reason=ORIGIN_FOREIGN),
    ),
    404: (
        "No such model, or a digest that is not held.",
        ServiceError(Reason.MODEL_UNKNOWN, "expected one of mask-rcnn, sam-2, got 'sam-3'"),
    ),
    406: (
        "Only pictures that are no PNG are wanted as an answer.",
        RefusedError(406, "expected application/json or image/png in Accept, got 'image/gif'"),
    ),
    413: (
        "The form or the picture is too large.",
        ServiceError(Reason.IMAGE_TOO_LARGE, "image: expected at most 50000000 pixels, got more"),
    ),
    415: (
        "Neither a multipart form nor a picture; for an export, not JSON.",
        RefusedError(415, "expected multipart/form-data, got 'text/plain'"),
    ),
    422: (
        "The model, or every model, does not do the task or take the kind of prompt.",
        ServiceError(Reason.TASK_UNSUPPORTED, _TASK),
    ),
    429: (
        "Too many requests wait; Retry-After says when to try again.",
        ServiceError(Reason.QUEUE_FULL, _FULL, retry_after_s=2.0),
    ),
    500: (
        "A model or the gateway failed; the log has it under the request's id.",
        problems.internal(_REQUEST_ID),
    ),
    503: (
        "No model, or not this one, can be reached now, or the gateway is stopping.",
        draining(),
    ),
    504: (
        "No answer in time.",
        ServiceError(Reason.DEADLINE, "no answer of 'sam-2' in time"),
    ),
}
"""What each status means, and an error that has it."""


def refusal(status: int) -> problems.Problem:
    """Make the problem document of a status."""
    return problems.document(REFUSALS[status][1], _REQUEST_ID)


@functools.cache
def comparison() -> dict[str, Any]:
    """Make one of two models that found the same square, and one that is down."""
    return {**comparison_document(_comparison())}


@functools.cache
def result() -> Any:
    """Make the answer of the first of them."""
    return comparison()["results"][0]["result"]


@functools.cache
def stream() -> str:
    """Make the same comparison as events."""
    compared = _comparison()
    outcomes = [events.event("outcome", outcome_document(each)) for each in compared.results]
    pairs = [agreement_document(pair) for pair in compared.agreements]
    return b"".join([*outcomes, events.event("agreements", pairs)]).decode()


def _comparison() -> Comparison:
    down = ServiceError(Reason.MODEL_LOADING, "model 'third' cannot be reached", retry_after_s=1.0)
    error = error_from_status(down.to_status(_REQUEST_ID))
    results: Any = (
        ModelOutcome("mask-rcnn", _result("mask-rcnn", "square"), None, 0.21),
        ModelOutcome("sam-2", _result("sam-2", ""), None, 0.34),
        ModelOutcome("third", None, error, 0.2),
    )
    return Comparison(
        results=results,
        agreements=(
            Agreement("mask-rcnn", "sam-2", "mask-iou", (Match(0, 0, 1.0),), (), (), 1.0, 1.0),
        ),
    )


def _result(model_id: str, label: str) -> SegmentResult:
    mask = Mask.from_crop(np.ones((20, 20), bool), 10, 10, (60, 80))
    square = Segment(score=0.93, box=mask.box, mask=mask, label=label, area=mask.area)
    return SegmentResult(
        model_id,
        (square,),
        (60, 80),
        image_sha256="9f" * 32,
        timings=Timings(decode_s=0.002, encode_s=0.15, predict_s=0.04, total_s=0.2),
        request_id=_REQUEST_ID,
    )
