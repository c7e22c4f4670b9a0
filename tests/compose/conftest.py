"""Images that are built once, and a table of what was measured at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from containers import BASE, IMAGES, Project, inspect, missing
from service_list import MODELS

MEASURED = pytest.StashKey[dict[str, str]]()
BUILD_S = 1800.0


def note(config: pytest.Config, name: str, value: str) -> None:
    """Add a row to the table that is printed at the end."""
    config.stash.setdefault(MEASURED, {})[name] = value


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what the table of docs/deploy.md has."""
    rows = config.stash.get(MEASURED, {})
    if rows:
        terminalreporter.section("measured")
        for name, value in rows.items():
            terminalreporter.write_line(f"{name:32} {value}")


@pytest.fixture(scope="session")
def engine() -> None:
    """A container engine that runs."""
    if why := missing():
        pytest.skip(f"needs a container engine: {why}")


@pytest.fixture(scope="session")
def images(engine: None, pytestconfig: pytest.Config) -> dict[str, str]:
    """All images, built from this tree; by short name."""
    started = time.monotonic()
    Project().compose("build", timeout_s=BUILD_S)
    note(pytestconfig, "build", f"{time.monotonic() - started:.0f} s")
    base = inspect(BASE)["Size"]
    for image in IMAGES.values():
        size = inspect(image)["Size"]
        note(pytestconfig, image, f"{size / 1e6:.0f} MB, {(size - base) / 1e6:.0f} above its base")
    return IMAGES


@pytest.fixture(scope="module")
def stack(images: dict[str, str], pytestconfig: pytest.Config) -> Iterator[Project]:
    """The cpu profile, all healthy; taken down at the end without a trace."""
    project = Project()
    try:
        project.compose("up", "-d")
        for service, seconds in project.wait_healthy(*SERVICES).items():
            note(pytestconfig, f"{service} healthy", f"after {seconds:.0f} s")
        yield project
    finally:
        project.down()


SERVICES = ("gateway", *(f"{name}-cpu" for name in MODELS))
