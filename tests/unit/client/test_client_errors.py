"""Each row of the error table, through both clients, from a call and from inside a comparison."""

from __future__ import annotations

import pickle
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

import diptych
from diptych import DiptychError, Violation
from diptych.testing import FakeSegmentService
from diptych.wire.statuses import error_from_status

TABLE = [
    ("IMAGE_UNREADABLE", "INVALID_ARGUMENT", "InvalidRequestError"),
    ("IMAGE_TOO_LARGE", "INVALID_ARGUMENT", "InvalidRequestError"),
    ("IMAGE_SHAPE", "INVALID_ARGUMENT", "InvalidRequestError"),
    ("PROMPT_INVALID", "INVALID_ARGUMENT", "InvalidRequestError"),
    ("OPTION_INVALID", "INVALID_ARGUMENT", "InvalidRequestError"),
    ("TASK_UNSUPPORTED", "UNIMPLEMENTED", "UnsupportedTaskError"),
    ("PROMPT_UNSUPPORTED", "UNIMPLEMENTED", "UnsupportedTaskError"),
    ("MODEL_UNKNOWN", "NOT_FOUND", "ModelNotFoundError"),
    ("IMAGE_NOT_HELD", "NOT_FOUND", "ImageNotHeldError"),
    ("TOKEN_MISSING", "UNAUTHENTICATED", "AuthenticationError"),
    ("TOKEN_INVALID", "UNAUTHENTICATED", "AuthenticationError"),
    ("TOKEN_SCOPE", "PERMISSION_DENIED", "AuthenticationError"),
    ("QUEUE_FULL", "RESOURCE_EXHAUSTED", "OverloadedError"),
    ("SESSION_LIMIT", "RESOURCE_EXHAUSTED", "OverloadedError"),
    ("OBJECT_LIMIT", "RESOURCE_EXHAUSTED", "OverloadedError"),
    ("RATE_LIMIT", "RESOURCE_EXHAUSTED", "OverloadedError"),
    ("DEVICE_MEMORY", "RESOURCE_EXHAUSTED", "OverloadedError"),
    ("SESSION_ORDER", "FAILED_PRECONDITION", "InvalidRequestError"),
    ("FRAME_NOT_HELD", "FAILED_PRECONDITION", "InvalidRequestError"),
    ("OBJECT_UNKNOWN", "FAILED_PRECONDITION", "InvalidRequestError"),
    ("SESSION_EXPIRED", "ABORTED", "SessionLostError"),
    ("SESSION_LOST", "ABORTED", "SessionLostError"),
    ("MODEL_LOADING", "UNAVAILABLE", "UnavailableError"),
    ("DRAINING", "UNAVAILABLE", "UnavailableError"),
    ("ENGINE_LOST", "UNAVAILABLE", "UnavailableError"),
    ("DEADLINE", "DEADLINE_EXCEEDED", "DeadlineExceededError"),
    ("MODEL_FAILED", "INTERNAL", "ServerError"),
]
BARE = [
    ("RESOURCE_EXHAUSTED", "MessageTooLargeError"),
    ("UNIMPLEMENTED", "UnsupportedCallError"),
    ("UNAVAILABLE", "UnavailableError"),
    ("CANCELLED", "RequestCancelledError"),
    ("UNKNOWN", "ServerError"),
    ("ALREADY_EXISTS", "DiptychError"),
]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diptych._transport.calls._RETRY_WAITS_S", (0.01,) * 4)


@pytest.mark.parametrize(("reason", "code", "kind"), TABLE)
def test_row(
    client: Any, service: FakeSegmentService, small_png: bytes, reason: str, code: str, kind: str
) -> None:
    service.fail(
        reason,
        "expected this, got that",
        metadata={"modelId": "one"},
        violations=[Violation("prompts[3].box", "is inverted")],
        retry_after_s=0.25,
    )
    with pytest.raises(DiptychError) as caught:
        client.segment(small_png, model="one")
    inside = client.compare(small_png, models=["one"]).results[0].error
    for error in (caught.value, inside):
        assert type(error) is getattr(diptych, kind)
        assert str(error) == "expected this, got that"
        assert error.code is grpc.StatusCode[code]
        assert error.reason == reason
        assert error.metadata == {"modelId": "one"}
        assert error.request_id.startswith("fake-")
        assert error.violations == (Violation("prompts[3].box", "is inverted"),)
        assert error.retry_after_s == 0.25
    assert isinstance(caught.value.__cause__, grpc.RpcError)


@pytest.mark.parametrize(("code", "kind"), BARE)
def test_bare_code(
    client: Any, service: FakeSegmentService, small_png: bytes, code: str, kind: str
) -> None:
    service.fail(code=grpc.StatusCode[code], message="spoken by gRPC")
    with pytest.raises(DiptychError) as caught:
        client.segment(small_png, model="one")
    assert type(caught.value) is getattr(diptych, kind)
    assert (caught.value.reason, caught.value.request_id) == ("", "")
    assert service.address in str(caught.value)


def test_error_survives_pickling(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    service.fail("QUEUE_FULL", retry_after_s=1.0)
    with pytest.raises(DiptychError) as caught:
        client.segment(small_png, model="one")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is type(caught.value)
    assert (copy.reason, copy.retry_after_s, str(copy)) == ("QUEUE_FULL", 1.0, str(caught.value))


def test_details_of_others_are_ignored() -> None:
    status = status_pb2.Status(code=8, message="full")
    foreign, broken = any_pb2.Any(), any_pb2.Any()
    foreign.Pack(error_details_pb2.ErrorInfo(reason="PROXY", domain="proxy.example"))
    broken.Pack(error_details_pb2.BadRequest())
    broken.value = b"\xff\xff\xff"
    status.details.extend([foreign, broken])
    error = error_from_status(status)
    assert (error.reason, error.violations, error.retry_after_s) == ("", (), None)


def test_unknown_code_of_a_newer_server() -> None:
    error = error_from_status(status_pb2.Status(code=99))
    assert isinstance(error, diptych.ServerError)
    assert error.code is grpc.StatusCode.UNKNOWN


def test_local_refusal_has_no_code(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diptych._arguments.MAX_REQUEST_BYTES", 1000)
    with pytest.raises(
        diptych.MessageTooLargeError, match="at most 1000 bytes, got 2000"
    ) as caught:
        client.segment(b"x" * 2000)
    assert caught.value.code is None


def test_fake_refuses_reasons_that_are_not_in_the_table(service: FakeSegmentService) -> None:
    with pytest.raises(ValueError, match="reason: expected one of"):
        service.fail("OUT_OF_CHEESE")
    with pytest.raises(ValueError, match="model: expected one of"):
        service.fail("QUEUE_FULL", model="three")
