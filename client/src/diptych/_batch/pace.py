"""How many pictures are asked at a time: as many as the server takes."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

_PAUSE_S = 1.0


class Pace:
    """Places for ``most`` pictures at a time, fewer while the server refuses some.

    Every refusal halves the places, but only once in a second, since those that were on their way
    then tell nothing new; every answer adds a little, one place for a round of all.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._taken = 0
        self._cut_at = -_PAUSE_S
        self._free = asyncio.Condition()

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

    async def __aenter__(self) -> None:
        async with self._free:
            await self._free.wait_for(lambda: self._taken < self.places)
            self._taken += 1

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        async with self._free:
            self._taken -= 1
            self._free.notify_all()
