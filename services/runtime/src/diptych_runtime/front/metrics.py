"""What a model service tells Prometheus about itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from diptych.wire.stats import read_stats

from ..figures import model
from ..figures.page import MetricsPage
from ..figures.process import ProcessFigures
from ..settings import RuntimeSettings
from .servicer import ModelServicer
from .supervisor import Supervisor

_PREFIX = "diptych"


class ServiceMetrics(Collector):
    """The figures of one service, and their page if the settings have a port for it.

    Names begin with ``diptych_``, or are Prometheus' own for a process. No label has values that a
    caller chooses. Everything is read on the event loop.
    """

    def __init__(
        self, servicer: ModelServicer, supervisor: Supervisor, settings: RuntimeSettings
    ) -> None:
        port = settings.metrics_port
        self.page = MetricsPage(settings.host, port, self.text) if port else None
        """``None`` without a port."""
        self._watching: asyncio.Task[None] | None = None
        self._servicer = servicer
        self._supervisor = supervisor
        self._registry = CollectorRegistry()
        self.process = ProcessFigures(self._registry, _PREFIX)
        self._registry.register(self)

    def bind(self) -> None:
        """Take the port.

        Raises:
            PortTakenError: it is in use or the address is not ours.
        """
        if self.page:
            self.page.bind()

    def start(self) -> None:
        """Answer what comes to the port, and watch the event loop."""
        if self.page:
            self.page.start()
            self._watching = asyncio.create_task(self.process.watch())

    async def stop(self) -> None:
        """Give the port back."""
        if self._watching:
            self._watching.cancel()
        if self.page:
            await self.page.stop()

    def text(self) -> bytes:
        """Write all figures as Prometheus reads them."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of this moment, but for those of the process."""
        engine, card = self._supervisor.engine, self._supervisor.card
        yield GaugeMetricFamily(
            f"{_PREFIX}_engine_up", "Whether there is an engine that answers.", float(bool(engine))
        )
        about = InfoMetricFamily(f"{_PREFIX}_service", "Which model this is, and on what.")
        if card:
            device = engine.device if engine else ""
            about.add_metric([], {"model": card.id, "device": device})
        yield about
        lanes = GaugeMetricFamily(
            f"{_PREFIX}_lane_queue_seconds",
            "How long a new request would wait for the model: prompts on held and on new images, "
            "and all else.",
            labels=["lane"],
        )
        for lane, wait_s in self._servicer.waits_s().items():
            lanes.add_metric([lane.value], wait_s)
        yield lanes
        yield from self._requests()
        rows: list[model.Row] = [((), read_stats(self._servicer.figures()))]
        yield from model.gauges(_PREFIX, (), rows)
        yield from model.counters(_PREFIX, (), rows)

    def _requests(self) -> Iterator[Metric]:
        stats = self._servicer.stats
        calls = CounterMetricFamily(
            f"{_PREFIX}_requests", "Calls that have ended.", labels=["method", "code"]
        )
        for call, count in stats.calls.items():
            calls.add_metric(call, count)
        errors = CounterMetricFamily(
            f"{_PREFIX}_errors",
            "Calls that did not end with OK, by code and reason as in the error table.",
            labels=["code", "reason"],
        )
        for error, count in stats.errors.items():
            errors.add_metric(error, count)
        yield from (calls, errors)
