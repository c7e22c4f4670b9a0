"""Ends a process whose event loop hangs, so that whoever started it can start it again."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import threading
import time

EXIT_HUNG = 70
"""Not one of the statuses by which a service says that starting it again would not help."""

_TICKS_PER_TIMEOUT = 8


def watch_loop(program: str, timeout_s: float) -> None:
    """Watch the running event loop from a thread of its own until the loop is closed.

    A loop that does not answer for ``timeout_s`` seconds ends the process, with one line that
    begins with ``program`` and says where it hangs. Counts its own ticks instead of reading a
    clock: while the whole process is stopped, the loop cannot answer and nothing is counted.
    """
    loop = asyncio.get_running_loop()
    arguments = (loop, threading.get_ident(), program, timeout_s)
    threading.Thread(target=_watch, args=arguments, name="watchdog", daemon=True).start()


def _watch(loop: asyncio.AbstractEventLoop, thread_id: int, program: str, timeout_s: float) -> None:
    answered = threading.Event()
    answered.set()
    silent = 0
    while silent < _TICKS_PER_TIMEOUT:
        if answered.is_set():
            silent = 0
            answered.clear()
            try:
                loop.call_soon_threadsafe(answered.set)
            except RuntimeError:
                return  # it was closed
        else:
            silent += 1
        time.sleep(timeout_s / _TICKS_PER_TIMEOUT)
    _end(
        f"{program}: the event loop has not answered for {timeout_s:g} s and hangs in "
        f"{_position(thread_id)}; ended, so that it can be started again"
    )


def _position(thread_id: int) -> str:
    """Name the function that a thread is in, with file and line."""
    frame = sys._current_frames().get(thread_id)
    if frame is None:
        return "a thread that has ended"
    code = frame.f_code
    return f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})"


def _end(line: str) -> None:
    # The loop may hang in a write to a stderr that nobody reads: neither wait for Python's lock on
    # it nor for room in the pipe.
    if select.select([], [2], [], 0)[1]:
        os.write(2, f"{line}\n".encode())
    os._exit(EXIT_HUNG)
