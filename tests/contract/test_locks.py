"""What is installed from an index is held by its SHA-256, and says under which licence it is."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "locks"))

import resolve  # noqa: E402

NAMES = sorted(resolve.environments())


def lock(name: str) -> str:
    return (resolve.LOCKS / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_fits_its_requirements(name: str) -> None:
    assert resolve.faults(name, lock(name)) == []


def test_every_lock_belongs_to_an_environment() -> None:
    assert sorted(path.stem for path in resolve.LOCKS.glob("*.txt")) == NAMES


def test_another_version_is_a_fault() -> None:
    changed = lock("gateway").replace("uvicorn==", "uvicorn==9.")
    assert any("uvicorn==9." in fault for fault in resolve.faults("gateway", changed))


def test_a_pin_without_hashes_is_a_fault() -> None:
    bare = re.sub(r"^(h11==\S+) .*\n(?: +.*\n)+", r"\1\n", lock("gateway"), flags=re.M)
    assert bare != lock("gateway")
    assert any("h11" in fault and "hashes" in fault for fault in resolve.faults("gateway", bare))


def test_a_wanted_distribution_that_is_not_there_is_a_fault() -> None:
    without = re.sub(r"^torchvision==.*\n(?: +.*\n)+", "", lock("torch"), flags=re.M)
    assert any("torchvision" in fault for fault in resolve.faults("torch", without))


def test_what_our_own_distributions_need_and_is_not_there_is_a_fault() -> None:
    without = re.sub(r"^prometheus-client==.*\n(?: +.*\n)+", "", lock("sam-2"), flags=re.M)
    assert any("prometheus-client" in fault for fault in resolve.faults("sam-2", without))


def test_a_lock_names_no_index() -> None:
    for name in NAMES:
        assert "://" not in lock(name)


def test_the_gateway_needs_no_torch() -> None:
    assert not {"torch", "torchvision", "sam2"} & resolve.pins(lock("gateway")).keys()


# What builds our own wheels on a machine of theirs, or only resolves, is not what is shipped.
FREE = ("-e ./client", "$(LOCK_TOOLS)")


@pytest.mark.parametrize("file", ["Dockerfile", "Makefile"])
def test_everything_is_installed_from_locks(file: str) -> None:
    text = (ROOT / file).read_text().replace("\\\n", " ")
    installs = [
        line.strip()
        for line in re.split(r"\n|&&", text)
        if re.search(r"pip.* install|_INSTALL\)", line) and ":=" not in line
    ]
    assert installs
    free = [
        line
        for line in installs
        if not re.search(r"--require-hashes|LOCKED_INSTALL|--no-index", line)
        and not any(name in line for name in FREE)
    ]
    assert free == []
