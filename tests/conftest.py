"""The whole product, marks by folder, few threads, and in CI no test that is left out unseen."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stack import Stack

# Read when torch and numpy are first imported: workers and engines share few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Gateways that tests start as processes would meet on one port.
os.environ.setdefault("DIPTYCH_HTTP_PORT", "")
# What is expected must not depend on the processor; tests of the fast tier ask for it.
os.environ.setdefault("DIPTYCH_TIER", "exact")

HERE = Path(__file__).parent
MARKED_FOLDERS = ("gpu", "browser", "compose", "deploy", "ray")
MAY_SKIP_IN_CI = ("gpu", "official_weights")
LONG_FOLDERS = ("integration", "unit/sam2", "unit/maskrcnn", "unit/torch")
"""Whose files take long: they come first, so that workers end with short ones, and together."""


@pytest.fixture(scope="session")
def model_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Both model services with demo weights, SERVING when a ``stack`` begins with them."""
    from stack import running_services  # few of the tests need it

    with running_services(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture(scope="module")
def stack(model_services: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The services and a gateway, all SERVING."""
    from stack import running_stack

    with running_stack(model_services, tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the folder they are in; those that take long come first."""
    for item in items:
        folder = top_folder(item.path)
        if folder in MARKED_FOLDERS:
            item.add_marker(folder)
    items.sort(key=rank)


def rank(item: pytest.Item) -> int:
    """When a test has its turn; tests of one rank stay in order."""
    inside = [item.path.is_relative_to(HERE / folder) for folder in LONG_FOLDERS]
    return inside.index(True) if any(inside) else len(inside)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, turn the skip of one test into a failure."""
    report = yield
    expected_failure = hasattr(report, "wasxfail")
    allowed = any(item.get_closest_marker(name) for name in MAY_SKIP_IN_CI)
    if in_ci() and report.skipped and not expected_failure and not allowed:
        fail(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI, turn the skip of a whole module into a failure."""
    report = yield
    if in_ci() and report.skipped and top_folder(collector.path) not in MAY_SKIP_IN_CI:
        fail(report)
    return report


def in_ci() -> bool:
    """Whether CI runs the tests."""
    return os.environ.get("CI", "").lower() in ("1", "true")


def top_folder(path: Path) -> str:
    """The folder below ``tests/`` that a file is in; empty outside."""
    return path.relative_to(HERE).parts[0] if path.is_relative_to(HERE) and path != HERE else ""


def fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure that says why it is one."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"CI runs every test; this one would not run. {reason}"
