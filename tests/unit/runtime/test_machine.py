"""What the machine says of a process and of its processor."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from diptych_runtime import machine
from diptych_runtime.machine import (
    ProcessMemory,
    cache_budget,
    device_name,
    memory_bytes,
    process_memory,
    processor_name,
)


def test_the_memory_of_a_process_is_that_of_linux() -> None:
    memory = process_memory(os.getpid())
    assert 1_000_000 < memory.now <= memory.peak
    gone = 2**22 + 1  # larger than Linux numbers processes
    assert process_memory(gone) == ProcessMemory()


def test_only_the_processor_is_named_here() -> None:
    assert device_name("cuda:0 NVIDIA A10G") == "cuda:0 NVIDIA A10G"
    assert device_name("cpu") == f"cpu {processor_name()}".strip()


def test_kills_for_want_of_memory_are_those_of_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = tmp_path / "vmstat"
    monkeypatch.setattr(machine, "_VMSTAT", counts)
    assert not machine.MemoryKills().happened  # a system without
    counts.write_text("pgfault 12\noom_kill 3\n")
    kills = machine.MemoryKills()
    assert not kills.happened
    counts.write_text("pgfault 12\noom_kill 4\n")
    assert kills.happened
    kills.look()
    assert kills.happened  # counted before a large process is gone
    kills.look()
    assert not kills.happened


GIB = 1024**3


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 64 GiB that no group of processes bounds; returns where its groups are."""
    monkeypatch.setattr(
        os, "sysconf", {"SC_PHYS_PAGES": 64 * GIB // 4096, "SC_PAGE_SIZE": 4096}.get
    )
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_OWN_CGROUPS", tmp_path / "own")
    return tmp_path / "cgroup"


def limit(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")


def test_memory_is_that_of_the_machine_or_of_the_container(groups: Path) -> None:
    assert memory_bytes() == 64 * GIB
    (groups.parent / "own").write_text("0::/pods/one\n")
    limit(groups / "pods/one/memory.max", "max")
    assert memory_bytes() == 64 * GIB
    limit(groups / "pods/memory.max", str(8 * GIB))  # of all in it
    assert memory_bytes() == 8 * GIB
    limit(groups / "pods/one/memory.max", str(2 * GIB))
    assert memory_bytes() == 2 * GIB
    (groups.parent / "own").write_text("0::/elsewhere/of/the/machine\n")  # a container
    limit(groups / "memory.max", str(3 * GIB))
    assert memory_bytes() == 3 * GIB


def test_memory_by_the_groups_of_older_systems(groups: Path) -> None:
    (groups.parent / "own").write_text("9:cpu,cpuacct:/x\n4:memory:/docker/7\n0::/\n")
    limit(groups / "memory/memory.limit_in_bytes", str(2**63 - 4096))  # none
    assert memory_bytes() == 64 * GIB
    limit(groups / "memory/docker/7/memory.limit_in_bytes", str(GIB))
    assert memory_bytes() == GIB


def test_this_machine_says_how_much_memory_it_has() -> None:
    assert process_memory(os.getpid()).now < memory_bytes() < 2**50


@pytest.mark.parametrize(
    ("memory", "wanted", "free", "budget"),
    [
        (64, 0, 0, 0),
        (64, 7, 40 * GIB, 7),
        (64, None, 40 * GIB, 10 * GIB),
        (8, None, 136 * GIB, 4 * GIB),
        (0, None, 136 * GIB, 34 * GIB),
        (64, None, 0, 8 * GIB),
        (16, None, 0, 2 * GIB),
        (1, None, 0, GIB // 4),
        (128, None, 0, 8 * GIB),
        (0, None, 0, GIB // 2),
    ],
)
def test_what_images_may_take(
    monkeypatch: pytest.MonkeyPatch, memory: int, wanted: int | None, free: int, budget: int
) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: memory * GIB)
    assert cache_budget(wanted, free) == budget
