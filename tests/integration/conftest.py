"""The whole product, for the tests that need all of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stack import Stack, running_stack

from diptych import Client


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Both model services with demo weights and the gateway, all SERVING."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """A client of the gateway."""
    with Client(stack.address("gateway"), timeout=60) as client:
        yield client
