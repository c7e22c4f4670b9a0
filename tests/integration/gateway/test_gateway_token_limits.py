"""Limits of tokens over every transport, and what services are told of who pays."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from log_file import logged_to
from serving_helpers import error_info, error_of, eventually
from websockets.asyncio.client import connect

from diptych import OverloadedError
from diptych.segment import v1 as pb
from diptych.wire.statuses import error_from_status, status_of_call
from diptych_runtime import watched

GREEDY = (("authorization", "Bearer greedy"),)
SMALL = (("authorization", "Bearer small"),)
HEADER = {"authorization": "Bearer greedy"}


def entry(name: str, rest: str = "") -> str:
    return f'[tokens.{name}]\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\n{rest}\n'


class Served:
    """A gateway with two tokens, one of them with limits, and the model behind it."""

    def __init__(self, stage: Any, path: Path) -> None:
        self.stage = stage
        self.path = path
        self.told: list[dict[str, str]] = []

    async def start(self, limits: str) -> None:
        self.path.write_text(entry("greedy", limits) + entry("small"))
        self.model = await self.stage.model("one")
        find = self.model.answer

        async def answer(request: Any, context: Any) -> Any:
            self.told.append({k: str(v) for k, v in context.invocation_metadata()})
            reply = await find(request, context)
            reply.timings.encode.FromMilliseconds(1500)
            reply.timings.predict.FromMilliseconds(500)
            return reply

        self.model.answer = answer
        await self.stage.serve(self.model, tokens_file=self.path)
        self.stub = self.stage.segment_stub()

    def segment(self, metadata: Any = GREEDY) -> Any:
        return self.stub.Segment(self.stage.request(model_id="one"), metadata=metadata)


@pytest.fixture
async def served(stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.setattr(watched, "CHECK_S", 0.005)
    return Served(stage, tmp_path / "tokens.toml")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """What was logged so far."""
    with logged_to(tmp_path / "log", "info") as read:
        yield read


ONCE = "requests_per_second = 0.001\nburst = 1"


async def test_a_rate_counts_over_all_transports(served: Served) -> None:
    await served.start(ONCE)
    await served.segment()
    error = await error_of(served.segment())
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_info(error).reason == "RATE_LIMIT"
    status = status_of_call(error)
    assert status is not None
    known = error_from_status(status)
    assert isinstance(known, OverloadedError)
    assert known.retry_after_s is not None
    assert known.retry_after_s > 900
    http = served.stage.http(headers=HEADER)
    for method, path in (
        ("GET", "/api/models"),
        ("GET", "/metrics"),
        ("POST", "/api/segment"),
        ("POST", "/api/compare"),
        ("POST", "/api/compare/stream"),
    ):
        reply = await http.request(method, path)
        assert (path, reply.status_code, reply.json()["reason"]) == (path, 429, "RATE_LIMIT")
        assert int(reply.headers["retry-after"]) > 900
    url = f"ws://127.0.0.1:{served.stage.gateway.http_port}/api/video"
    async with connect(url, additional_headers=HEADER, proxy=None) as socket:
        await socket.send(json.dumps({"event": "start", "model": "one"}))
        assert "RATE_LIMIT" in str(await socket.recv())
    video = served.stub.SegmentVideo(metadata=GREEDY)
    assert error_info(await error_of(video.read())).reason == "RATE_LIMIT"
    await served.segment(SMALL)
    assert len(served.told) == 2


async def test_requests_at_once(served: Served) -> None:
    await served.start("requests_in_flight = 2")
    going, answer = asyncio.Event(), served.model.answer

    async def wait(request: Any, context: Any) -> Any:
        await going.wait()
        return await answer(request, context)

    served.model.answer = wait
    calls = [served.segment() for _ in range(2)]
    await eventually(lambda: served.model.running == 2)
    error = error_info(await error_of(served.segment()))
    assert (error.reason, error.metadata["limit"]) == ("RATE_LIMIT", "requests_in_flight")
    calls.pop().cancel()
    await eventually(lambda: served.model.running == 1)
    other = served.segment()
    going.set()
    await asyncio.gather(*calls, other, served.segment(SMALL))
    text = (await served.stage.http(headers={"authorization": "Bearer small"}).get("/metrics")).text
    assert 'diptych_gateway_token_in_flight{token="greedy"} 0.0' in text
    assert 'diptych_gateway_token_device_seconds_total{token="greedy"} 4.0' in text


async def test_device_time_of_a_comparison_is_that_of_every_model(
    served: Served, log: Callable[[], str]
) -> None:
    await served.start("device_seconds_per_minute = 0.5")
    stub = served.stage.compare_stub()
    request = pb.CompareRequest(request=served.stage.request(), model_ids=["one"])
    await stub.Compare(request, metadata=GREEDY)
    error = error_info(await error_of(served.segment()))
    assert error.metadata["limit"] == "device_seconds_per_minute"

    def audited() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == "request" and "token" in line]

    await eventually(lambda: len(audited()) > 1)  # lines are written after the answer
    assert [
        (e["method"], e["token"], e.get("device_seconds"), e.get("reason")) for e in audited()
    ] == [
        ("Compare", "greedy", 2.0, None),
        ("Segment", "greedy", None, "RATE_LIMIT"),
    ]


async def test_limits_change_while_it_runs_and_what_was_used_counts(served: Served) -> None:
    await served.start(ONCE)
    await served.segment()
    served.path.write_text(
        entry("greedy", "requests_per_second = 0.001\nburst = 2") + entry("small")
    )
    accounts = served.stage.gateway._tokens
    await eventually(lambda: accounts.value.identify("Bearer greedy").limits.burst == 2)
    await served.segment()
    assert error_info(await error_of(served.segment())).reason == "RATE_LIMIT"


async def test_services_hear_who_pays_and_never_who_a_caller_says_it_is(served: Served) -> None:
    await served.start("")
    await served.segment((*SMALL, ("x-diptych-tenant", "greedy")))
    assert served.told[-1]["x-diptych-tenant"] == "small"


async def test_without_tokens_services_hear_of_nobody(served: Served) -> None:
    model = await served.stage.model("one")
    find = model.answer

    async def answer(request: Any, context: Any) -> Any:
        served.told.append({k: str(v) for k, v in context.invocation_metadata()})
        return await find(request, context)

    model.answer = answer
    await served.stage.serve(model)
    stub = served.stage.segment_stub()
    request = served.stage.request(model_id="one")
    await stub.Segment(request, metadata=(("x-diptych-tenant", "greedy"),))
    assert "x-diptych-tenant" not in served.told[-1]
