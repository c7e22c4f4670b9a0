"""What the machine says of a process and of its processor."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from diptych_runtime import machine
from diptych_runtime.machine import ProcessMemory, device_name, process_memory, processor_name


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
