"""The error table: which codes and reasons there are. Clients in other languages rely on it."""

from __future__ import annotations

import grpc
import pytest

from diptych.wire.reasons import CODES, Reason, http_status
from diptych.wire.statuses import DOMAIN
from diptych_runtime.engine import ServiceError

TABLE = {
    "INVALID_ARGUMENT": {
        "IMAGE_UNREADABLE",
        "IMAGE_TOO_LARGE",
        "IMAGE_SHAPE",
        "PROMPT_INVALID",
        "OPTION_INVALID",
    },
    "UNIMPLEMENTED": {"TASK_UNSUPPORTED", "PROMPT_UNSUPPORTED"},
    "NOT_FOUND": {"MODEL_UNKNOWN", "IMAGE_NOT_HELD"},
    "UNAUTHENTICATED": {"TOKEN_MISSING", "TOKEN_INVALID"},
    "PERMISSION_DENIED": {"TOKEN_SCOPE"},
    "RESOURCE_EXHAUSTED": {
        "QUEUE_FULL",
        "SESSION_LIMIT",
        "OBJECT_LIMIT",
        "RATE_LIMIT",
        "DEVICE_MEMORY",
    },
    "FAILED_PRECONDITION": {"SESSION_ORDER", "FRAME_NOT_HELD", "OBJECT_UNKNOWN"},
    "ABORTED": {"SESSION_EXPIRED", "SESSION_LOST"},
    "UNAVAILABLE": {"MODEL_LOADING", "DRAINING", "ENGINE_LOST"},
    "DEADLINE_EXCEEDED": {"DEADLINE"},
    "INTERNAL": {"MODEL_FAILED"},
}


def test_the_codes_are_exactly_those_of_the_table() -> None:
    codes: dict[str, set[str]] = {}
    for reason, code in CODES.items():
        codes.setdefault(code.name, set()).add(reason.value)
    assert codes == TABLE


@pytest.mark.parametrize("reason", list(Reason))
def test_each_reason_travels(reason: Reason) -> None:
    sent = ServiceError(reason, "expected this, got that", retry_after_s=1.5)
    status = sent.to_status("abc")
    assert grpc.StatusCode[CODES[reason].name].value[0] == status.code
    came = ServiceError.from_status(status)
    assert (came.reason, came.message, came.retry_after_s) == (reason, sent.message, 1.5)
    assert DOMAIN.encode() in status.SerializeToString()


HTTP = {
    400: {"IMAGE_UNREADABLE", "IMAGE_SHAPE", "PROMPT_INVALID", "OPTION_INVALID"},
    401: {"TOKEN_MISSING", "TOKEN_INVALID"},
    403: {"TOKEN_SCOPE"},
    404: {"MODEL_UNKNOWN", "IMAGE_NOT_HELD"},
    409: {"SESSION_ORDER", "FRAME_NOT_HELD", "OBJECT_UNKNOWN"},
    410: {"SESSION_EXPIRED", "SESSION_LOST"},
    413: {"IMAGE_TOO_LARGE"},
    422: {"TASK_UNSUPPORTED", "PROMPT_UNSUPPORTED"},
    429: {"QUEUE_FULL", "SESSION_LIMIT", "OBJECT_LIMIT", "RATE_LIMIT"},
    500: {"MODEL_FAILED"},
    503: {"DEVICE_MEMORY", "MODEL_LOADING", "DRAINING", "ENGINE_LOST"},
    504: {"DEADLINE"},
}


def test_the_http_statuses_are_exactly_those_of_the_table() -> None:
    statuses: dict[int, set[str]] = {}
    for reason, code in CODES.items():
        statuses.setdefault(http_status(code, reason), set()).add(reason.value)
    assert statuses == HTTP


def test_a_message_over_the_limit_of_grpc_is_too_large_for_http() -> None:
    assert http_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "") == 413
    assert http_status(grpc.StatusCode.UNKNOWN, "") == 500
