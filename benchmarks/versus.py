"""Two or more ways to do one thing, by turns in one run, and how much quicker each is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import devices
import machine
import torch

STOCK = "stock"


def measure(
    name: str,
    sides: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    device: torch.device = devices.CPU,
    warm: bool = False,
    after: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds by side and round; prints medians, and the ratio of stock to each other side with its
    spread over rounds. A side is done when ``device`` is. Before the rounds is one that warms up,
    unless the sides are ``warm`` already; ``after`` is called when a round is over, and its time is
    nobody's."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(int(warm), rounds + 1):
        for side, work in sides.items():
            started = time.perf_counter()
            work()
            devices.finish(device)
            if number:
                seconds[side].append(time.perf_counter() - started)
        after()
    print(f"{name}, {rounds} rounds, {torch.get_num_threads()} threads")
    for side, times in seconds.items():
        line = f"  {side:10} {statistics.median(times) * 1e3:10.1f} ms"
        if side != STOCK:
            ratios = sorted(s / t for s, t in zip(seconds[STOCK], times, strict=True))
            median = statistics.median(ratios)
            line += f"   {median:5.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(line, flush=True)
    return seconds


def rows(
    name: str,
    against: str,
    seconds: Mapping[str, Sequence[float]],
    bounds: Mapping[str, tuple[float, float]],
    quality: str = "",
    most_ms: float | None = None,
) -> list[machine.Row]:
    """What ``measure`` found, as rows of the page; ``bounds`` are floor and aim by side. With
    ``most_ms``, the aim on a GPU, the fast side is judged by its own time instead."""
    made = [
        machine.row(
            f"{name}, {side}",
            against,
            ours=[s * 1e3 for s in times],
            theirs=[s * 1e3 for s in seconds[STOCK]],
            unit="ms",
            ratios=[s / t for s, t in zip(seconds[STOCK], times, strict=True)],
            floor=bounds[side][0] if side in bounds else None,
            aim=bounds[side][1] if side in bounds else None,
            quality=quality,
        )
        for side, times in seconds.items()
        if side != STOCK
    ]
    if most_ms is None:
        return made
    own_time: dict[str, Any] = {"floor": None, "aim": most_ms, "bound": "at most", "judged": "ours"}
    return [
        replace(one, **(own_time if one.what.endswith(", fast") else {"floor": None, "aim": None}))
        for one in made
    ]


def keep(
    name: str,
    figures: Mapping[str, object],
    rows: Sequence[machine.Row],
    notes: Sequence[str] = (),
) -> None:
    """Write what was measured, with the machine."""
    threads = {"threads": torch.get_num_threads()}
    machine.keep(name, threads | figures, rows=rows, notes=notes)
