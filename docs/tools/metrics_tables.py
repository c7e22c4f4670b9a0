"""Tables of every figure that Prometheus is told, read from pages on which each has a value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import grpc
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from diptych import ModelStats, StageTime, Task
from diptych.segment import v1 as pb
from diptych_gateway.backend.addresses import Fixed
from diptych_gateway.backend.discovery import Discovery
from diptych_gateway.backend.images import ImageCache
from diptych_gateway.backend.registry import Registry
from diptych_gateway.backend.replicas import Replicas
from diptych_gateway.metrics import Metrics
from diptych_runtime.calls import Calls
from diptych_runtime.front.service import ModelService
from diptych_runtime.settings import RuntimeSettings

METHOD = "/diptych.segment.v1.SegmentService/Segment"
IN_CONTAINERS = "_memory_limit_bytes"
"""Only told where there is a limit, so their rows do not depend on where this runs."""


async def gateway_page() -> str:
    """The gateway's figures, each with a value."""
    stats = ModelStats(
        outcomes={"OK": 1},
        stages={"queue": StageTime(1, 1.0)},
        batch_sizes={1: 1},
        counting_since=datetime.now(timezone.utc),
    )
    model = Replicas("one", ["127.0.0.1:1"])
    discovery = Discovery("one", Fixed(("127.0.0.1:1",)))
    metrics = Metrics(Registry([model], discoveries={"one": discovery}), ImageCache(0))
    metrics.counted["one"] = model.totals.add({"127.0.0.1:1": stats})
    model.totals.newest = {"127.0.0.1:1": stats}
    model.calls["1", "OK"] += 1
    metrics.process.add_files("tokens", lambda: True)
    Calls().enter((), {"token": "ann"}, probe=False)
    metrics.grpc_call(METHOD, grpc.StatusCode.OK, 0.1)
    text = (await metrics.text()).decode()
    await model.close()
    return text


async def service_page() -> str:
    """A model service's figures, each with a value."""
    service = ModelService("none:none", RuntimeSettings(), port=0)
    service.metrics.process.add_files("tls", lambda: True)
    service.servicer.stats.count_call(METHOD, grpc.StatusCode.OK, 0.1)
    service.servicer.stats.count_answer(
        Task.INSTANCE_SEGMENTATION, {"queue": 0.0, "total": 1.0}, held=False
    )
    service.supervisor.card = pb.ModelCard(id="one")
    return service.metrics.text().decode()


def families(text: str) -> Iterable[Metric]:
    """Those of a page, without when each began and what only containers have."""
    for family in text_string_to_metric_families(text):
        if not family.name.endswith(("_created", IN_CONTAINERS)):
            yield family


def table(page: Callable[[], Any]) -> str:
    """As Markdown."""
    lines = ["| name | type | labels | meaning |", "|---|---|---|---|"]
    for family in families(asyncio.run(page())):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        shown = ", ".join(f"`{label}`" for label in sorted(labels))
        lines.append(f"| `{name}` | {family.type} | {shown} | {family.documentation} |")
    return "\n".join(lines) + "\n"


TABLES: Mapping[str, Callable[[], str]] = {
    "metrics-services": lambda: table(service_page),
    "metrics-gateway": lambda: table(gateway_page),
}
