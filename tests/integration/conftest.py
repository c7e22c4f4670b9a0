"""A client of the whole product."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stack import Stack

from diptych import Client


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """A client of the gateway."""
    with Client(stack.address("gateway"), timeout=60) as client:
        yield client
