"""Structured logs: JSON lines on stderr, or readable ones on a terminal."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(level: str, **fields: str) -> None:
    """Set up logging for this process; every line carries ``fields``. Called once, from ``main``.

    Raises:
        ValueError: ``level`` is not the name of a logging level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level: expected debug, info, warning or error, got {level!r}")
    terminal = sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if terminal:
        render: list[structlog.typing.Processor] = [
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        render = [
            # Never the locals: they hold users' pictures.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(),
        ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # Looked up at each line, so that a stderr replaced later (as test runners do) is honoured.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr, force=True)
    structlog.contextvars.bind_contextvars(**fields)


def logger() -> structlog.typing.FilteringBoundLogger:
    """The logger of this process."""
    found: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return found
