"""Refusals and failures: what code raises that meets a problem.

It raises a ``ServiceError`` with a ``Reason``; the interceptor turns that into a status. Codes are
those of the error table in ``diptych.wire.reasons``; nothing else decides on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
import numpy as np
from google.rpc import status_pb2

from diptych import Violation
from diptych.wire.reasons import CODES, Reason
from diptych.wire.statuses import StatusDetails, read_details, status_message

__all__ = ["Reason", "ServiceError", "Violation", "draining", "exact", "invalid", "not_held"]


class ServiceError(Exception):
    """A request that is refused or failed, for a reason of the table.

    ``message`` says what was expected and what came; ``metadata`` repeats its variables under
    lowerCamel keys; ``violations`` name fields; ``retry_after_s`` says when to try again.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC code of the table."""
        return CODES[self.reason]

    def to_status(self, request_id: str = "") -> status_pb2.Status:
        """As it travels; never over 4 KiB, the violations that do not fit are counted instead."""
        details = StatusDetails(
            self.reason, self.metadata, request_id, self.violations, self.retry_after_s
        )
        return status_message(self.code, self.message, details)

    @classmethod
    def from_status(cls, status: status_pb2.Status) -> ServiceError:
        """The error that another process raised; unknown reasons become ``MODEL_FAILED``."""
        details = read_details(status)
        known = details.reason in Reason.__members__
        return cls(
            Reason(details.reason) if known else Reason.MODEL_FAILED,
            status.message,
            metadata=details.metadata if known else None,
            violations=details.violations,
            retry_after_s=details.retry_after_s,
        )


def draining() -> ServiceError:
    """The error of what a server that is about to stop does not take or finish any more."""
    return ServiceError(Reason.DRAINING, "the server is stopping", retry_after_s=1.0)


def engine_lost() -> ServiceError:
    """Make the error of requests that were in an engine process when it ended."""
    return ServiceError(
        Reason.ENGINE_LOST, "the engine was lost while it worked; try again", retry_after_s=2.0
    )


def not_held(digest: str) -> ServiceError:
    """The error for a digest of a picture that is not held (any longer)."""
    text = f"expected the digest of a picture held here, got {digest[:12]}…; send the bytes"
    return invalid(Reason.IMAGE_NOT_HELD, "image.sha256", text, sha256=digest)


def invalid(reason: Reason, field: str, description: str, **metadata: str) -> ServiceError:
    """The error for one field that cannot be used."""
    message = f"{field}: {description}"
    return ServiceError(
        reason, message, metadata=metadata, violations=[Violation(field, description)]
    )


def unreadable(raw: bytes) -> ServiceError:
    """Make the error for bytes that are not the message of their method."""
    text = f"expected the message of this method, got {len(raw)} bytes of something else"
    return invalid(Reason.OPTION_INVALID, "request", text)


def exact(number: float) -> str:
    """Write a number of a message, which is a float32: the fewest digits that no other has, so that
    one that was refused never looks like one that is taken."""
    return str(np.float32(number)).removesuffix(".0")
