"""What this process logs, in a file: pytest's capture loses lines that come while it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import structlog

from diptych_runtime import log_writer, logs


@contextmanager
def logged_to(path: Path, level: str) -> Iterator[Callable[[], str]]:
    """Log to ``path`` from ``level`` on; what is yielded returns all of it so far."""

    def read() -> str:
        logs.flush()
        return path.read_text()

    # For each step of a test pytest makes another ``sys.stderr``; this one is the writer's alone.
    with path.open("a") as file, patch.object(log_writer, "sys", SimpleNamespace(stderr=file)):
        logs.configure(level)
        try:
            yield read
        finally:
            logs.flush()
            structlog.reset_defaults()
