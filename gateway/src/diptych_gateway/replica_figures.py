"""Figures of the replicas that models have, each by its address."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from diptych.wire.cards import weights_of
from diptych_runtime.figures.model import Row, gauges

from .backend.registry import Registry
from .security.gate import may_know_addresses

_PREFIX = "diptych_replica"
_LABELS = ("model", "replica")


class ReplicaFigures(Collector):
    """What the gateway knows of replicas, and what they said when they were asked last.

    They go by the names that they have in health and cards. Where they are is told only to who may
    know it.
    """

    def __init__(self, registry: Registry) -> None:
        self._models = registry.services
        self._discoveries = registry.discoveries

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of this moment."""
        replicas = [
            ((model.model_id, replica.name), replica)
            for model in self._models
            for replica in model.replicas
        ]
        up = GaugeMetricFamily(f"{_PREFIX}_up", "Whether the replica answers.", labels=_LABELS)
        in_flight = GaugeMetricFamily(
            f"{_PREFIX}_in_flight",
            "Requests and sessions that it has by this gateway.",
            labels=_LABELS,
        )
        about = InfoMetricFamily(
            _PREFIX, "Where the replica is; only for tokens for everything.", labels=_LABELS
        )
        told = may_know_addresses()
        for labels, replica in replicas:
            up.add_metric(labels, float(replica.is_up))
            in_flight.add_metric(labels, replica.in_flight)
            if told:
                about.add_metric(labels, {"address": replica.address})
        yield from (up, in_flight, about, self._calls(), self._weights(), self._lookups())
        newest = {model.model_id: model.totals.newest for model in self._models}
        rows: list[Row] = [
            (labels, newest[labels[0]][replica.address])
            for labels, replica in replicas
            if replica.address in newest[labels[0]]
        ]
        yield from gauges(_PREFIX, _LABELS, rows)
        since = GaugeMetricFamily(
            f"{_PREFIX}_counting_since_seconds",
            "When the service began to count, in seconds since 1970.",
            labels=_LABELS,
        )
        for values, stats in rows:
            if stats.counting_since:
                since.add_metric(values, stats.counting_since.timestamp())
        yield since

    def _calls(self) -> Metric:
        calls = CounterMetricFamily(
            f"{_PREFIX}_calls",
            "What this gateway has asked it, by code; one request may be asked of several.",
            labels=(*_LABELS, "code"),
        )
        for model in self._models:
            for (name, code), count in model.calls.items():
                calls.add_metric([model.model_id, name, code], count)
        return calls

    def _weights(self) -> Metric:
        weights = GaugeMetricFamily(
            "diptych_model_weights",
            "How many different weights the replicas have that answer.",
            labels=["model"],
        )
        for model in self._models:
            cards = [replica.card for replica in model.replicas if replica.is_up]
            weights.add_metric([model.model_id], len({weights_of(card) for card in cards if card}))
        return weights

    def _lookups(self) -> Metric:
        lookups = GaugeMetricFamily(
            "diptych_model_lookup_fails",
            "Whether replicas could not be looked up last, so that those found before stay in use.",
            labels=["model"],
        )
        for model_id, discovery in self._discoveries.items():
            lookups.add_metric([model_id], float(bool(discovery.problem)))
        return lookups
