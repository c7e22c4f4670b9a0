"""When a server that had no room, or was not there yet, is asked again."""

from __future__ import annotations

import math
import random
import time

from .._types.errors import DiptychError, OverloadedError, UnavailableError
from ..wire.reasons import Reason

FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 30.0
ATTEMPTS = 3
"""For what a picture may be the cause of."""
_BY_PICTURE = frozenset({Reason.DEVICE_MEMORY, Reason.ENGINE_LOST})
DEFAULT_PATIENCE_S = 60.0


def is_by_picture(error: DiptychError) -> bool:
    """Whether the picture may be the cause: too large for the device, the death of an engine."""
    return error.reason in _BY_PICTURE


def checked_patience(patience: float) -> float:
    """The number back, or ``ValueError`` if it is no time."""
    if not patience >= 0 or math.isinf(patience):
        raise ValueError(f"patience: expected seconds from 0, got {patience!r}")
    return patience


class Hope:
    """How long a server is waited for that answers nothing: ``patience`` seconds.

    Used by one event loop, or by threads that all count seconds.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._silent_since: float | None = None

    def hear(self) -> None:
        """Note that something was answered."""
        self._silent_since = None

    def wait_s(self, error: DiptychError, waits: int) -> float | None:
        """Seconds after which to ask again what was refused after so many waits.

        As long as the server suggests, else longer each time, a little apart for each picture;
        ``None`` if nothing was answered for too long.
        """
        now = time.monotonic()
        since = self._silent_since
        if since is None:
            self._silent_since = since = now
        left = self._patience - (now - since)
        if left <= 0:
            return None
        wait_s = error.retry_after_s
        if wait_s is None:
            wait_s = FIRST_WAIT_S * 2 ** min(waits, 10)
        return min(min(wait_s, _LONGEST_WAIT_S) * random.uniform(1.0, 1.5), left)


class Again:
    """Whether one picture is asked again: where the server itself suggests it."""

    def __init__(self, hope: Hope) -> None:
        self._hope = hope
        self._waits = self._attempts = 0

    def wait_s(self, error: DiptychError) -> float | None:
        """Seconds until the next attempt; ``None`` if ``error`` is the answer."""
        later = isinstance(error, (OverloadedError, UnavailableError))
        if not later or error.retry_after_s is None:
            if error.reason:
                self._hope.hear()
            return None
        self._attempts += is_by_picture(error)
        if self._attempts >= ATTEMPTS:
            return None
        self._waits += 1
        return self._hope.wait_s(error, self._waits - 1)
