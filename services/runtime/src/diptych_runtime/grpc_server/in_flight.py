"""The calls under way in one server, so that a stop waits for all of them.

``grpc.aio.Server.stop`` waits for calls, not for their handlers (grpc#37239), waits its whole grace
for a health ``Watch`` that never ends, and answers those it ends without a reason.
"""

from __future__ import annotations

import asyncio

_LAST_WORDS_S = 1.0
"""Time to answer a call that was ended."""


class Calls:
    """Handlers that are running, as tasks."""

    def __init__(self) -> None:
        self._served: set[asyncio.Task[object]] = set()
        self._probes: set[asyncio.Task[object]] = set()
        self._ended: set[asyncio.Task[object]] = set()

    def enter(self, *, probe: bool) -> asyncio.Task[object]:
        """Count the task that runs now; ``probe`` for calls that nobody waits for."""
        task = asyncio.current_task()
        assert task is not None
        (self._probes if probe else self._served).add(task)
        return task

    def leave(self, task: asyncio.Task[object]) -> None:
        """The handler of that task has ended."""
        for tasks in (self._served, self._probes, self._ended):
            tasks.discard(task)

    def ended(self, task: asyncio.Task[object]) -> bool:
        """Whether the handler of that task was ended because the server stops."""
        return task in self._ended

    async def finish(self, grace_s: float) -> None:
        """End the probes, wait up to ``grace_s`` seconds for the others, then end those too."""
        await self._end(self._probes)
        if self._served:
            await asyncio.wait(set(self._served), timeout=grace_s)
        await self._end(self._served)

    async def _end(self, tasks: set[asyncio.Task[object]]) -> None:
        ending = set(tasks)
        self._ended |= ending
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending, timeout=_LAST_WORDS_S)
