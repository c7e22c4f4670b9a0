"""Users of a gateway who go on whatever happens, and count what they lose."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import diptych

TIMEOUT_S = 30.0
"""What takes longer counts as lost."""


@dataclass
class Calls:
    """Calls of all users so far."""

    answered: int = 0
    slowest_s: float = 0.0
    lost: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seconds: float, error: str = "") -> None:
        """Take in one call."""
        with self._lock:
            self.answered += not error
            self.slowest_s = max(self.slowest_s, seconds)
            if error:
                self.lost.append(error)

    def wait(self, answered: int, timeout_s: float = 120.0) -> None:
        """Wait until so many were answered."""
        until = time.monotonic() + timeout_s
        while self.answered < answered:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.answered} of {answered} calls, lost: {self.lost[:3]}")
            time.sleep(0.05)

    def __str__(self) -> str:
        done = self.answered + len(self.lost)
        return f"{done} calls, {len(self.lost)} lost, slowest {self.slowest_s:.2f} s"


Ask = Callable[[diptych.Client, int], object]


@contextmanager
def users(count: int, address: str, ask: Ask, pause_s: float = 0.0) -> Iterator[Calls]:
    """``count`` users who call ``ask(client, number)`` one time after the other."""
    calls, stop = Calls(), threading.Event()

    def use(number: int) -> None:
        with diptych.Client(address, timeout=TIMEOUT_S) as client:
            while not stop.is_set():
                number += count
                started, error = time.monotonic(), ""
                try:
                    ask(client, number)
                except Exception as caught:
                    error = f"{type(caught).__name__}: {caught}"
                calls.add(time.monotonic() - started, error)
                stop.wait(pause_s)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield calls
    finally:
        stop.set()
        for thread in threads:
            thread.join(2 * TIMEOUT_S)
