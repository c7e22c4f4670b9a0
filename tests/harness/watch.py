"""What a process costs, read from the system, and how long it leaves others waiting."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from processes import children, gone, shared_memory

MiB = 1024 * 1024
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Of one process at one moment."""

    rss: int
    """Bytes that are resident."""
    cpu_s: float
    fds: int
    threads: int
    children: int
    shared: int
    """Segments of memory that it shares with others."""


def usage(pid: int) -> Usage:
    """Read it; fails if the process is gone."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return Usage(
        rss=int(status["VmRSS"].split()[0]) * 1024,
        cpu_s=cpu_s(pid),
        fds=len(os.listdir(f"/proc/{pid}/fd")),
        threads=int(status["Threads"]),
        children=len(children(pid)),
        shared=len({one.inode for one in shared_memory(pid)}),
    )


def cpu_s(pid: int) -> float:
    """Seconds of processor, of all its threads."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / _TICKS


@dataclass
class Samples:
    """The worst of what was seen of some processes."""

    rss: dict[int, int] = field(default_factory=dict)
    fds: dict[int, int] = field(default_factory=dict)
    series: list[tuple[float, int, int]] = field(default_factory=list)
    """Moment, process, resident bytes."""

    def slope(self, pid: int, calls: int, *, after: float) -> float:
        """Bytes that a process grew by for each call, fitted over what was seen after a moment."""
        rows = [(at, rss) for at, one, rss in self.series if one == pid and at >= after]
        if len(rows) < 2 or not calls:
            return 0.0
        mean_at = sum(at for at, _ in rows) / len(rows)
        mean = sum(rss for _, rss in rows) / len(rows)
        spread = sum((at - mean_at) ** 2 for at, _ in rows)
        per_s = sum((at - mean_at) * (rss - mean) for at, rss in rows) / (spread or 1.0)
        return per_s * (rows[-1][0] - rows[0][0]) / calls


@asynccontextmanager
async def sampling(
    pids: Callable[[], list[int]], *, every_s: float = 0.1
) -> AsyncIterator[Samples]:
    """Look at processes again and again while the block runs."""
    samples = Samples()

    def look() -> None:
        for pid in pids():
            with suppress(OSError, KeyError):
                if gone(pid):
                    continue
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                rss = pages * os.sysconf("SC_PAGE_SIZE")
                samples.series.append((time.monotonic(), pid, rss))
                samples.rss[pid] = max(samples.rss.get(pid, 0), rss)
                count = len(os.listdir(f"/proc/{pid}/fd"))
                samples.fds[pid] = max(samples.fds.get(pid, 0), count)

    async def repeat() -> None:
        while True:
            look()
            await asyncio.sleep(every_s)

    task = asyncio.create_task(repeat())
    try:
        yield samples
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        look()
