"""Label Studio's own server, our backend and the whole product. ``make test-label-studio`` installs
what they need into an environment of its own; without it there is no test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from label_studio_server import TOOLS, LabelStudio, running_backend, running_label_studio
from stack import Stack, running_services, running_stack

if not (TOOLS / "diptych-label-studio").exists():
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for Label Studio to make its database."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Models with demo weights, the cascade and a gateway."""
    folder = tmp_path_factory.mktemp("stack")
    with (
        running_services(folder) as services,
        running_stack(services, folder, "mask-rcnn>sam-2") as running,
    ):
        yield running


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """A server with one user."""
    with running_label_studio(tmp_path_factory.mktemp("label-studio")) as running:
        yield running


@pytest.fixture(scope="session")
def backend(
    stack: Stack, label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of the backend."""
    folder: Path = tmp_path_factory.mktemp("backend")
    options = ["--label-studio", label_studio.url, "--gateway", stack.address("gateway")]
    with running_backend(folder, *options) as url:
        yield url
