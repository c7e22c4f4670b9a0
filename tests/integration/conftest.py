"""A client of the whole product."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from stack import Stack

from diptych import Client

# What servers in this process log: by default a fault comes with all its local variables in a
# frame, and a message of a mebibyte takes a second to be written there.
structlog.get_config()["processors"][-1].exception_formatter = structlog.dev.plain_traceback


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """A client of the gateway."""
    with Client(stack.address("gateway"), timeout=60) as client:
        yield client
