"""Bounded work, bounded read-ahead, results in the order asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")
_READ_AHEAD = 2  # items held per worker, so that one slow image does not stop the others


def check_concurrency(concurrency: int) -> int:
    """The number back, or ``ValueError`` if it is below 1."""
    if concurrency < 1:
        raise ValueError(f"concurrency: expected at least 1, got {concurrency}")
    return concurrency


def map_in_order(
    work: Callable[[_T], _R], items: Iterator[_T], *, concurrency: int
) -> Iterator[_R]:
    """``work`` of each item, ``concurrency`` at a time in threads, in the order of the items."""
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="diptych-many")
    window: deque[Future[_R]] = deque()
    try:
        for item in items:
            window.append(pool.submit(work, item))
            if len(window) >= _READ_AHEAD * concurrency:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        # Calls that are on their way end at their deadline or when the client is closed.
        pool.shutdown(wait=False, cancel_futures=True)


async def map_in_order_async(
    work: Callable[[_T], Awaitable[_R]], items: Iterator[_T], *, concurrency: int
) -> AsyncGenerator[_R, None]:
    """``work`` of each item, ``concurrency`` at a time as tasks, in the order of the items."""
    gate = asyncio.Semaphore(concurrency)

    async def run(item: _T) -> _R:
        async with gate:
            return await work(item)

    window: deque[asyncio.Task[_R]] = deque()
    try:
        for item in items:
            window.append(asyncio.create_task(run(item)))
            if len(window) >= _READ_AHEAD * concurrency:
                yield await window[0]
                window.popleft()
        while window:
            yield await window[0]
            window.popleft()
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)
