"""Runs an engine's steps without a runtime."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def finished(steps: Generator[None, None, T]) -> T:
    """Run steps to their end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
