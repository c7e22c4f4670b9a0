"""Requests are counted by reason and by token, in labels that nobody can make many of."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from diptych_gateway.backend.images import ImageCache
from diptych_gateway.backend.registry import Registry
from diptych_gateway.metrics import Metrics
from diptych_runtime.calls import Calls
from diptych_runtime.figures.process import memory_limit
from diptych_runtime.grpc_server.interceptor import Observer

METHOD = "/diptych.segment.v1.SegmentService/Segment"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Registry([]), ImageCache(0))


async def count(observer: Observer, code: grpc.StatusCode, **fields: object) -> None:
    """Count a call whose log line has these fields."""
    calls = Calls()

    async def serve() -> None:
        call = calls.enter((), fields, probe=False)
        observer(METHOD, code, 0.1)
        calls.leave(call)

    await asyncio.create_task(serve())


async def test_failures_have_their_reason_and_requests_their_token(metrics: Metrics) -> None:
    full = grpc.StatusCode.RESOURCE_EXHAUSTED
    await count(metrics.grpc_call, full, reason="QUEUE_FULL", token="ann")
    await count(metrics.grpc_call, full, backend_reason="DEVICE_MEMORY", token="ann")
    await count(metrics.grpc_call, full, backend_reason="INVENTED")
    await count(metrics.grpc_call, grpc.StatusCode.OK, token="ann")
    text = (await metrics.text()).decode()
    errors = 'diptych_gateway_errors_total{code="RESOURCE_EXHAUSTED",reason="%s",transport="grpc"}'
    for reason in ("QUEUE_FULL", "DEVICE_MEMORY", "other"):
        assert f"{errors % reason} 1.0" in text
    tokens = 'diptych_gateway_token_requests_total{reason="%s",token="ann"} 1.0'
    for reason in ("QUEUE_FULL", "DEVICE_MEMORY", ""):
        assert tokens % reason in text
    assert "INVENTED" not in text


async def test_many_tokens_are_counted_as_one(metrics: Metrics) -> None:
    for number in range(150):
        await count(metrics.grpc_call, grpc.StatusCode.OK, token=f"t{number}")
    text = (await metrics.text()).decode()
    assert text.count("diptych_gateway_token_requests_total{") == 101
    assert 'diptych_gateway_token_requests_total{reason="",token="other"} 50.0' in text


async def test_alerting_counters_are_there_before_the_first_failure(metrics: Metrics) -> None:
    text = (await metrics.text()).decode()
    assert 'code="ABORTED",reason="SESSION_LOST",transport="grpc"} 0.0' in text


async def test_the_process_tells_of_files_memory_and_its_loop(metrics: Metrics) -> None:
    usable = True
    metrics.process.add_files("tokens", lambda: usable)
    watching = asyncio.create_task(metrics.process.watch())
    while b"loop_lag_seconds_count 0.0" in await metrics.text():
        await asyncio.sleep(0.05)
    watching.cancel()
    text = (await metrics.text()).decode()
    for name in ("process_open_fds ", "process_max_fds ", "process_resident_memory_bytes "):
        assert f"\n{name}" in text
    assert 'diptych_gateway_unusable_files{files="tokens"} 0.0' in text
    usable = False
    assert b'diptych_gateway_unusable_files{files="tokens"} 1.0' in await metrics.text()


def test_the_limit_of_a_container_is_read(tmp_path: Path) -> None:
    limited, unlimited, old = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    limited.write_text("4294967296\n")
    unlimited.write_text("max\n")
    old.write_text("9223372036854771712\n")
    assert memory_limit((tmp_path / "none", limited)) == 4 << 30
    assert memory_limit((unlimited, old)) == 0
