"""Figures for Prometheus: the gateway's own counters, and those of the models at this moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from diptych import ModelStats
from diptych.segment import v1 as pb
from diptych.wire.reasons import CODES
from diptych.wire.stats import read_stats, stats_request
from diptych_runtime.calls import log_field
from diptych_runtime.engine import ServiceError
from diptych_runtime.figures.model import Row, counters, gauges
from diptych_runtime.figures.process import ProcessFigures
from diptych_runtime.grpc_server.interceptor import failure_reason

from .backend.images import ImageCache
from .backend.model import Model
from .backend.registry import Registry
from .contract import METHODS
from .replica_figures import ReplicaFigures
from .statuses import BackendError

MEDIA_TYPE = CONTENT_TYPE_LATEST
_STATS_TIMEOUT_S = 2.0
_MOST_TOKENS = 100
_WATCHED = [(code.name, reason.value) for reason, code in CODES.items()]
_OTHER = "other"
_MODEL = "diptych_model"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True)
class _Model:
    """One model at this moment; ``stats`` is ``None`` if it is down or did not answer, ``counted``
    what it said when it did last."""

    model_id: str
    in_flight: int
    up: bool
    stats: ModelStats | None
    counted: ModelStats | None


class Metrics:
    """What one gateway counts."""

    def __init__(self, registry: Registry, cache: ImageCache) -> None:
        self._models = registry
        self._cache = cache
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "diptych_gateway_requests",
            "Requests to the gateway, by their outcome.",
            ("transport", "method", "code"),
            registry=self._registry,
        )
        self._errors = Counter(
            "diptych_gateway_errors",
            "Requests that did not end with OK, by code and reason as in the error table.",
            ("transport", "code", "reason"),
            registry=self._registry,
        )
        for code, reason in _WATCHED:  # a counter that begins at 1 has not increased
            self._errors.labels("grpc", code, reason)
        for status in ("500", "503", "504"):
            self._errors.labels("http", status, "")
        self._of_tokens = Counter(
            "diptych_gateway_token_requests",
            "Requests by the name of their token; without tokens there are none.",
            ("token", "reason"),
            registry=self._registry,
        )
        self._tokens: set[str] = set()
        self.counted: dict[str, ModelStats | None] = {}
        """What models said when they answered last, by their ids."""
        self.process = ProcessFigures(self._registry, "diptych_gateway")
        self._seconds = Histogram(
            "diptych_gateway_request_seconds",
            "Time from a request's arrival to the end of its answer.",
            ("transport", "method"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.video_sockets = Gauge(
            "diptych_gateway_video_sockets",
            "Video sessions over WebSockets that are open.",
            registry=self._registry,
        )

    def add(self, figures: Collector) -> None:
        """Show figures that somebody else counts."""
        self._registry.register(figures)

    def grpc_call(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """Count the call being served, which is over; clients may invent names of methods, so
        those become one."""
        name = method.rpartition("/")[2] if method in METHODS else _OTHER
        self._count("grpc", name, code.name, seconds, ok=code is grpc.StatusCode.OK)

    def http_request(self, method: str, status: int, seconds: float) -> None:
        """Count the request being served, which is over; ``method`` is one of few."""
        self._count("http", method, str(status), seconds, ok=status < 400)

    def _count(self, transport: str, method: str, code: str, seconds: float, *, ok: bool) -> None:
        self._requests.labels(transport, method, code).inc()
        self._seconds.labels(transport, method).observe(seconds)
        reason = "" if ok else failure_reason()
        if not ok:
            self._errors.labels(transport, code, reason).inc()
        if token := str(log_field("token") or ""):
            self._of_tokens.labels(self._token_label(token), reason).inc()

    def _token_label(self, name: str) -> str:
        if len(self._tokens) < _MOST_TOKENS:
            self._tokens.add(name)
        return name if name in self._tokens else _OTHER

    async def text(self) -> bytes:
        """Write all figures as Prometheus reads them; asks every model."""
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(self._ask(model)) for model in self._models.models()]
        snapshot = CollectorRegistry()
        snapshot.register(_Snapshot([task.result() for task in asking], self._cache))
        snapshot.register(ReplicaFigures(self._models))
        return generate_latest(self._registry) + generate_latest(snapshot)

    async def _ask(self, model: Model) -> _Model:
        name, in_flight, up = model.model_id, model.in_flight, not model.status.code
        stats = await ask_stats(model) if up else None
        # A counter that is gone for a while would have fallen, for whoever adds some up.
        counted = self.counted[name] = stats or self.counted.get(name)
        return _Model(name, in_flight, up, stats, counted)


async def ask_stats(model: Model) -> ModelStats | None:
    """Ask a model for its counters; ``None`` if it says none within 2 seconds."""
    request = stats_request(model.model_id).SerializeToString()
    try:
        raw = await model.call("GetModelStats", request, timeout_s=_STATS_TIMEOUT_S)
        return read_stats(pb.GetModelStatsResponse.FromString(raw))
    except (BackendError, ServiceError, DecodeError, ValueError, OverflowError):
        return None


class _Snapshot(Collector):
    """The figures at the moment of one request."""

    def __init__(self, models: Sequence[_Model], cache: ImageCache) -> None:
        self._models = models
        self._cache = cache

    def collect(self) -> Iterator[Metric]:
        held = "diptych_gateway_picture"
        yield GaugeMetricFamily(f"{held}s", "Pictures kept to be sent again.", len(self._cache))
        yield GaugeMetricFamily(f"{held}_bytes", "What they take.", self._cache.nbytes)
        yield CounterMetricFamily(f"{held}_hits", "Sent again.", self._cache.hits)
        yield CounterMetricFamily(f"{held}_misses", "Not kept any more.", self._cache.misses)
        waiting = GaugeMetricFamily(
            "diptych_gateway_in_flight", "Requests that wait for a model.", labels=["model"]
        )
        up = GaugeMetricFamily(
            f"{_MODEL}_up", "Whether the model answers, as /readyz has it.", labels=["model"]
        )
        for model in self._models:
            waiting.add_metric([model.model_id], model.in_flight)
            up.add_metric([model.model_id], float(model.up))
        yield from (waiting, up)
        yield from self._of_models()

    def _of_models(self) -> Iterator[Metric]:
        labels = ["model"]
        yield from gauges(
            _MODEL, labels, [((m.model_id,), m.stats) for m in self._models if m.stats]
        )
        rows: list[Row] = [((m.model_id,), m.counted) for m in self._models if m.counted]
        yield from counters(_MODEL, labels, rows)
        since = GaugeMetricFamily(
            f"{_MODEL}_counting_since_seconds",
            "Since when all of this is counted, in seconds since 1970.",
            labels=labels,
        )
        outcomes = CounterMetricFamily(
            f"{_MODEL}_requests", "Requests to the model.", labels=[*labels, "code"]
        )
        for (model_id,), stats in rows:
            if stats.counting_since:
                since.add_metric([model_id], stats.counting_since.timestamp())
            for outcome, count in stats.outcomes.items():
                outcomes.add_metric([model_id, outcome], count)
        yield from (since, outcomes)
