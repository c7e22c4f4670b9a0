"""What one token may use, as its table in the tokens file says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

_MOST = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What one token may use; ``None`` is no limit."""

    requests_per_second: float | None = None
    """Requests, and openings of sessions, over time; a comparison is one."""
    burst: int | None = None
    """Requests at once after a pause; without it as many as come in one second."""
    requests_in_flight: int | None = None
    """Requests at the same time, sessions not counted."""
    device_seconds_per_minute: float | None = None
    """Time that models work, over time; as much as of one minute at once after a pause."""
    sessions: int | None = None
    """Video sessions at the same time."""

    @property
    def most_at_once(self) -> int:
        """How many requests may come at once after a pause."""
        return self.burst or max(1, math.ceil(self.requests_per_second or 0.0))


NO_LIMITS = Limits()
NAMES = tuple(field.name for field in fields(Limits))
WHOLE = frozenset({"burst", "requests_in_flight", "sessions"})


def parse_limits(
    where: str,
    table: Mapping[str, Any],
    default: Limits = NO_LIMITS,
    *,
    beside: tuple[str, ...] = (),
) -> Limits:
    """Read the limits of a table; what it does not say is as in ``default``.

    Args:
        where: Names the table in messages.
        table: The limits by name.
        default: Those that it does not name.
        beside: What else it may have, which somebody else reads.

    Raises:
        ValueError: a limit is no number in (0, 1,000,000], or is unknown.
    """
    # A misspelt limit would make a token without one, a misspelt ``scopes`` one for everything.
    known = (*beside, *NAMES)
    if unknown := table.keys() - set(known):
        raise ValueError(f"{where}: expected {', '.join(known)}, got {len(unknown)} more")
    table = {name: table[name] for name in table.keys() - set(beside)}
    limits = replace(default, **{name: _number(where, name, table[name]) for name in table})
    if limits.burst is not None and limits.requests_per_second is None:
        raise ValueError(f"{where}.burst: expected requests_per_second beside it")
    return limits


def _number(where: str, name: str, value: Any) -> Any:
    kinds = (int,) if name in WHOLE else (int, float)
    right = isinstance(value, kinds) and not isinstance(value, bool)
    if not right or not 0 < value <= _MOST:
        kind = "a whole number" if name in WHOLE else "a number"
        raise ValueError(f"{where}.{name}: expected {kind} above 0, up to {_MOST:,}")
    return value
