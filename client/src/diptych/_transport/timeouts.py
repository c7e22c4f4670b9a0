"""How long a caller is ready to wait."""

from __future__ import annotations

import enum
import math
import time
from typing import TypeAlias

DEFAULT_TIMEOUT_S = 30.0


class Default(enum.Enum):
    """Tells "not given" from ``None``."""

    DEFAULT = "default"

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT = Default.DEFAULT
Timeout: TypeAlias = float | Default | None
"""Seconds until a call fails with ``DeadlineExceededError``; ``None`` waits for ever, not given
means the client's timeout."""


class Deadline:
    """One deadline for everything that one call does, a second attempt included."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        """Seconds that remain, 0 if it has passed; ``None`` without a deadline."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())


def checked_timeout(timeout: float | None) -> float | None:
    """The timeout back, or ``ValueError`` unless it is above 0, finite, or ``None``."""
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise ValueError(f"timeout: expected seconds above 0 or None, got {timeout}")
    return timeout
