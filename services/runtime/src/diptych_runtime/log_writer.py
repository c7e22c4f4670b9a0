"""Writes lines to stderr from a thread of its own, so that no other ever waits for its reader."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import sys
import threading
from collections import deque

import structlog

_MOST_BYTES = 1024 * 1024
_LAST_WORDS_S = 2.0


class LogWriter:
    """Takes lines at any time and from any thread; its own begins with the first line.

    ``most_bytes`` may wait; what comes on top is dropped and counted. A line that cannot be written
    is lost: a closed terminal or a full disk must not fail requests.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._waiting: deque[str] = deque()
        self._nbytes = 0
        self._dropped = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._writing = False

    def logger(self) -> LogWriter:
        """Return this, as a factory of loggers does for structlog."""
        return self

    def msg(self, line: str) -> None:
        """Have a line written; returns at once."""
        line += "\n"
        with self._changed:
            if self._nbytes + len(line) > self._most_bytes:
                self._dropped += 1
                return
            if self._thread is None:
                self._start()
            self._waiting.append(line)
            self._nbytes += len(line)
            if not self._writing:
                self._changed.notify_all()

    debug = info = warning = error = critical = exception = msg

    def flush(self, timeout_s: float) -> None:
        """Wait until everything is written, or until nothing was for ``timeout_s`` seconds."""
        with self._changed:
            while before := self._nbytes:
                self._changed.wait(timeout_s)
                if self._nbytes >= before:
                    return

    def _start(self) -> None:
        # A daemon: a reader that never reads must not keep the process.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.flush, _LAST_WORDS_S)

    def _run(self) -> None:
        while True:
            text = self._next()
            with contextlib.suppress(OSError, ValueError):
                _put(text)
            with self._changed:
                self._nbytes -= len(text)
                dropped, self._dropped = self._dropped, 0
                self._changed.notify_all()
            if dropped:
                structlog.get_logger().warning("lines of the log were dropped", count=dropped)

    def _next(self) -> str:
        """Wait for lines; returns the next one, with as many more as are written at once."""
        with self._changed:
            self._writing = False
            self._changed.wait_for(lambda: self._waiting)
            self._writing = True
            text = self._waiting.popleft()
            while self._waiting and len(text) + len(self._waiting[0]) <= select.PIPE_BUF:
                text += self._waiting.popleft()
            return text


def _put(text: str) -> None:
    """Write to the stderr of the moment.

    To its descriptor, if it has one: whoever waits inside ``sys.stderr`` holds its lock, and with
    it everybody who prints, and the end of the process.
    """
    try:
        descriptor = sys.stderr.fileno()
    except (OSError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()
        return
    data = memoryview(text.encode(errors="backslashreplace"))
    while data:
        select.select([], [descriptor], [])  # another process may have made it one that never waits
        data = data[os.write(descriptor, data) :]
