"""What a client sends again by itself: what a server that stops has refused, and nothing else."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from diptych import DiptychError, UnavailableError
from diptych._transport import calls
from diptych.testing import FakeSegmentService


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_RETRY_WAITS_S", (0.01, 0.01, 0.01, 0.01))


def test_what_a_server_that_stops_has_refused(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    service.fail("DRAINING", times=4)
    assert client.segment(small_png, model="one").segments
    assert len(service.requests) == 5


def test_what_a_server_that_stopped_had_not_taken(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    service.fail(code=grpc.StatusCode.CANCELLED, times=1)
    assert client.segment(small_png, model="one").segments


def test_no_more_often_than_that(
    client: Any, service: FakeSegmentService, small_png: bytes
) -> None:
    service.fail("DRAINING")
    with pytest.raises(UnavailableError) as caught:
        client.segment(small_png, model="one")
    assert caught.value.reason == "DRAINING"
    assert len(service.requests) == 5


@pytest.mark.parametrize("reason", ["MODEL_LOADING", "ENGINE_LOST", "QUEUE_FULL", "MODEL_FAILED"])
def test_nothing_else(
    client: Any, service: FakeSegmentService, small_png: bytes, reason: str
) -> None:
    service.fail(reason, times=1)
    with pytest.raises(DiptychError) as caught:
        client.segment(small_png, model="one")
    assert caught.value.reason == reason
    assert len(service.requests) == 1


def test_not_beyond_the_deadline(
    client: Any, service: FakeSegmentService, small_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_RETRY_WAITS_S", (100.0,))
    service.fail("DRAINING", times=1)
    with pytest.raises(UnavailableError):
        client.segment(small_png, model="one", timeout=50)
    assert len(service.requests) == 1
