"""How many pictures are asked at a time: as many as the server takes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

_PAUSE_S = 1.0


class Places:
    """Places for ``most`` pictures at a time, fewer while the server refuses some.

    Every refusal halves them, but only once in a second, since those that were on their way then
    tell nothing new; every answer adds a little, one place for a round of all.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._taken = 0
        self._cut_at = -_PAUSE_S

    @property
    def places(self) -> int:
        """How many there are now."""
        return int(self._limit)

    def answered(self) -> None:
        """Note that the server has taken one."""
        self._limit = min(self._most, self._limit + 1 / self._limit)

    def refused(self) -> None:
        """Note that the server has no room for one."""
        now = time.monotonic()
        if now - self._cut_at >= _PAUSE_S:
            self._cut_at = now
            self._limit = max(1.0, self._limit / 2)


class ThreadPace(Places):
    """Places for threads."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._changed = threading.Condition()
        self._stopped = False

    def answered(self) -> None:
        """Note that the server has taken one."""
        with self._changed:
            super().answered()
            self._changed.notify_all()

    def refused(self) -> None:
        """Note that the server has no room for one."""
        with self._changed:
            super().refused()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Wait for a place, and hold it.

        Raises:
            RuntimeError: nobody waits for the answer any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._taken < self.places)
            if self._stopped:
                raise RuntimeError("the results are not taken any more")
            self._taken += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken -= 1
                self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait for so long, or until it is stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, seconds)

    def stop(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


class Pace(Places):
    """Places for tasks of one event loop."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._waiting: deque[asyncio.Future[None]] = deque()

    def answered(self) -> None:
        """Note that the server has taken one."""
        super().answered()
        self._let_in()

    async def __aenter__(self) -> None:
        # One is woken for each place: with asyncio's conditions all would be, each time.
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._taken -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._taken < self.places:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
