"""Figures of a process itself: its event loop, memory, file descriptors, watched files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector

from ..release import RELEASE, REVISION

_TICK_S = 0.25
_LAGS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Of the control groups of Linux, version 2 and 1, as a process in a container sees its own.
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_NO_LIMIT_BYTES = 1 << 60


class ProcessFigures:
    """Adds the figures of this process to ``registry``, under names that begin with ``prefix`` or
    are Prometheus' own; ``watch`` has to run for its loop's."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        ProcessCollector(registry=registry)
        Gauge(
            f"{prefix}_build_info",
            "1, with the release that runs, and the revision that it was built from, as labels.",
            ("version", "revision"),
            registry=registry,
        ).labels(RELEASE, REVISION).set(1)
        self._lag = Histogram(
            f"{prefix}_loop_lag_seconds",
            "How late the event loop was, four times a second; the sum is the time that it hung.",
            buckets=_LAGS_S,
            registry=registry,
        )
        if limit := memory_limit():
            Gauge(
                f"{prefix}_memory_limit_bytes",
                "Memory that the container may take; missing without a limit.",
                registry=registry,
            ).set(limit)
        self._unusable = Gauge(
            f"{prefix}_unusable_files",
            "Whether watched files cannot be used as they are, so that what was read before stays.",
            ("files",),
            registry=registry,
        )

    def add_files(self, name: str, usable: Callable[[], bool]) -> None:
        """Tell of some watched files whether they can be used."""
        self._unusable.labels(name).set_function(lambda: float(not usable()))

    async def watch(self) -> None:
        """Measure the event loop until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + _TICK_S
            await asyncio.sleep(_TICK_S)
            self._lag.observe(max(loop.time() - due_s, 0.0))


def memory_limit(files: tuple[Path, ...] = _LIMITS) -> int:
    """Read how many bytes the container may take; 0 if it has no limit."""
    for file in files:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) < _NO_LIMIT_BYTES:
            return int(text)
    return 0
