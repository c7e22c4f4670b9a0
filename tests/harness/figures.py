"""Figures beside their floors, and the exit status that says whether all are met."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from diptych_runtime.machine import processor_name


@dataclass(frozen=True)
class Figure:
    """One measured value and what it may be at most, or has to be at least."""

    name: str
    value: float
    floor: float
    unit: str = ""
    at_least: bool = False
    """Whether more is better."""

    @property
    def met(self) -> bool:
        return self.value >= self.floor if self.at_least else self.value <= self.floor

    def line(self) -> str:
        sign = "≥" if self.at_least else "≤"
        verdict = "met" if self.met else "MISSED"
        value, floor = (
            f"{_short(self.value)} {self.unit}",
            f"{sign} {_short(self.floor)} {self.unit}",
        )
        return f"{self.name:<60} {value:>16}   floor {floor:<16} {verdict}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def machine_line() -> str:
    """Processor, cores and versions, as one line."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    load = os.getloadavg()[0]
    parts = (
        processor_name() or platform.machine(),
        f"{os.cpu_count()} cores",
        f"{memory:.0f} GiB",
        f"Python {platform.python_version()}",
        f"grpcio {version('grpcio')}",
        f"Pillow {version('pillow')}",
        f"load {load:.1f}",
    )
    return ", ".join(parts)


def report(figures: Sequence[Figure]) -> int:
    """Print all figures and the machine; returns 0 if every floor is met, else 1."""
    for figure in figures:
        print(figure.line(), flush=True)
    print(f"measured on: {machine_line()}", flush=True)
    return 0 if all(figure.met for figure in figures) else 1


def finish(figures: Sequence[Figure]) -> None:
    """``report`` and end the process with its status."""
    sys.exit(report(figures))
