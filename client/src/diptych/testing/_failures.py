"""Failures as a real server words them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import grpc
from google.rpc import status_pb2

from .._types.errors import Violation
from ..wire.reasons import CODES, Reason
from ..wire.statuses import StatusDetails, status_message, trailers

_C = grpc.StatusCode


@dataclass(frozen=True)
class Failure:
    """What a fake model fails with: a reason of the error table, or a bare gRPC code."""

    reason: str = ""
    message: str = "told to fail"
    code: grpc.StatusCode = _C.INTERNAL
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[Violation] = ()
    retry_after_s: float | None = None

    def to_status(self, request_id: str) -> status_pb2.Status:
        """As it travels inside a comparison."""
        details = StatusDetails(
            self.reason, self.metadata, request_id, self.violations, self.retry_after_s
        )
        return status_message(self.code, self.message, details if self.reason else None)


def make_failure(
    reason: str,
    message: str,
    *,
    code: grpc.StatusCode | None = None,
    metadata: Mapping[str, str] | None = None,
    violations: Sequence[Violation] = (),
    retry_after_s: float | None = None,
) -> Failure:
    """A failure with the code that the error table has for the reason.

    Raises:
        ValueError: for a reason that is not in the table, unless a code is given.
    """
    if code is None:
        if reason not in Reason.__members__:
            raise ValueError(f"reason: expected one of {', '.join(Reason)}, got {reason!r}")
        code = CODES[Reason(reason)]
    return Failure(reason, message, code, dict(metadata or {}), tuple(violations), retry_after_s)


class Failed(Exception):
    """A fake model failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def abort(context: grpc.ServicerContext, failure: Failure, request_id: str) -> NoReturn:
    """Ends a call with a failure."""
    if failure.reason:
        context.set_trailing_metadata(trailers(failure.to_status(request_id)))
    context.abort(failure.code, failure.message)
