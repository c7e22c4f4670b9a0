"""What a service tells Prometheus is so: while it works, waits, refuses and loses its engine."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.request
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

import grpc
import pytest
import pytest_asyncio
from counters import Samples, samples
from gates import Gate, ask, fresh
from serving_helpers import (
    automatic_request,
    eventually,
    png,
    point_request,
    running_service,
    stub_of,
)
from stack import free_port

from diptych.segment import v1 as pb
from diptych_runtime.figures import page
from diptych_runtime.front.service import ModelService
from diptych_runtime.settings import RuntimeSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Served(NamedTuple):
    gate: Gate
    service: ModelService
    stub: pb.SegmentServiceStub
    url: str

    async def figures(self) -> Samples:
        """Every sample."""
        return await asyncio.to_thread(_read, self.url)


def _read(url: str) -> Samples:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return samples(answer.read().decode())


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    gate = Gate(tmp_path_factory.mktemp("gate"))
    port = free_port()
    with gate.environment(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(page.MetricsPage.__init__, "__kwdefaults__", {"fresh_s": 0.0})
        async with (
            running_service(metrics_port=port) as service,
            stub_of(service.port) as stub,
        ):
            try:
                yield Served(gate, service, stub, f"http://127.0.0.1:{port}/metrics")
            finally:
                gate.open()


async def test_what_was_done_is_counted(served: Served) -> None:
    before = await served.figures()
    held = png(fresh())
    for _ in range(2):
        await served.stub.Segment(point_request(held))
    with suppress(grpc.aio.AioRpcError):
        await served.stub.Segment(point_request(b"no picture"))
    with suppress(grpc.aio.AioRpcError):
        await served.stub.GetModelCard(pb.GetModelCardRequest(model_id="another"))
    after = await served.figures()

    def more(*key: str) -> float:
        return after[key] - before.get(key, 0.0)

    assert more("diptych_requests_total", "code=OK", "method=Segment") == 2
    assert more("diptych_requests_total", "code=INVALID_ARGUMENT", "method=Segment") == 1
    assert more("diptych_requests_total", "code=NOT_FOUND", "method=GetModelCard") == 1
    assert more("diptych_errors_total", "code=INVALID_ARGUMENT", "reason=IMAGE_UNREADABLE") == 1
    assert more("diptych_errors_total", "code=NOT_FOUND", "reason=MODEL_UNKNOWN") == 1
    assert more("diptych_encoder_runs_total") == 1
    assert more("diptych_image_cache_hits_total") == 1
    assert more("diptych_device_seconds_total") > 0
    assert more("diptych_stage_seconds_count", "stage=total") == 2
    assert more("diptych_batch_size_count") == 2
    assert after["diptych_held_images",] >= 1
    assert after["diptych_held_bytes",] > 0
    assert after["diptych_engine_up",] == 1
    engine = served.service.supervisor.engine
    assert engine
    assert after["diptych_service_info", f"device={engine.device}", "model=fake"] == 1


async def test_the_process_and_its_engine_are_measured(served: Served) -> None:
    figures = await served.figures()
    for name in ("process_open_fds", "process_max_fds", "process_resident_memory_bytes"):
        assert figures[name,] > 0
    assert figures["diptych_memory_bytes",] > 0

    async def measured() -> bool:
        return (await served.figures())["diptych_loop_lag_seconds_count",] > 0

    await eventually(measured)


async def test_what_waits_is_told_and_how_long_a_new_request_would(served: Served) -> None:
    idle = await served.figures()
    assert idle["diptych_queue_seconds",] == idle["diptych_queue_length",] == 0
    _, slow = await served.gate.occupy(served.stub)
    others = [ask(served.stub.Segment(automatic_request(png(fresh())))) for _ in range(4)]

    async def three_wait() -> bool:
        return (await served.figures())["diptych_queue_length",] == 3

    await eventually(three_wait)
    busy = await served.figures()
    assert busy["diptych_running",] == 2
    waits = {key[1]: s for key, s in busy.items() if key[0] == "diptych_lane_queue_seconds"}
    assert set(waits) == {"lane=held", "lane=new", "lane=bulk"}
    assert waits["lane=bulk"] > waits["lane=held"] == waits["lane=new"] == 0
    assert busy["diptych_queue_seconds",] == pytest.approx(waits["lane=bulk"], rel=0.5)
    served.gate.open()
    await asyncio.gather(slow, *others)
    assert (await served.figures())["diptych_queue_seconds",] == 0


async def test_a_lost_engine_is_told(served: Served) -> None:
    before = (await served.figures())["diptych_engine_restarts_total",]
    engine = served.service.supervisor.engine
    assert engine
    os.kill(engine.pid, signal.SIGKILL)

    async def back() -> bool:
        figures = await served.figures()
        restarts = figures["diptych_engine_restarts_total",] - before
        return (figures["diptych_engine_up",], restarts) == (1, 1)

    await eventually(back)


async def test_before_there_is_a_model_there_are_figures() -> None:
    service = ModelService("fake_engine:create", RuntimeSettings(), port=0)
    figures = samples(service.metrics.text().decode())
    assert figures["diptych_engine_up",] == 0
    assert figures["diptych_queue_seconds",] == 0
    assert figures["diptych_errors_total", "code=RESOURCE_EXHAUSTED", "reason=QUEUE_FULL"] == 0
    assert not [key for key in figures if key[0] == "diptych_service_info"]


@pytest.mark.parametrize("unset", ["", 0, None])
async def test_by_itself_a_service_listens_for_nobody_else(unset: object) -> None:
    service = ModelService("fake_engine:create", RuntimeSettings(metrics_port=unset), port=0)
    assert service.metrics.page is None
