"""What the machine says of itself and of a process; empty or 0 where it says nothing."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

_KIB = 1024
_OWN_FILES = 128
_CPUINFO = Path("/proc/cpuinfo")
_VMSTAT = Path("/proc/vmstat")
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_MIB = 1024 * 1024
_DEVICE_SHARE = 4
_MEMORY_SHARE = 8
_FEW_BYTES, _MOST_BYTES = 256 * _MIB, 8192 * _MIB
_CACHE_BYTES = 512 * _MIB  # where nothing says how much memory there is


@dataclass(frozen=True)
class ProcessMemory:
    """Bytes of a process that are in memory: now, and the most that there have been."""

    now: int = 0
    peak: int = 0


def process_memory(pid: int) -> ProcessMemory:
    """Read the memory of a process from ``/proc``; zeros without one, or without that process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ProcessMemory()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return ProcessMemory(now=_kib(fields, "VmRSS"), peak=_kib(fields, "VmHWM"))


class MemoryKills:
    """Tells whether the system ended a process for want of memory, between one look and a little
    later: of this machine, in whatever container, as Linux counts them nowhere else for all."""

    def __init__(self) -> None:
        # Not the last one: a large process takes a while to be gone after it was counted.
        self._counts = deque([_memory_kills()] * 2, maxlen=2)

    def look(self) -> None:
        """Forget what happened before the look before this one."""
        self._counts.append(_memory_kills())

    @property
    def happened(self) -> bool:
        """Whether it did, at any time since the look before the last one."""
        return _memory_kills() > self._counts[0]


def _memory_kills() -> int:
    try:
        fields = (line.split() for line in _VMSTAT.read_text().splitlines())
        return next((int(count) for name, count in fields if name == "oom_kill"), 0)
    except (OSError, ValueError):
        return 0


def memory_bytes() -> int:
    """Return how much memory this process may take: the machine's, or less where a container has
    less; 0 where nothing says it."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        machine = 0
    return min((size for size in (machine, *_cgroup_limits()) if size > 0), default=0)


def _cgroup_limits() -> list[int]:
    """Read the limits of the groups that this process is in, and of those around them."""
    try:
        lines = _OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return []
    limits = []
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") > 1):
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = (
            (_CGROUPS / "memory", "memory.limit_in_bytes")
            if controllers
            else (_CGROUPS, "memory.max")
        )
        own = root / path.strip("/")
        # A container may see only the root of its own, under a path of the machine's.
        for group in (own, *own.parents):
            with contextlib.suppress(OSError, ValueError):  # "max", or no such group here
                limits.append(int((group / name).read_text()))
            if group == root:
                break
    return limits


def cache_budget(wanted: int | None, free_device_bytes: int) -> int:
    """Return how many bytes of images and features may be held: those wanted, or a share.

    A quarter of what was free on the device: others may compute on it too, and requests need
    several times what is held of them. At most half of the memory, where the files are. Without a
    device an eighth of the memory, from 256 MiB to 8 GiB: more processes are on the machine.

    Args:
        wanted: As the operator set it; ``None`` for a share.
        free_device_bytes: Of a device other than the processor, once the model was loaded; 0 for
            the processor.
    """
    if wanted is not None:
        return wanted
    memory = memory_bytes()
    if free_device_bytes:
        share = free_device_bytes // _DEVICE_SHARE
        return min(share, memory // 2) if memory else share
    return min(max(memory // _MEMORY_SHARE, _FEW_BYTES), _MOST_BYTES) if memory else _CACHE_BYTES


def raise_file_limit() -> int:
    """Let this process open as many files as it may at most; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # some systems take less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def connections_of(files: int, wanted: int, ports: int = 1) -> int:
    """Compute how many connections each of some ports may have, of those wanted.

    The rest of the files is for what the process opens itself: calls to others, health, logs.
    """
    return max(min(wanted, (files - min(_OWN_FILES, files // 2)) // ports), 1)


def device_name(device: str) -> str:
    """Name a device; the processor's name is found here, engines say only ``cpu``."""
    return f"{device} {processor_name()}".strip() if device == "cpu" else device


def processor_name() -> str:
    """Return what the processor calls itself, such as ``AMD EPYC 7B13``."""
    return _of_first_processor(_CPUINFO, "model name") or platform.processor()


def processor_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """Return the instructions that the processor has, by Linux' names, such as ``avx2``."""
    # Of Intel and AMD, and of Arm.
    flags = _of_first_processor(cpuinfo, "flags") or _of_first_processor(cpuinfo, "Features")
    return frozenset(flags.split())


def _of_first_processor(cpuinfo: Path, name: str) -> str:
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    fields = (line.partition(":") for line in lines)
    return next((text.strip() for field, _, text in fields if field.strip() == name), "")


def _kib(fields: dict[str, str], name: str) -> int:
    return int(fields.get(name, "0").split()[0]) * _KIB
