"""One line for each call, for programs that ask for it, and never what is private."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from diptych import ServerError, Task, UnavailableError
from diptych.testing import FakeSegmentService

SECRET = "diptych_secret_token"


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The fields of the lines so far."""
    return [vars(record)["diptych"] for record in caplog.records if record.name == "diptych"]


def test_an_answer_is_a_line(
    connect: Any, service: FakeSegmentService, small_png: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(service.address, token=SECRET)
    with caplog.at_level(logging.INFO, logger="diptych"):
        result = client.segment(small_png, model="one", points=[(3, 4)])
        client.compare(small_png, task=Task.INSTANCE_SEGMENTATION, models=["one", "two"])
    segment, compare = told(caplog)
    assert (segment["method"], segment["model"], segment["status"]) == ("Segment", "one", "OK")
    assert segment["request_id"] == result.request_id
    assert segment["sent_bytes"] > len(small_png)
    assert segment["received_bytes"] > 0
    assert segment["seconds"] > 0
    assert (compare["method"], compare["model"]) == ("Compare", "one,two")
    text = caplog.text
    assert f"request_id={result.request_id}" in text
    assert SECRET not in text
    assert "PNG" not in text


def test_a_failure_is_a_line(
    connect: Any, service: FakeSegmentService, small_png: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(service.address)
    service.fail("MODEL_FAILED", times=1)
    with caplog.at_level(logging.INFO, logger="diptych"), pytest.raises(ServerError) as caught:
        client.segment(small_png, model="one", points=[(3, 4)])
    (line,) = told(caplog)
    assert line["status"] == "INTERNAL MODEL_FAILED"
    assert line["request_id"] == caught.value.request_id
    assert line["received_bytes"] is None


def test_nothing_is_told_unasked(
    connect: Any, service: FakeSegmentService, small_png: bytes, capfd: Any
) -> None:
    client = connect(service.address)
    client.segment(small_png, model="one")
    gone = connect("127.0.0.1:1", timeout=2)
    with pytest.raises(UnavailableError):
        gone.segment(small_png, model="one")
    said = capfd.readouterr()
    assert "Segment" not in said.err + said.out
