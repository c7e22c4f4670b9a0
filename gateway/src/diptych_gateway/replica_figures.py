"""Figures of the replicas that models have, each by its address."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from diptych.wire.cards import weights_of
from diptych_runtime.figures.model import Row, gauges

from .backend.replicas import Replicas

_PREFIX = "diptych_replica"
_LABELS = ("model", "replica")


class ReplicaFigures(Collector):
    """What the gateway knows of replicas, and what they said when they were asked last."""

    def __init__(self, models: Sequence[Replicas]) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of this moment."""
        up = GaugeMetricFamily(f"{_PREFIX}_up", "Whether the replica answers.", labels=_LABELS)
        in_flight = GaugeMetricFamily(
            f"{_PREFIX}_in_flight",
            "Requests and sessions that it has by this gateway.",
            labels=_LABELS,
        )
        for model in self._models:
            for replica in model.replicas:
                up.add_metric([model.model_id, replica.address], float(replica.is_up))
                in_flight.add_metric([model.model_id, replica.address], replica.in_flight)
        yield from (up, in_flight, self._calls(), self._weights())
        rows: list[Row] = [
            ((model.model_id, address), stats)
            for model in self._models
            for address, stats in model.totals.newest.items()
        ]
        yield from gauges(_PREFIX, _LABELS, rows)
        since = GaugeMetricFamily(
            f"{_PREFIX}_counting_since_seconds",
            "When the service began to count, in seconds since 1970.",
            labels=_LABELS,
        )
        for labels, stats in rows:
            if stats.counting_since:
                since.add_metric(labels, stats.counting_since.timestamp())
        yield since

    def _calls(self) -> Metric:
        calls = CounterMetricFamily(
            f"{_PREFIX}_calls",
            "What this gateway has asked it, by code; of many that left the replica is `gone`.",
            labels=(*_LABELS, "code"),
        )
        for model in self._models:
            for (address, code), count in model.calls.items():
                calls.add_metric([model.model_id, address, code], count)
        return calls

    def _weights(self) -> Metric:
        weights = GaugeMetricFamily(
            "diptych_model_weights",
            "How many different weights the replicas have that answer.",
            labels=["model"],
        )
        for model in self._models:
            up = [replica for replica in model.replicas if replica.is_up and replica.card]
            kinds = {weights_of(replica.card) for replica in up if replica.card}
            weights.add_metric([model.model_id], len(kinds))
        return weights
