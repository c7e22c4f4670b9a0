"""Both kinds of video session behind the face of the blocking one, so that each test runs twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

WAIT_S = 30


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class AsyncFace:
    """An ``AsyncVideoSession`` with the face of its twin."""

    def __init__(self, loop: Loop, session: Any) -> None:
        self._loop = loop
        self.session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def __enter__(self) -> AsyncFace:
        self._loop.run(self.session.__aenter__())
        return self

    def __exit__(self, *raised: Any) -> None:
        self._loop.run(self.session.__aexit__(*raised))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._next(self.session)

    def _next(self, events: Any) -> Any:
        async def step() -> Any:
            return await anext(events, None)

        event = self._loop.run(step())
        if event is None:
            raise StopIteration
        return event

    def send(self, *args: Any, **kwargs: Any) -> int:
        return int(self._loop.run(self.session.send(*args, **kwargs)))

    def prompt(self, *args: Any, **kwargs: Any) -> int:
        return int(self._loop.run(self.session.prompt(*args, **kwargs)))

    def remove(self, object_id: int) -> None:
        self._loop.run(self.session.remove(object_id))

    def close(self) -> None:
        self._loop.run(self.session.aclose())

    def track(self, frames: Any) -> Iterator[Any]:
        events = self.session.track(frames)
        while True:
            try:
                yield self._next(events)
            except StopIteration:
                return

    def finish(self) -> AsyncFace:
        async def call() -> None:
            self.session.finish()

        self._loop.run(call())
        return self
