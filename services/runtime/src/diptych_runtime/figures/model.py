"""Figures of models for Prometheus, from what services say of themselves: those of one service on
its own page, those of many on the gateway's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.metrics_core import Metric

from diptych import ModelStats

Row: TypeAlias = tuple[Sequence[str], ModelStats]
"""The values of the labels, and what has them."""
_Read: TypeAlias = Callable[[ModelStats], float]
_Table: TypeAlias = tuple[tuple[str, str, _Read], ...]

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
_GAUGES: _Table = (
    (
        "queue_seconds",
        "How long a new request would wait for the model, in the lane where that is longest.",
        lambda s: s.queue_wait_s,
    ),
    ("queue_length", "Requests that wait.", lambda s: s.queue_length),
    ("running", "Requests being worked on.", lambda s: s.running_count),
    ("sessions", "Open video sessions.", lambda s: s.session_count),
    ("held_images", "Pictures whose features are held.", lambda s: s.held_image_count),
    ("held_bytes", "What held pictures and their features take.", lambda s: s.held_bytes),
    ("memory_bytes", "What the engine process takes.", lambda s: s.engine_memory_bytes),
    (
        "device_peak_memory_bytes",
        "The most memory of a GPU that the engine has taken.",
        lambda s: s.device_peak_memory_bytes,
    ),
)
_COUNTERS: _Table = (
    ("device_seconds", "Time that the model worked on requests.", lambda s: s.device_s),
    ("image_cache_hits", "Answers without the encoder.", lambda s: s.image_cache_hit_count),
    ("encoder_runs", "Runs of the encoder.", lambda s: s.encoder_run_count),
    ("engine_restarts", "Lost engine processes.", lambda s: s.engine_restart_count),
)


def gauges(prefix: str, labels: Sequence[str], rows: Sequence[Row]) -> Iterator[Metric]:
    """Yield what is there at this moment."""
    for name, text, read in _GAUGES:
        gauge = GaugeMetricFamily(f"{prefix}_{name}", text, labels=labels)
        for values, stats in rows:
            gauge.add_metric(values, read(stats))
        yield gauge


def counters(prefix: str, labels: Sequence[str], rows: Sequence[Row]) -> Iterator[Metric]:
    """Yield what was done, time by stage, and the sizes of batches."""
    for name, text, read in _COUNTERS:
        counter = CounterMetricFamily(f"{prefix}_{name}", text, labels=labels)
        for values, stats in rows:
            counter.add_metric(values, read(stats))
        yield counter
    stages = SummaryMetricFamily(
        f"{prefix}_stage_seconds", "Time in a stage.", labels=[*labels, "stage"]
    )
    batches = HistogramMetricFamily(
        f"{prefix}_batch_size",
        "Answers, by how many requests the model answered at once.",
        labels=labels,
    )
    for values, stats in rows:
        for stage, spent in stats.stages.items():
            stages.add_metric([*values, stage], spent.count, spent.total_s)
        counts = stats.batch_sizes
        buckets = [
            (str(float(most)), float(sum(n for size, n in counts.items() if size <= most)))
            for most in BATCH_SIZES
        ]
        buckets.append(("+Inf", float(sum(counts.values()))))
        batches.add_metric(values, buckets, sum(size * n for size, n in counts.items()))
    yield from (stages, batches)
