"""How long a caller is ready to wait."""

from __future__ import annotations

import enum
import math
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


def checked_timeout(timeout: float | None) -> float | None:
    """The timeout back, or ``ValueError`` unless it is above 0, finite, or ``None``."""
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise ValueError(f"timeout: expected seconds above 0 or None, got {timeout}")
    return timeout
