"""Asking again where that can help: no room, a gateway that is gone, a session that was lost."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from diptych import (
    DeadlineExceededError,
    DiptychError,
    OverloadedError,
    SessionLostError,
    UnavailableError,
)

from .watching import Watcher

_T = TypeVar("_T")
_LATER = (OverloadedError, UnavailableError, SessionLostError, DeadlineExceededError)
_BY_PICTURE = frozenset({"DEVICE_MEMORY", "ENGINE_LOST"})
_ATTEMPTS = 3
"""For what the picture may be the cause of."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 10.0


class Patience:
    """Waits for a server that answers nothing, for ``seconds`` at most. Shared by threads."""

    def __init__(self, seconds: float, watcher: Watcher) -> None:
        self._seconds = seconds
        self._watcher = watcher
        self._lock = threading.Lock()
        self._silent_since: float | None = None
        self._stopped = threading.Event()

    def ask(self, call: Callable[[], _T]) -> _T:
        """What ``call`` returns, however often it has to be called.

        Raises:
            DiptychError: asking again does not help, or did not for too long.
        """
        attempts = waits = 0
        while True:
            try:
                answer = call()
            except _LATER as error:
                attempts += _may_be_by_picture(error)
                if attempts >= _ATTEMPTS or self._stopped.is_set():
                    raise
                self._stopped.wait(self._wait_s(error, waits))
                waits += 1
            else:
                self._hear()
                return answer

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self._stopped.set()

    def _hear(self) -> None:
        with self._lock:
            self._silent_since = None

    def _wait_s(self, error: DiptychError, waits: int) -> float:
        now = time.monotonic()
        with self._lock:
            first = self._silent_since is None
            since = now if self._silent_since is None else self._silent_since
            self._silent_since = since
        left = self._seconds - (now - since)
        if left <= 0:
            raise error
        if first and isinstance(error, UnavailableError):
            self._watcher.said(f"no answer, so it is waited for: {error}")
        wait_s = error.retry_after_s
        if wait_s is None:
            wait_s = _FIRST_WAIT_S * 2 ** min(waits, 10)
        return min(min(wait_s, _LONGEST_WAIT_S) * random.uniform(1.0, 1.5), left)


def is_by_picture(error: Exception) -> bool:
    """Whether it says something about the one picture: the others may be answered."""
    if isinstance(error, (OverloadedError, UnavailableError)):
        return error.reason in _BY_PICTURE
    return isinstance(error, (DiptychError, OSError, ValueError))


def _may_be_by_picture(error: DiptychError) -> bool:
    return error.reason in _BY_PICTURE or isinstance(
        error, (SessionLostError, DeadlineExceededError)
    )
