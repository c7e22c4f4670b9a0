"""Structured logs: JSON lines on stderr, or readable ones on a terminal."""

from __future__ import annotations

import contextlib
import logging
import sys
from functools import partial

import structlog


def configure(level: str, **fields: str) -> None:
    """Set up logging for this process; every line carries ``fields``. Called once, from ``main``.

    Modules log with ``structlog.get_logger()``, which is bound when a line is written.

    Raises:
        ValueError: ``level`` is not the name of a logging level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level: expected debug, info, warning or error, got {level!r}")
    terminal = sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if terminal:
        render: list[structlog.typing.Processor] = [
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
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
        logger_factory=_Stderr,
        # Not contextvars: those are per thread.
        context_class=partial(dict, **fields),  # type: ignore[arg-type]  # called like a class
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr, force=True)


class _Stderr:
    """Writes lines to the stderr of the moment; a line that cannot be written is lost.

    A closed terminal or a full disk must not fail requests.
    """

    def msg(self, message: str) -> None:
        """Write one line."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(message + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = exception = msg
