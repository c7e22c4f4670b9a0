"""What a figure was measured on, and where it is kept."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def describe() -> str:
    """Processor, cores and versions, as one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "sam2", "grpcio"))
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """The most memory that this process had in RAM since ``forget_peak``."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    """Let ``peak_bytes`` count from what is in RAM now (Linux 4.0 or later)."""
    Path("/proc/self/clear_refs").write_text("5")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 1).__int__() - 1)]


def milliseconds(values: Sequence[float]) -> str:
    """Median and mean of times in seconds."""
    return f"{statistics.median(values) * 1e3:7.1f} ({statistics.fmean(values) * 1e3:.1f})"


def keep(name: str, figures: object) -> None:
    """Write figures to a file of the results folder."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": describe(), "figures": figures}, indent=1) + "\n")
    print(f"kept in {path.relative_to(Path(__file__).parent.parent)}")
