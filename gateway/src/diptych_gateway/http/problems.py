"""Errors as problem documents (RFC 9457) with the HTTP status of the error table."""

from __future__ import annotations

import http
import json
import math
from typing import Annotated, Any, TypedDict

from google.rpc import status_pb2
from starlette.responses import Response

from diptych import DiptychError, Violation
from diptych.documents.results import plain
from diptych.wire.reasons import http_status
from diptych.wire.statuses import error_from_status
from diptych_runtime.engine import Reason, ServiceError

from ..statuses import BackendError, to_status
from .field_paths import with_form_paths

MEDIA_TYPE = "application/problem+json"


class Problem(TypedDict):
    """Why a request was refused or failed (RFC 9457)."""

    type: Annotated[str, ("const", "about:blank")]
    title: str
    """The phrase of the status."""
    status: Annotated[int, ("minimum", 400), ("maximum", 599)]
    detail: str
    """What was expected and what came."""
    reason: str
    """Machine-readable cause; stable. Empty where HTTP itself refuses."""
    request_id: str
    """The request, as in the server's log; empty for the files of the page."""
    violations: list[Violation]
    """Fields that cannot be used."""
    retry_after_s: Annotated[float | None, ("minimum", 0)]
    """When to try again, in seconds."""


class RefusedError(Exception):
    """What HTTP itself refuses, for which gRPC has no reason: no such path, method or body."""

    def __init__(self, status: int, detail: str, *, reason: str = "", **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.headers = headers


def document(error: Exception, request_id: str) -> Problem:
    """Write the problem as it is sent; ``error`` is one that ``response`` takes."""
    if isinstance(error, RefusedError):
        return _document(error.status, str(error), reason=error.reason, request_id=request_id)
    known = _known(error, request_id)
    status = http_status(known.code, known.reason) if known.code else 500
    return _document(
        status,
        str(known),
        reason=known.reason,
        request_id=known.request_id or request_id,
        violations=plain(known.violations),
        retry_after_s=known.retry_after_s,
    )


def response(error: Exception, request_id: str) -> Response:
    """Answer a request that ended with an error.

    ``error`` is a ``RefusedError``, ``ServiceError``, ``BackendError`` or ``DiptychError``.
    """
    problem = document(error, request_id)
    headers = dict(error.headers) if isinstance(error, RefusedError) else {}
    if problem["retry_after_s"] is not None:
        headers["Retry-After"] = str(math.ceil(problem["retry_after_s"]))
    if problem["status"] == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(json.dumps(problem), problem["status"], headers, MEDIA_TYPE)


def internal(request_id: str) -> ServiceError:
    """Make the error for a fault of ours, which says nothing but where the log has it."""
    return ServiceError(Reason.MODEL_FAILED, f"internal error {request_id}")


def _known(error: Exception, request_id: str) -> DiptychError:
    if isinstance(error, DiptychError):
        return with_form_paths(error)
    if not isinstance(error, (BackendError, ServiceError)):
        raise TypeError(f"expected an error of the table, got {type(error).__name__}")
    status: status_pb2.Status = to_status(error, request_id)
    return with_form_paths(error_from_status(status))


def _document(
    status: int,
    detail: str,
    *,
    reason: str = "",
    request_id: str = "",
    violations: Any = (),
    retry_after_s: float | None = None,
) -> Problem:
    return {
        "type": "about:blank",  # which means that the title is that of the status
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "reason": reason,
        "request_id": request_id,
        "violations": list(violations),
        "retry_after_s": retry_after_s,
    }
