"""Structured logs on stderr: JSON lines, or readable ones.

What the standard library's ``logging`` and ``warnings`` say comes out as the same lines.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import Literal, TypeAlias

import structlog

from .log_writer import LogWriter

_WRITER = LogWriter()
_OTHERS = logging.WARNING
"""Least severe lines of libraries: below it they tell of every connection."""
_OTHERS_PER_SECOND = 5


Format: TypeAlias = Literal["auto", "text", "json"]
"""``auto``: text on a terminal, else JSON."""


def configure(level: str, *, log_format: Format = "auto", **fields: str) -> None:
    """Set up logging for this process; every line carries ``fields``. Called once, from ``main``.

    Modules log with ``structlog.get_logger()``, which is bound when a line is written. Lines are
    written by a thread: a log that nobody reads does not stop the process. What has waited too long
    is dropped and counted; a later line says how many were.

    Raises:
        ValueError: ``level`` is not the name of a logging level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level: expected debug, info, warning or error, got {level!r}")
    terminal = sys.stderr.isatty()
    readable = log_format == "text" or (log_format == "auto" and terminal)
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if readable:
        render: list[structlog.typing.Processor] = [
            structlog.dev.ConsoleRenderer(
                colors=terminal, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    else:
        render = [
            # Never the locals: they hold users' images.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(),
        ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_WRITER.logger,
        # Not contextvars: those are per thread.
        context_class=partial(dict, **fields),  # type: ignore[arg-type]  # called like a class
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(number, _OTHERS), handlers=[_Passed()], force=True)
    logging.captureWarnings(True)


def flush(timeout_s: float = 1.0) -> None:
    """Wait until all lines so far are written, as long as somebody reads them; before an exit that
    runs no ``atexit`` functions."""
    _WRITER.flush(timeout_s)


class _Passed(logging.Handler):
    """Gives what libraries log to structlog, of each second only the first few lines.

    Whoever sends broken requests can make them say the same again and again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._lines = 0
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as a line of ours; ``logger`` is the library's name for itself."""
        second = int(record.created)
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > _OTHERS_PER_SECOND:
            self._left_out += 1
            return
        fields: dict[str, object] = {"logger": record.name}
        if record.exc_info and record.exc_info[0]:
            fields["exc_info"] = record.exc_info
        if self._left_out:
            fields["lines_left_out"], self._left_out = self._left_out, 0
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        try:
            structlog.get_logger().log(level, record.getMessage(), **fields)
        except Exception:  # such as arguments that do not fit their message
            self.handleError(record)
